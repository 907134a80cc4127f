"""Another id in the place of a message's own, and nothing else touched."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_sidecar.wire import identifiers

KEYS = st.sampled_from(["id", "params", "jsonrpc", "x", 'q"uote', "back\\slash", "é"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('ab"\\é{}[],: ', max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.promise("M4")
@given(st.dictionaries(KEYS, VALUES, max_size=5), st.sampled_from([None, 2]))
def test_another_id_changes_the_id_alone(message: dict[str, object], indent: int | None) -> None:
    """Promised by M4: bytes pass unchanged when nothing had to change."""
    raw = json.dumps(message, indent=indent, ensure_ascii=indent is None).encode()
    found = identifiers.with_id(raw, b"5")
    if "id" in message:
        assert json.loads(found) == {**message, "id": 5}
    else:
        assert found == raw


@pytest.mark.promise("M4")
@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            b'{"jsonrpc":"2.0","id":1,"result":{"id":1}}',
            b'{"jsonrpc":"2.0","id":9,"result":{"id":1}}',
        ),
        (
            b'{"result":{"id":1.50},"jsonrpc":"2.0","id":1}',
            b'{"result":{"id":1.50},"jsonrpc":"2.0","id":9}',
        ),
        (
            b'{"result":{ "a":1e2 }, "id" : "x" ,"z":[]}',
            b'{"result":{ "a":1e2 }, "id" : 9 ,"z":[]}',
        ),
        (b'{"result":{"t":",\\"id\\":1}"}}', b'{"result":{"t":",\\"id\\":1}"}}'),
        (b'{"\\u0069d":1}', b'{"\\u0069d":9}'),
    ],
)
def test_spelling_around_an_id_is_kept(raw: bytes, expected: bytes) -> None:
    """Promised by M4 and D30."""
    assert identifiers.with_id(raw, b"9") == expected


@pytest.mark.parametrize(
    ("head", "tail", "expected"),
    [
        (b'{"jsonrpc":"2.0","id":7,"result":{"text":"xxx', b"xxx", 7),
        (b'{"result":{"text":"xxx', b'xxx"},"jsonrpc":"2.0","id":"a"}', "a"),
        (b'{"result":{"id":7', b'xxx"}}', None),
        (b"", b"", None),
    ],
)
def test_the_id_of_an_unreadable_message_is_guessed_from_its_ends(
    head: bytes, tail: bytes, expected: int | str | None
) -> None:
    """Promised by X26: an overlong answer fails its own call."""
    assert identifiers.likely_id(head, tail) == expected
