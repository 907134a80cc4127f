"""What a storage of images keeps, and what it lets go of; docs/developer/images.md."""

from pathlib import Path

from images import keeping
from images.keeping import Newest

_LAYERS = ("aaaaaaaaaaaa1111", "bbbbbbbbbbbb")
_NOTED = {
    "localhost/one": Newest(name="localhost/one:2", layers=_LAYERS),
    "localhost/base": Newest(name="localhost/base:new"),
}


def test_a_build_is_noted_and_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "newest.json"
    assert keeping.read(path) == {}
    keeping.note(path, Newest(name="localhost/one:1", layers=("cccccccccccc",)))
    for one in _NOTED.values():
        keeping.note(path, one)
    assert keeping.read(path) == _NOTED


def test_an_older_tag_goes_and_what_is_not_ours_stays() -> None:
    names = ["localhost/one:1", "localhost/one:2", "localhost/base:old", "localhost/other:1"]
    assert keeping.superseded(_NOTED, names) == ["localhost/one:1", "localhost/base:old"]


def test_a_layer_that_the_newest_build_stands_on_stays() -> None:
    nameless = ["aaaaaaaaaaaa1111", "bbbbbbbbbbbb2222", "cccccccccccc3333"]
    assert keeping.unused(_NOTED, nameless) == ["cccccccccccc3333"]


def test_where_nothing_was_noted_nothing_nameless_is_used() -> None:
    assert keeping.unused({}, ["aaaaaaaaaaaa1111"]) == ["aaaaaaaaaaaa1111"]
