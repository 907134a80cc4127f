"""Edits on raw JSON leave everything else alone."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_sidecar.wire import meta, splice
from tests.sidecar.wire import messages

KEYS = st.sampled_from(["a", "b", "name", "_meta", 'q"', "\\", "\u00e9", "mesh7.dev/x", "{", "]"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=5)
STYLES = st.sampled_from([
    {"separators": (",", ":")}, {"indent": 1}, {"separators": (" , ", " : ")},
    {"ensure_ascii": False},
])  # fmt: skip


def written(value: object, style: dict[str, object]) -> bytes:
    return json.dumps(value, **style).encode()  # type: ignore[arg-type]


def at(value: object, path: splice.Path) -> object:
    for step in path:
        value = value[step]  # type: ignore[index]
    return value


def paths_of(value: object, path: splice.Path = ()) -> list[splice.Path]:
    found: list[splice.Path] = [path]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += paths_of(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += paths_of(inner, (*path, index))
    return found


@given(OBJECTS, STYLES)
@pytest.mark.promise("M4")
def test_every_value_is_found_where_it_stands(value: object, style: dict[str, object]) -> None:
    """M4 as a law: the span of a path is that value and nothing else."""
    body = b" \n" + written(value, style) + b"\t"
    for path in paths_of(value):
        place = splice.span(body, path)
        assert place is not None
        assert json.loads(body[place[0] : place[1]]) == at(value, path)
        assert body[place[0] : place[1]].strip() == body[place[0] : place[1]]


@given(OBJECTS, STYLES, st.data())
@pytest.mark.promise("M4")
def test_a_replacement_changes_one_value_and_no_other_byte(
    value: object, style: dict[str, object], data: st.DataObject
) -> None:
    """M4: what stands before and after is the same bytes."""
    body = written(value, style)
    path = data.draw(st.sampled_from(paths_of(value)))
    edited = splice.replace(body, path, b'{"new":[1]}')
    place = splice.span(body, path)
    assert place is not None
    assert edited == body[: place[0]] + b'{"new":[1]}' + body[place[1] :]
    assert at(json.loads(edited), path) == {"new": [1]}


@given(OBJECTS, STYLES, st.data())
@pytest.mark.promise("M4")
def test_removing_a_key_is_what_deleting_it_from_the_object_is(
    inner: dict[str, object], style: dict[str, object], data: st.DataObject
) -> None:
    """Order of the rest kept, commas right, blanks of kept members kept."""
    value = {"first": 1, "params": inner, "last": [1, 2]}
    key = data.draw(KEYS)
    edited = splice.remove_key(written(value, style), ("params", key))
    expected = {**value, "params": {k: v for k, v in inner.items() if k != key}}
    assert json.loads(edited) == expected
    assert list(json.loads(edited)["params"]) == [name for name in inner if name != key]
    if key not in inner:
        assert edited == written(value, style)


@given(OBJECTS, STYLES)
@pytest.mark.promise("M4")
def test_inserting_a_key_adds_it_and_nothing_else(
    inner: dict[str, object], style: dict[str, object]
) -> None:
    """The counterpart of removal."""
    body = written({"params": inner}, style)
    edited = splice.set_key(body, ("params", "fresh"), b"true")
    assert json.loads(edited) == {"params": {"fresh": True, **inner}}
    assert json.loads(splice.remove_key(edited, ("params", "fresh"))) == {"params": inner}


@given(st.binary(max_size=60), st.lists(KEYS | st.integers(0, 2), max_size=3))
@pytest.mark.promise("X5")
def test_scanning_ends_on_any_bytes(body: bytes, path: list[str | int]) -> None:
    """Broken JSON from a source is scanned too; it may be wrong, never endless."""
    splice.span(body, tuple(path))
    splice.remove_keys(body, tuple(path), lambda key: key == "a")


@pytest.mark.parametrize("count", [20_000, 200_000])
@pytest.mark.promise("X5")
def test_deep_nesting_is_no_recursion(count: int) -> None:
    """X5: a bracket bomb costs its length."""
    assert splice.span(b"[" * count + b"]" * count, ()) == (0, 2 * count)
    assert splice.span(b"[" * count, ()) is None


@pytest.mark.promise("M3")
@pytest.mark.parametrize(
    "spelling",
    [
        "mesh7.dev/decision", r"\u006desh7.dev/x", r"mesh7.dev\/x", r"mesh7\u002edev/x",
        r"mesh\u0037.dev/x", r"m\u0065sh7.dev/x", r"me\u0073h7.dev/x", r"mes\u00687.dev/x",
        r"mesh7.\u0064ev/x", r"mesh7.de\u0076/x", r"mesh7.dev\u002Fx", r"mesh7.dev\u002fx",
        r"mesh7\u002Edev/x",
    ],
)  # fmt: skip
def test_our_own_keys_from_outside_are_dropped_however_they_are_spelled(spelling: str) -> None:
    """M3: `_meta` under `mesh7.dev/` from outside is dropped; the rest is the same bytes."""
    fields = b'{ "a/b" : 1.0 , "%b": {"x":[1,"}"]}, "c":"\\u00e9"}' % spelling.encode()
    agent = b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"n":1e2,"_meta":%b}}' % fields
    expected = b'{ "a/b" : 1.0, "c":"\\u00e9"}'
    assert meta.without_ours(messages.read(agent)) == agent.replace(fields, expected)
    answer = b'{"jsonrpc":"2.0","id":1,"result":{"_meta":%b}}' % fields
    assert splice.remove_own_meta(answer, ("result", "_meta")) == answer.replace(fields, expected)


@pytest.mark.promise("D30")
def test_a_message_without_our_keys_is_the_same_object() -> None:
    """M4, D30: bytes pass unchanged when nothing had to change."""
    raw = messages.body("tools/call", {"name": "a", "_meta": {"mesh7.de": 1, "x": "mesh7.dev/"}})
    assert meta.without_ours(messages.read(raw)) is raw
