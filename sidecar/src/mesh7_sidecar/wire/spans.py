"""Where a member's value stands in the bytes of a JSON object, and other bytes put there.

For JSON that `jsonrpc.parse` has accepted: no key is double, so there is one place or none. What
lies around it keeps its bytes. Pure: no clock, no network, no logging.
"""

import re
from typing import Final

import orjson

# Possessive, so that a long string costs no memory for backtracking.
_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_KEY: Final = re.compile(rb"[\s{,]*+(" + _STRING + rb")\s*+:\s*+", re.DOTALL)
_TEXT: Final = re.compile(_STRING, re.DOTALL)
_PLAIN: Final = re.compile(rb"[^\s,\]}]++")
_NESTING: Final = re.compile(_STRING + rb"|[\[\]{}]", re.DOTALL)
_ID: Final = rb'"id"\s*+:\s*+(-?\d{1,20}|"[^"\\]{0,128}")'
_ID_FIRST: Final = re.compile(rb'\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?' + _ID + rb"\s*[,}]")
_ID_LAST: Final = re.compile(rb",\s*" + _ID + rb"\s*\}\s*\Z")
_TAIL_BYTES: Final = 256


def find(raw: bytes, path: tuple[str, ...]) -> tuple[int, int] | None:
    """Start and end of the value at a path of object keys; None when there is none."""
    start, end = 0, len(raw)
    for key in path:
        found = _member(raw, start, end, orjson.dumps(key))
        if found is None:
            return None
        start, end = found
    return start, end


def replace(raw: bytes, path: tuple[str, ...], value: bytes) -> bytes:
    """`raw` with other bytes as the value at a path; unchanged when there is no such member."""
    found = _outer_id(raw) if path == ("id",) else None
    found = found or find(raw, path)
    return raw if found is None else raw[: found[0]] + value + raw[found[1] :]


def likely_id(head: bytes, tail: bytes) -> int | str | None:
    """The id of a message that cannot be read whole, by its first and last bytes.

    A program writes its id first or last; None when it does neither. A guess: good enough to fail
    one call instead of letting it wait, never to answer one.
    """
    match = _ID_FIRST.match(head) or _ID_LAST.search(tail)
    if match is None:
        return None
    value: object = orjson.loads(match[1])
    return value if isinstance(value, int | str) else None


def _outer_id(raw: bytes) -> tuple[int, int] | None:
    """The place of `id` when it comes first or last: no walk through a large result."""
    match = _ID_FIRST.match(raw) or _ID_LAST.search(raw, max(0, len(raw) - _TAIL_BYTES))
    return None if match is None else match.span(1)


def _member(raw: bytes, start: int, end: int, key: bytes) -> tuple[int, int] | None:
    position = start
    if raw[start : start + 1].isspace():
        position = _after_space(raw, start)
    if raw[position : position + 1] != b"{":
        return None
    while (match := _KEY.match(raw, position, end)) is not None:
        value_end = _value_end(raw, match.end())
        if match[1] == key or (b"\\" in match[1] and orjson.dumps(orjson.loads(match[1])) == key):
            return match.end(), value_end
        position = _after_space(raw, value_end)
        if raw[position : position + 1] != b",":
            return None
    return None


def _after_space(raw: bytes, position: int) -> int:
    while raw[position : position + 1].isspace():
        position += 1
    return position


def _value_end(raw: bytes, start: int) -> int:
    first = raw[start : start + 1]
    if first == b'"':
        match = _TEXT.match(raw, start)
        return len(raw) if match is None else match.end()
    if first not in {b"{", b"["}:
        match = _PLAIN.match(raw, start)
        return start if match is None else match.end()
    depth = 0
    for match in _NESTING.finditer(raw, start):
        token = match[0]
        if token in {b"{", b"["}:
            depth += 1
        elif token in {b"}", b"]"}:
            depth -= 1
            if depth == 0:
                return match.end()
    return len(raw)
