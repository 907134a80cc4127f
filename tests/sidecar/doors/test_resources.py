"""Which source serves a URI, for the aggregate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_sidecar.doors.resources import Shelves


@pytest.mark.promise("M12")
def test_sources_that_list_a_uri_come_first_and_by_name() -> None:
    shelves = Shelves()
    shelves.put_templates("a", ["x://{path}"])
    shelves.put_uris("zoo", ["x://1"])
    shelves.put_uris("ark", ["x://1", "x://2"])
    shelves.put_templates("ark", ["x://{path}"])

    assert shelves.candidates("x://1") == ["ark", "zoo", "a"]
    assert shelves.candidates("x://3") == ["a", "ark"]
    assert shelves.candidates("y://1") == []


def test_a_list_replaces_the_one_before() -> None:
    shelves = Shelves()
    shelves.put_uris("s", ["x://1"])
    shelves.put_uris("s", ["x://2"])
    assert (shelves.candidates("x://1"), shelves.candidates("x://2")) == ([], ["s"])


@pytest.mark.parametrize(
    ("template", "uri", "fits"),
    [
        ("x://a", "x://a", True), ("x://a", "x://ab", False), ("x://{a}", "x://", True),
        ("x://{a}/b", "x://q/b", True), ("x://{a}/b", "x:///b", True),
        ("x://{a}/b", "x://b", False), ("x://{a}/{b}.txt", "x://1/2.txt", True),
        ("x://{a}/{b}.txt", "x://1.txt", False), ("ab{x}ba", "aba", False),
        ("{+all}", "x://anything", True), ("x://{?q*}", "x://?q=1", True),
    ],
)  # fmt: skip
def test_a_template_fits_what_its_literals_frame(template: str, uri: str, fits: bool) -> None:
    shelves = Shelves()
    shelves.put_templates("s", [template])
    assert shelves.candidates(uri) == (["s"] if fits else [])


@given(
    literals=st.lists(st.text("ab/"), min_size=1, max_size=5),
    values=st.lists(st.text("ab/"), min_size=5, max_size=5),
)
def test_every_expansion_of_a_template_fits_it(literals: list[str], values: list[str]) -> None:
    shelves = Shelves()
    shelves.put_templates("s", ["{v}".join(literals)])
    uri = literals[0] + "".join(
        value + literal for value, literal in zip(values, literals[1:], strict=False)
    )
    assert shelves.candidates(uri) == ["s"]
