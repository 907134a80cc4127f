"""What people are shown of a request's arguments: masked, on one line, and no more than fits.

The text stays JSON as long as it is whole: signs that could move a cursor or turn a line around
stand in it as JSON escapes. Pure: no clock, no network, no logging.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import jiter

from mesh7_core.api.places import value_at
from mesh7_core.ledger import masking
from mesh7_core.ledger.asked import Request
from mesh7_core.policy import canonical

MOST_SHOWN: Final = 16 * 1024
"""Bytes of UTF-8 that people are shown."""
HEAD: Final = 12 * 1024
TAIL: Final = 3 * 1024
"""Bytes that are shown of the beginning and of the end of what is longer."""

_NOT_ASCII: Final = re.compile(r"[^\x20-\x7e]")
_UTF_16_BYTES: Final = 2
_BODY_PARTS: Final = ("body", "bodyHead", "bodyTail")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One request's arguments for people.

    Attributes:
        text: at most `MOST_SHOWN` bytes of UTF-8.
        size: bytes of the whole, with masks and escapes if that is more, and with all of a body.
        is_whole: all that is forwarded stands there, but for what the paths name.
    """

    text: str
    size: int
    is_whole: bool


def is_cut(size: int) -> bool:
    """Whether arguments of this `Shown.size` are not shown whole; smaller ones may not be, too."""
    return size > MOST_SHOWN


def is_whole(request: Request) -> bool:
    """Whether people who are shown all that is kept see all that is forwarded."""
    return not request.cut_from_bytes and not _unseen_bytes(request)


def shown(request: Request, paths: Sequence[str]) -> Shown:
    """What is shown of a request's arguments.

    Args:
        request: its arguments are canonical JSON, or what `shortening` left of it.
        paths: JSONPaths of what is masked; they begin at the arguments of the call, of plain HTTP
            at a body that is JSON, at the query and at the headers.
    """
    if request.cut_from_bytes:
        text = _of_cut(request, paths)
        return Shown(text=text, size=request.cut_from_bytes, is_whole=False)
    plain = request.arguments
    found = masking.Masked(text=plain, is_whole=True)
    if paths:
        found = masking.masked(plain, _form(request), paths)
    text = _escaped(found.text)
    size = max(_bytes(plain), _bytes(text))
    unseen = _unseen_bytes(request)
    return Shown(
        text=_shortened(text, text, size) if is_cut(size) else text,
        size=size + unseen,
        is_whole=found.is_whole and not unseen and not is_cut(size),
    )


def _form(request: Request) -> str:
    return request.mark.partition(":")[0]


def _unseen_bytes(request: Request) -> int:
    """How much of the body of a plain HTTP call does not stand in its text; at least."""
    if _form(request) != "http":
        return 0
    try:
        # As strict as `canonical.read`, whose integers are spellings once one of them is odd.
        value: object = jiter.from_json(
            request.arguments.encode(), allow_inf_nan=False, catch_duplicate_keys=True
        )
    except (ValueError, RecursionError):
        return 1
    size, body = value_at(value, ("bodySize",)), value_at(value, ("body",))
    parts = [value_at(value, (name,)) for name in _BODY_PARTS]
    there = sum(_bytes(one) for one in parts if isinstance(one, str))
    if not isinstance(size, int):
        return 1
    is_there = size == there and (isinstance(body, str) or not size)
    return 0 if is_there else max(size - there, 1)


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _of_cut(request: Request, paths: Sequence[str]) -> str:
    """Head and tail; neither is JSON any more, so what is to be masked cannot be found in them."""
    if paths:
        return f"[{request.cut_from_bytes} bytes; none is shown, for policies hide parts of them]"
    try:
        kept = canonical.read(request.arguments.encode())
    except ValueError:
        kept = None
    head, tail = (value_at(kept, ("cut", name)) for name in ("head", "tail"))
    parts = [_escaped(one) if isinstance(one, str) else "" for one in (head, tail)]
    return _shortened(parts[0], parts[1], request.cut_from_bytes)


def _shortened(head: str, tail: str, size: int) -> str:
    # By bytes: a sign of four of them is one character, and etcd keeps bytes.
    begin = head.encode()[:HEAD].decode(errors="ignore")
    end = tail.encode()[-TAIL:].decode(errors="ignore")
    cut_out = max(size - _bytes(begin) - _bytes(end), 0)
    return f"{begin} [… {cut_out} of {size} cut out …] {end}"


def _escaped(text: str) -> str:
    """Everything that does not print, as JSON writes it; it stands in texts only."""
    if text.isascii() and text.isprintable():
        return text
    return _NOT_ASCII.sub(_sign, text)


def _sign(found: re.Match[str]) -> str:
    sign = found[0]
    if sign.isprintable():
        return sign
    units = sign.encode("utf-16-be", "surrogatepass").hex()
    width = 2 * _UTF_16_BYTES
    return "".join(f"\\u{units[at : at + width]}" for at in range(0, len(units), width))
