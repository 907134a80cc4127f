"""What the digest of a definition is over, and what pinning makes of it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.policy import bundle, canonical, definitions
from mesh7_core.policy.definitions import State

ENFORCE, WARN, IGNORE = bundle.Pinning.ENFORCE, bundle.Pinning.WARN, bundle.Pinning.IGNORE
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)
TOOLS = st.fixed_dictionaries(
    {"name": st.text(min_size=1, max_size=8), "description": st.text(max_size=20)},
    optional={
        "title": st.text(max_size=8), "inputSchema": JSON, "outputSchema": JSON,
        "annotations": JSON, "execution": JSON, "_meta": JSON, "x-unknown": JSON,
    },
)  # fmt: skip


def digest(raw: str, instructions: str = "") -> str:
    return definitions.digest(definitions.text(raw.encode(), instructions))


def reordered(value: object) -> object:
    """The same value, its members the other way round."""
    if isinstance(value, dict):
        return {key: reordered(inner) for key, inner in reversed(list(value.items()))}
    return [reordered(each) for each in value] if isinstance(value, list) else value


@pytest.mark.promise("M11")
@given(TOOLS, st.booleans(), st.sampled_from([None, 1, 4]))
def test_another_spelling_of_a_definition_has_the_same_digest(
    tool: dict[str, object], is_ascii: bool, indent: int | None
) -> None:
    """Blanks, order of members and escapes say nothing to a model."""
    again = json.dumps(reordered(tool), ensure_ascii=is_ascii, indent=indent)
    assert digest(again) == digest(json.dumps(tool))


@pytest.mark.promise("M11")
@given(TOOLS, TOOLS)
def test_another_definition_has_another_digest(
    one: dict[str, object], other: dict[str, object]
) -> None:
    """M11: one changed byte counts, in any field that a model reads or a client acts by."""
    # Not `==`: to Python 1 is True.
    is_same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (digest(json.dumps(one)) == digest(json.dumps(other))) == is_same


@pytest.mark.promise("M11")
@given(TOOLS, st.integers(min_value=0), st.characters(categories=["L", "N", "P", "Zs", "Cf"]))
def test_one_more_letter_in_a_description_changes_the_digest(
    tool: dict[str, object], place: int, letter: str
) -> None:
    """M11: also one that nobody sees."""
    description = str(tool["description"])
    at = place % (len(description) + 1)
    longer = {**tool, "description": description[:at] + letter + description[at:]}
    assert digest(json.dumps(longer)) != digest(json.dumps(tool))


@pytest.mark.promise("M11")
def test_instructions_count_and_icons_do_not() -> None:
    """X18: instructions are read by the model; icons by people alone."""
    plain = '{"name":"a"}'
    assert digest(plain, "Obey.") != digest(plain)
    assert digest('{"name":"a","icons":[{"src":"https://x/?signed=1"}]}') == digest(plain)


@pytest.mark.promise("M11")
def test_a_tool_cannot_pass_for_one_with_instructions() -> None:
    """What a tool says of itself never stands where its server's instructions stand."""
    assert digest('{"name":"a","instructions":"Obey."}') != digest('{"name":"a"}', "Obey.")


@pytest.mark.parametrize(
    ("body", "spelling"),
    [
        ('{"b":1,"a":[ ]}', '{"a":[],"b":1}'),
        ("[1.0, 1, 1e2, 1E2, -0.0]", "[1.0,1,1e2,1E2,-0.0]"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        (r'"\u00e9\u000a\/\u0001\"\\"', r'"é\n/\u0001\"\\"'),
        ('{"\ufb33":1,"\U0001f600":2}', '{"\U0001f600":2,"\ufb33":1}'),
        (
            '[{"\ufb33":[{"b":1,"a":1.0}],"\U0001f600":-0}]',
            '[{"\U0001f600":-0,"\ufb33":[{"a":1.0,"b":1}]}]',
        ),
        (r'{"b":"\ufb33\":","a":"-0"}', '{"a":"-0","b":"\ufb33\\":"}'),
        ("[-0, 1e-0, -0.50, 9223372036854775808]", "[-0,1e-0,-0.50,9223372036854775808]"),
        ("[true,false,null]", "[true,false,null]"),
    ],
)
def test_the_canonical_spelling_is_that_of_rfc_8785_but_for_numbers(
    body: str, spelling: str
) -> None:
    """RFC 8785, 3.2; numbers stay as they were spelled (issue 4, approvals)."""
    assert canonical.spelling(body.encode()).decode() == spelling


@pytest.mark.parametrize("body", ['{"a":1,"a":2}', "[NaN]", r'"\ud800"', "{", ""])
def test_what_is_not_strict_json_has_no_spelling(body: str) -> None:
    """Two readers would read two things."""
    with pytest.raises(ValueError, match=r"."):
        canonical.spelling(body.encode())


@pytest.mark.promise("M11")
@pytest.mark.parametrize(
    ("pinning", "accepted", "baseline", "state", "is_served"),
    [
        (IGNORE, "", "", State.UNPINNED, True),
        (IGNORE, "x", "x", State.UNPINNED, True),
        (ENFORCE, "", "", State.NEW, False),
        (ENFORCE, "", "d", State.NEW, False),
        (ENFORCE, "x", "d", State.CHANGED, False),
        (ENFORCE, "d", "x", State.ACCEPTED, True),
        (WARN, "", "", State.NEW, True),
        (WARN, "", "d", State.NEW, True),
        (WARN, "", "x", State.CHANGED, True),
        (WARN, "x", "d", State.CHANGED, True),
        (WARN, "d", "x", State.ACCEPTED, True),
    ],
)
def test_each_mode_makes_its_own_of_a_definition(
    pinning: bundle.Pinning, accepted: str, baseline: str, state: State, is_served: bool
) -> None:
    """Design 8, as a truth table; the definition found is `d`."""
    found = definitions.state(pinning, accepted, baseline, "d")
    assert (found, definitions.is_served(pinning, found)) == (state, is_served)
