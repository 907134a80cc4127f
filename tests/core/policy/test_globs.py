from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.policy.globs import BadGlob, NameGlob, TextGlob

SIGNS = st.text("ab.*?", min_size=1, max_size=8)
TEXTS = st.text("ab./", max_size=10)


def slow_match(glob: str, text: str) -> bool:
    """The definition, sign by sign, with no thought for speed."""

    @cache
    def match(at: int, place: int) -> bool:
        if at == len(glob):
            return place == len(text)
        if glob[at] == "*":
            return match(at + 1, place) or (place < len(text) and match(at, place + 1))
        return place < len(text) and glob[at] in ("?", text[place]) and match(at + 1, place + 1)

    return match(0, 0)


@given(SIGNS, TEXTS)
def test_matching_agrees_with_the_definition(glob: str, text: str) -> None:
    assert TextGlob.parse(glob).matches(text) == slow_match(glob, text)


@given(SIGNS, SIGNS, TEXTS)
def test_what_a_covered_glob_matches_the_covering_one_matches(
    wide: str, narrow: str, text: str
) -> None:
    """Dead rules are refused by this claim (design 4), so it has to be a proof."""
    if TextGlob.parse(wide).covers(TextGlob.parse(narrow)) and slow_match(narrow, text):
        assert slow_match(wide, text)


@given(SIGNS, SIGNS, TEXTS)
def test_globs_that_match_one_name_meet(one: str, other: str, text: str) -> None:
    first, second = (NameGlob("", TextGlob("a"), TextGlob(glob)) for glob in (one, other))
    if slow_match(one, text) and slow_match(other, text):
        assert first.meets(second)


@given(SIGNS, SIGNS)
def test_globs_that_meet_have_a_name_in_common(one: str, other: str) -> None:
    """Met by hand: each way to pair their signs off is tried."""

    @cache
    def meet(at: int, place: int) -> bool:
        mine, yours = one[at : at + 1], other[place : place + 1]
        if not mine and not yours:
            return True
        if mine == "*" and (meet(at + 1, place) or (yours and meet(at, place + 1))):
            return True
        if yours == "*" and (meet(at, place + 1) or (mine and meet(at + 1, place))):
            return True
        is_same = mine == yours or "?" in (mine, yours)
        return bool(mine and yours and is_same and "*" not in (mine, yours)) and meet(
            at + 1, place + 1
        )

    first, second = (NameGlob("", TextGlob("a"), TextGlob(glob)) for glob in (one, other))
    assert first.meets(second) == meet(0, 0)


@given(st.text("ab", max_size=3), st.text("ab", max_size=3), st.booleans(), st.booleans())
def test_covering_is_decided_for_exact_texts_and_prefixes(
    wide: str, narrow: str, is_wide_open: bool, is_narrow_open: bool
) -> None:
    covering = TextGlob(wide + "*" * is_wide_open)
    covered = TextGlob(narrow + "*" * is_narrow_open)

    expected = narrow.startswith(wide) if is_wide_open else narrow == wide and not is_narrow_open
    assert covering.covers(covered) == expected


@pytest.mark.promise("P7")
@pytest.mark.parametrize(
    ("glob", "source", "name", "expected"),
    [
        ("*", "billing", "create.refund/v2", True),
        ("*.*", "billing", "", True),
        ("billing.create_refund", "billing", "create_refund", True),
        ("billing.create_refund", "billing", "create_refunds", False),
        ("billing.Create_refund", "billing", "create_refund", False),
        ("billing.*", "billing", "a.b/c", True),
        ("billing.*", "billing2", "a", False),
        ("bill*.get_*", "billing", "get_invoice", True),
        ("b*g.get", "b.g", "get", False),
        ("*.read?file", "fs", "read_file", True),
        ("*.read?file", "fs", "readfile", False),
        ("fs.read.*", "fs", "read.all", True),
        ("fs.read.*", "fs", "read", False),
        ("docs.https://wiki/*/public", "docs", "https://wiki/a/b.c/public", True),
        ("docs.file:///srv/*.md", "docs", "file:///srv/deep/er.md", True),
        ("docs.file:///srv/*.md", "docs", "file:///srv/deep/er.txt", False),
        ("team*.x", "team", "x", True),
    ],
)
def test_the_source_part_ends_at_the_first_dot_and_the_name_part_crosses_everything(
    glob: str, source: str, name: str, expected: bool
) -> None:
    """P7; D22 tells what a star that stops at a slash did."""
    assert NameGlob.parse(glob).matches(source, name) == expected


@pytest.mark.promise("P7")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a glob is empty, write `*` for everything"),
        ("**", "glob `**` has no dot, did you mean `*`?"),
        (
            "billing",
            (
                "glob `billing` has no dot between source and name, "
                "did you mean `billing.*` (all of a source) or `*.billing` (in every source)?"
            ),
        ),
        (".pay", "glob `.pay` has nothing before the dot, did you mean `*.pay`?"),
        ("billing.", "glob `billing.` has nothing after the dot, did you mean `billing.*`?"),
        (
            "Billing_v2.pay",
            (
                "glob `Billing_v2.pay` can match no source: names of sources are lower-case "
                "letters, digits and inner dashes, did you mean `billing-v2.pay`?"
            ),
        ),
        (
            "abcdefghijklmnopqrstuvwxy*.pay",
            (
                "glob `abcdefghijklmnopqrstuvwxy*.pay` can match no source: "
                "names of sources have at most 24 characters"
            ),
        ),
        (
            "fs.[ab]*",
            (
                "glob `fs.[ab]*` holds `[`: there are no character classes, "
                "use `?` for one character or list the names"
            ),
        ),
        (
            "fs.{read,list}",
            "glob `fs.{read,list}` holds `{`: there are no alternatives, write one glob for each",
        ),
        (
            "fs.a\\*",
            "glob `fs.a\\*` holds `\\`: there is no escape, use `?` for one character",
        ),
        (" fs.read", "glob ` fs.read` begins or ends with a blank, did you mean `fs.read`?"),
        ("fs.re\u200bad", "a glob holds the invisible character U+200B, remove it"),
        ("fs." + "a" * 1022, "a glob has 1025 characters, at most 1024 are allowed"),
    ],
)
def test_a_malformed_glob_is_an_error_that_says_what_to_write(text: str, message: str) -> None:
    """D22: a malformed pattern in a deny rule must never just match nothing."""
    with pytest.raises(BadGlob) as caught:
        NameGlob.parse(text)

    assert caught.value.message == message


@pytest.mark.parametrize(
    ("text", "prefix", "is_exact"),
    [
        ("*", "", False),
        ("fs.read", "fs.read", True),
        ("fs.read_*", "fs.read_", False),
        ("fs.*", "fs.", False),
        ("f*.read", "f", False),
        ("*.read", "", False),
        ("fs.?ead", "fs.", False),
    ],
)
def test_an_index_can_sort_globs_by_what_every_match_begins_with(
    text: str, prefix: str, is_exact: bool
) -> None:
    glob = NameGlob.parse(text)

    assert (glob.literal_prefix, glob.is_exact) == (prefix, is_exact)


@pytest.mark.timeout(60)
@pytest.mark.promise("D22")
def test_hostile_names_and_globs_take_no_more_than_their_product() -> None:
    """A pattern of stars against a long name that never fits: seconds would be a way in."""
    glob = TextGlob.parse("a*" * 400 + "?b")

    assert not glob.matches("a" * 20_000)
    assert glob.covers(TextGlob.parse("a*" * 400 + "?b"))
