"""Edits on raw JSON that leave every other byte as it came (promise M4).

A scanner of four compiled expressions finds where a value stands; it works in linear time, skips
what it is not asked for a bracket at a time, and never recurses. The input is JSON that a strict
parser has accepted; on anything else the functions still end, and say None or change nothing.
Pure: no clock, no network, no logging.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final

import orjson

Path = tuple[str | int, ...]
"""Keys and indices from the root, as in `("params", "name")`."""

OWN_PREFIX: Final = "mesh7.dev/"
"""`_meta` keys that only the gateway may write; from outside they are dropped."""

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
# An escape of one of the characters of OWN_PREFIX; an escaped slash leaves `mesh7.dev` readable.
_DISGUISED = re.compile(rb"\\u00(?:6[458dD]|7[36]|37|2[eE])")
_BLANK = re.compile(rb"[ \t\n\r]*+")
_COMMA = re.compile(rb"[ \t\n\r]*+,")
_KEY = re.compile(rb"[ \t\n\r]*+(" + _STRING + rb")[ \t\n\r]*+:[ \t\n\r]*+", re.DOTALL)
_SCALAR = re.compile(_STRING + rb"|[^\s,\]}\[{\":]++", re.DOTALL)


def _run_of(levels: int) -> re.Pattern[bytes]:
    """Everything up to the next bracket that opens a container of more than `levels` levels.

    Deeper ones are entered by `_end_of`. Five levels take most bodies in one match, ten times
    faster than bracket by bracket; each further level costs a deeply nested body one more look.
    """
    plain = rb'[^"\[\]{}]++|' + _STRING
    run = rb"(?:" + plain + rb")*+"
    for _ in range(levels):
        run = rb"(?:" + plain + rb"|\[" + run + rb"\]|\{" + run + rb"\})*+"
    return re.compile(run, re.DOTALL)


_RUN = _run_of(5)
_OPENING = (0x5B, 0x7B)  # [ {
_CLOSING = (0x5D, 0x7D)  # ] }


class Member:
    """One member of an object: where its key and value stand in the body.

    Attributes:
        key: decoded.
        start: of the key's opening quote.
        value_start, value_end: the value, without blanks around it.
    """

    __slots__ = ("key", "start", "value_end", "value_start")

    def __init__(self, key: str, start: int, value_start: int, value_end: int) -> None:
        self.key = key
        self.start = start
        self.value_start = value_start
        self.value_end = value_end


def span(body: bytes, path: Path) -> tuple[int, int] | None:
    """Where the value at `path` stands, `body[start:end]`; None when there is none."""
    start = _blanks(body, 0)
    for step in path:
        found = _child(body, start, step)
        if found is None:
            return None
        start = found
    end = _end_of(body, start)
    return None if end is None else (start, end)


def members(body: bytes, start: int) -> Iterator[Member]:
    """The members of the object at `start`, in order; ends early where the JSON is broken."""
    if body[start : start + 1] != b"{":
        return
    position = start + 1
    while (match := _KEY.match(body, position)) is not None:
        end = _end_of(body, match.end())
        if end is None:
            return
        yield Member(_decoded(match[1]), match.start(1), match.end(), end)
        position = _blanks(body, end)
        if body[position : position + 1] != b",":
            return
        position += 1


def elements(body: bytes, start: int) -> Iterator[tuple[int, int]]:
    """Where the elements of the array at `start` stand, in order."""
    if body[start : start + 1] != b"[":
        return
    position = _blanks(body, start + 1)
    while (end := _end_of(body, position)) is not None:
        yield position, end
        position = _blanks(body, end)
        if body[position : position + 1] != b",":
            return
        position = _blanks(body, position + 1)


def replace(body: bytes, path: Path, value: bytes) -> bytes:
    """`body` with the value at `path` replaced by the JSON `value`; unchanged without that path."""
    found = span(body, path)
    return body if found is None else body[: found[0]] + value + body[found[1] :]


def insert_key(body: bytes, path: Path, key: str, value: bytes) -> bytes:
    """`body` with a member put first into the object at `path`; the key must not be in it yet."""
    found = span(body, path)
    if found is None or body[found[0] : found[0] + 1] != b"{":
        return body
    inside = found[0] + 1
    is_empty = body[_blanks(body, inside) : found[1]] == b"}"
    member = orjson.dumps(key) + b":" + value + (b"" if is_empty else b",")
    return body[:inside] + member + body[inside:]


def remove_key(body: bytes, path: Path) -> bytes:
    """`body` without the member at `path` and one comma beside it; the last step is a key."""
    key = path[-1]
    return remove_keys(body, path[:-1], lambda name: name == key)


def remove_keys(body: bytes, path: Path, is_unwanted: Callable[[str], bool]) -> bytes:
    """`body` without those members of the object at `path` whose decoded key is unwanted."""
    found = span(body, path)
    if found is None:
        return body
    begin, end = found[0] + 1, found[0] + 1
    kept: list[bytes] = []
    count = 0
    for member in members(body, found[0]):
        count += 1
        end = member.value_end
        if not is_unwanted(member.key):
            # The blanks before a kept member stay with it; only commas are written anew.
            kept.append(body[begin:end])
        begin = _blanks(body, end) + 1
    if len(kept) == count:
        return body
    return body[: found[0] + 1] + b",".join(kept) + body[end:]


def remove_own_meta(body: bytes, path: Path) -> bytes:
    """`body` without `mesh7.dev/…` keys in the object at `path`, however they are escaped.

    Nearly always a look at the bytes is enough.
    """
    if b"mesh7.dev" not in body and _DISGUISED.search(body) is None:
        return body
    return remove_keys(body, path, _is_own)


def set_key(body: bytes, path: Path, value: bytes) -> bytes:
    """`body` with the member at `path` replaced, or put in when its object has no such key."""
    if span(body, path) is not None:
        return replace(body, path, value)
    return insert_key(body, path[:-1], str(path[-1]), value)


def _is_own(key: str) -> bool:
    return key.startswith(OWN_PREFIX)


def _child(body: bytes, start: int, step: str | int) -> int | None:
    if isinstance(step, str):
        return _child_by_key(body, start, step)
    for index, (element, _) in enumerate(elements(body, start)):
        if index == step:
            return element
    return None


def _child_by_key(body: bytes, start: int, key: str) -> int | None:
    """As `members`, without making them: the aggregate door asks for a name on every call."""
    wanted = b'"%b"' % key.encode()
    if body[start : start + 1] != b"{":
        return None
    position = start + 1
    while (match := _KEY.match(body, position)) is not None:
        raw = match[1]
        if raw == wanted or (b"\\" in raw and _decoded(raw) == key):
            return match.end()
        end = _end_of(body, match.end())
        comma = None if end is None else _COMMA.match(body, end)
        if comma is None:
            return None
        position = comma.end()
    return None


def _end_of(body: bytes, start: int) -> int | None:
    """Where the value that starts at `start` ends; None when there is none or it never ends."""
    first = body[start] if start < len(body) else 0
    if first not in _OPENING:
        match = _SCALAR.match(body, start)
        return None if match is None else match.end()
    depth = 1
    position = start + 1
    while depth:
        match = _RUN.match(body, position)
        position = match.end() if match is not None else position
        if position >= len(body):
            return None
        if body[position] in _OPENING:
            depth += 1
        elif body[position] in _CLOSING:
            depth -= 1
        else:
            return None
        position += 1
    return position


def _blanks(body: bytes, start: int) -> int:
    match = _BLANK.match(body, start)
    return start if match is None else match.end()


def _decoded(raw: bytes) -> str:
    """A key's text; an escape that no string can hold stays as it is written."""
    if b"\\" not in raw:
        return raw[1:-1].decode("utf-8", "replace")
    try:
        return str(orjson.loads(raw))
    except ValueError:
        return raw[1:-1].decode("utf-8", "replace")
