"""From a name to the globs that match it, without a scan."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh7_core.policy.globs import NameGlob
from mesh7_core.policy.index import Index
from tests.core.policy.counting import lines_run_by

SOURCE_PARTS = st.sampled_from(["a", "b", "ab", "*", "a*", "*b", "?", "a?"])
NAME_PARTS = st.text(alphabet="xy.*?", min_size=1, max_size=6)
GLOBS = st.one_of(
    st.just("*"), st.builds(lambda source, name: f"{source}.{name}", SOURCE_PARTS, NAME_PARTS)
).map(NameGlob.parse)


@pytest.mark.promise("P7")
@given(globs=st.lists(GLOBS, min_size=1, max_size=30), data=st.data())
@settings(deadline=None, max_examples=400)
def test_the_index_finds_what_a_scan_finds(globs: list[NameGlob], data: st.DataObject) -> None:
    source = data.draw(st.sampled_from(["a", "b", "ab", "abc", ""]))
    meant = data.draw(st.sampled_from(globs)).name.text
    filling = data.draw(st.text(alphabet="xy.", max_size=2))
    name = meant.replace("*", filling).replace("?", "x")
    index = Index(enumerate(globs))
    scanned = [at for at, glob in enumerate(globs) if glob.matches(source, name)]
    assert index.matching(source, name) == scanned


@pytest.mark.promise("P7")
@pytest.mark.parametrize(
    ("source", "name", "expected"),
    [
        ("git", "get_file", ["git.get_*", "git.*", "*.get_f*", "*.g*"]),
        ("git", "get_log", ["git.get_*", "git.*", "*.g*"]),
        ("git", "reset", ["git.re*", "git.*", "*.*set", "g?t.re*t"]),
        ("git", "reindex", ["git.re*", "git.reindex", "git.*", "*.reindex"]),
        ("got", "offset", ["*.*set"]),
    ],
)
def test_globs_that_begin_or_end_alike_are_told_apart(
    source: str, name: str, expected: list[str]
) -> None:
    texts = [
        *("git.get_*", "git.re*", "git.reindex", "git.*", "*.get_f*", "*.g*", "*.*set", "*.*sit"),
        *("g?t.re*t", "*.reindex", "git.rx*", "*.*xet"),
    ]
    index = Index((at, NameGlob.parse(text)) for at, text in enumerate(texts))
    assert [texts[at] for at in index.matching(source, name)] == expected


def test_a_position_with_several_globs_is_found_once() -> None:
    index = Index(
        [(0, NameGlob.parse("a.*")), (0, NameGlob.parse("a.x")), (0, NameGlob.parse("*"))]
    )
    assert index.matching("a", "x") == [0]


def _index_of(count: int) -> Index:
    shapes = [
        "src{0}.tool-{1}",
        "src{0}.tool-{1}-*",
        "*.tool-{1}",
        "*.get_{1}*",
        "src{0}.*_{1}",
        "*.*-{1}",
    ]
    texts = [shapes[at % len(shapes)].format(at % 40, at) for at in range(count)]
    return Index((at, NameGlob.parse(text)) for at, text in enumerate(texts))


@pytest.mark.promise("P11")
@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("src0", "tool-0"),
        ("src1", "tool-1-now"),
        ("src3", "get_3"),
        ("made-up", "nothing-like-it"),
        ("src1", "tool-made-up"),
        ("src5", "tool-" + "9" * 200),
    ],
)
def test_ten_thousand_globs_take_few_more_steps_than_sixty(source: str, name: str) -> None:
    few, many = _index_of(60), _index_of(10_000)
    more = lines_run_by(lambda: many.matching(source, name)) - lines_run_by(
        lambda: few.matching(source, name)
    )
    assert more <= 60
