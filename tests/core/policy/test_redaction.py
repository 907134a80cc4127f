"""What `record.redact` names is seen by nobody, wherever in the arguments it stands."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.policy.redaction import MASK, redacted

TEXT = st.sampled_from(["a", "b", "token", "items"])
VALUES = st.recursive(
    st.none() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)
ORDER = {
    "token": "t",
    "amount": 5,
    "items": [{"sku": 1, "secret": "x"}, {"sku": 2, "secret": {"deep": "y"}}],
    "owner": {"token": "u", "name": "ada", "odd key": "z"},
}


@pytest.mark.parametrize(
    ("path", "places"),
    [
        ("$.token", [("token",)]),
        ("$..token", [("token",), ("owner", "token")]),
        ("$.items[*].secret", [("items", 0, "secret"), ("items", 1, "secret")]),
        ("$.items[1].secret", [("items", 1, "secret")]),
        ("$.items[1]..deep", [("items", 1, "secret", "deep")]),
        ("$.owner['odd key']", [("owner", "odd key")]),
        ("$.owner.*", [("owner", "token"), ("owner", "name"), ("owner", "odd key")]),
        ("$.items", [("items",)]),
        ("$.nothing.here", []),
        ("$.token.below", []),
        ("$[0]", []),
    ],
)
def test_a_path_hides_what_it_names_and_nothing_else(
    path: str, places: list[tuple[str | int, ...]]
) -> None:
    expected: object = ORDER
    for place in places:
        expected = put(expected, place)
    assert redacted(ORDER, [path]) == expected


def test_several_paths_hide_all_that_they_name() -> None:
    assert redacted({"a": 1, "b": {"a": 2, "c": 3}}, ["$.a", "$.b.c"]) == {
        "a": MASK, "b": {"a": 2, "c": MASK}
    }  # fmt: skip


@pytest.mark.promise("A11")
@pytest.mark.parametrize("path", ["$.card", "$..Card", "$['CARD']"])
@pytest.mark.parametrize("key", ["card", "Card", "CARD", "\uff23ard"])
def test_an_agent_that_spells_a_key_otherwise_does_not_get_past_redaction(
    path: str, key: str
) -> None:
    """Conditions fold names alike (docs/user/policies.md); an upstream may read them as one."""
    assert redacted({key: "4711", "cards": 1}, [path]) == {key: MASK, "cards": 1}


@pytest.mark.parametrize("path", ["", "$", "token", "$.", "$.a b", "$['a", "$[x]", "$..*", "$.a$"])
def test_a_path_that_cannot_be_read_hides_everything(path: str) -> None:
    """The compiler refuses it; whoever gets past it hides too much, never too little."""
    assert redacted({"token": "t"}, ["$.a", path]) == MASK


def test_what_is_nested_too_deeply_is_hidden() -> None:
    deep: object = "secret"
    for _ in range(100_000):
        deep = [deep]
    assert redacted(deep, ["$..token"]) == MASK


@given(VALUES, st.lists(st.sampled_from(["$..token", "$.a", "$.items[*]"]), max_size=3))
def test_hiding_twice_is_hiding_once(value: object, paths: list[str]) -> None:
    once = redacted(value, paths)
    assert redacted(once, paths) == once


@given(VALUES)
def test_no_depth_keeps_a_name_from_being_hidden(value: object) -> None:
    assert all(one == MASK for one in under("token", redacted(value, ["$..token"])))


def under(name: str, value: object) -> list[object]:
    """Everything that stands under a name, as deep as it is."""
    if isinstance(value, list):
        return [found for one in value for found in under(name, one)]
    if not isinstance(value, dict):
        return []
    below = [found for one in value.values() for found in under(name, one)]
    return below + [one for key, one in value.items() if key == name]


def put(value: object, place: tuple[str | int, ...]) -> object:
    """A copy with the mask at one place."""
    if not place:
        return MASK
    if isinstance(value, list):
        return [put(one, place[1:]) if at == place[0] else one for at, one in enumerate(value)]
    assert isinstance(value, dict)
    return {key: put(one, place[1:]) if key == place[0] else one for key, one in value.items()}
