"""What a call forwards without what policies hide, and whether more is gone than they name.

What cannot be searched is hidden whole. The path of an HTTP request stays as it is, for it has no
names. Pure: no clock, no network, no logging.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_plus

from mesh7_core.policy import canonical, redaction
from mesh7_core.policy.redaction import MASK

MOST_PARAMETERS: Final = 256
"""Of a query; one with more is hidden whole, so that a forged one takes no time."""

_BETWEEN: Final = re.compile("([&;])")
_INSIDE: Final = re.compile(r"[\[\].]+")
_LONGEST_INDEX: Final = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Masked:
    """What is left.

    Attributes:
        text: canonical JSON.
        is_whole: nothing is gone but what the paths name.
    """

    text: str
    is_whole: bool


def masked(text: str, form: str, paths: Sequence[str]) -> Masked:
    """What is left of a text of `exact.mark_of`.

    Args:
        text: canonical JSON.
        form: what it is; `http` and `params` have parts that paths begin at.
        paths: JSONPaths; not empty.
    """
    try:
        value = canonical.read(text.encode())
        left, is_whole = _redacted(value, form, paths)
    except (ValueError, RecursionError):
        return Masked(text=canonical.written(MASK), is_whole=False)
    return Masked(text=canonical.written(left), is_whole=is_whole)


def _redacted(value: object, form: str, paths: Sequence[str]) -> tuple[object, bool]:
    if form == "http" and isinstance(value, dict):
        return _http(value, paths)
    if form == "params" and isinstance(value, dict) and "arguments" in value:
        around = {name: one for name, one in value.items() if name != "arguments"}
        (rest, is_whole), (inner, are_whole) = (
            _parts(one, paths) for one in (around, value["arguments"])
        )
        if isinstance(rest, dict):
            return {**rest, "arguments": inner}, is_whole and are_whole
        return rest, False
    return _parts(value, paths)


def _parts(value: object, paths: Sequence[str]) -> tuple[object, bool]:
    left = redaction.redacted(value, paths)
    return left, left != MASK or value == MASK


def _http(value: dict[str, object], paths: Sequence[str]) -> tuple[object, bool]:
    hidden = redaction.Hidden(paths)
    left, is_whole = dict(value), True
    for name, one in value.items():
        if name == "body":
            left[name], is_found = _body(one, paths)
        elif name == "query":
            left[name], is_found = _query(one, hidden)
        elif name == "headers":
            left[name], is_found = _headers(one, hidden), True
        elif name in {"bodyDigest", "bodyHead", "bodyTail"}:
            # Of a digest short values can be guessed, in half a text nothing can be found.
            left[name], is_found = MASK, True
        else:
            continue
        is_whole = is_whole and is_found
    return left, is_whole


def _body(body: object, paths: Sequence[str]) -> tuple[str, bool]:
    """Paths begin at a body that is JSON."""
    try:
        left, is_whole = _parts(canonical.read(str(body).encode()), paths)
    except (ValueError, RecursionError):
        return MASK, False
    return canonical.written(left), is_whole


def _query(query: object, hidden: redaction.Hidden) -> tuple[str, bool]:
    """A parameter is a member of its name; `card[number]` and `card.number` lie in `card`, too."""
    parts = _BETWEEN.split(str(query), maxsplit=MOST_PARAMETERS)
    if _BETWEEN.search(parts[-1]):
        return MASK, False
    return "".join(_parameter(one, hidden) for one in parts), True


def _parameter(written: str, hidden: redaction.Hidden) -> str:
    name, equals, _ = written.partition("=")
    if not equals:
        return written
    plain = unquote_plus(name)
    inside = [_key(one) for one in _INSIDE.split(plain) if one]
    is_hidden = hidden.has([plain]) or hidden.has(inside)
    return f"{name}={MASK}" if is_hidden else written


def _key(part: str) -> str | int:
    is_index = part.isascii() and part.isdecimal() and len(part) <= _LONGEST_INDEX
    return int(part) if is_index else part


def _headers(headers: object, hidden: redaction.Hidden) -> object:
    if not isinstance(headers, list):
        return MASK
    return [_header(one, hidden) for one in headers]


def _header(pair: object, hidden: redaction.Hidden) -> object:
    match pair:
        case [str() as name, str()]:
            return [name, MASK] if hidden.has([name]) else pair
        case _:
            return MASK
