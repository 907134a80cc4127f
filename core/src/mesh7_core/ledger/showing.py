"""What people are shown of a request's arguments: masked, on one line, and no more than fits.

The text stays JSON as long as it is whole: signs that could move a cursor or turn a line around
stand in it as JSON escapes. Pure: no clock, no network, no logging.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mesh7_core.api.places import value_at
from mesh7_core.ledger.asked import Request
from mesh7_core.policy import canonical, redaction

MOST_SHOWN: Final = 16 * 1024
"""Bytes of arguments that are shown whole, and characters of those that are not."""
HEAD: Final = 12 * 1024
TAIL: Final = 3 * 1024
"""Characters that are shown of the beginning and of the end."""

_NOT_ASCII: Final = re.compile(r"[^\x20-\x7e]")
_UTF_16_BYTES: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One request's arguments for people.

    Attributes:
        text: at most `MOST_SHOWN` characters.
        size: bytes of the whole, with masks and escapes if that is more.
    """

    text: str
    size: int


def is_cut(size: int) -> bool:
    """Whether arguments of this `Shown.size` are not shown whole."""
    return size > MOST_SHOWN


def shown(request: Request, paths: Sequence[str]) -> Shown:
    """What is shown of a request's arguments.

    Args:
        request: its arguments are canonical JSON, or what `shortening` left of it.
        paths: JSONPaths of what is masked; they begin at the arguments of the call, of plain HTTP
            at a body that is JSON.
    """
    if request.cut_from_bytes:
        return Shown(text=_of_cut(request, paths), size=request.cut_from_bytes)
    size = len(request.arguments.encode("utf-8", "surrogatepass"))
    text = _escaped(_masked(request, paths) if paths else request.arguments)
    size = max(size, len(text))
    return Shown(text=_shortened(text, text, len(text)) if is_cut(size) else text, size=size)


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
    begin, end = head[:HEAD], tail[-TAIL:]
    return f"{begin} [… {max(size - len(begin) - len(end), 0)} of {size} cut out …] {end}"


def _masked(request: Request, paths: Sequence[str]) -> str:
    try:
        value = canonical.read(request.arguments.encode())
    except (ValueError, RecursionError):
        return canonical.written(redaction.MASK)
    return canonical.written(_redacted(value, request.mark.partition(":")[0], paths))


def _redacted(value: object, form: str, paths: Sequence[str]) -> object:
    if form == "http" and isinstance(value, dict):
        body = value.get("body")
        return {**value, "body": _body(body, paths)} if isinstance(body, str) else value
    if form == "params" and isinstance(value, dict) and "arguments" in value:
        return {**value, "arguments": redaction.redacted(value["arguments"], paths)}
    return redaction.redacted(value, paths)


def _body(body: str, paths: Sequence[str]) -> str:
    try:
        return canonical.written(redaction.redacted(canonical.read(body.encode()), paths))
    except (ValueError, RecursionError):
        return redaction.MASK


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
