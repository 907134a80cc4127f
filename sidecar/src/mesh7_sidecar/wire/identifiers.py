"""The id of a JSON-RPC message by its place in the bytes: put another there, or guess it.

Programs write the id first or last, so a large result between need not be walked through.
Pure: no clock, no network, no logging.
"""

import re
from typing import Final

import orjson

from mesh7_sidecar.wire import splice

_ID: Final = rb'"id"\s*+:\s*+(-?\d{1,20}|"[^"\\]{0,128}")'
_FIRST: Final = re.compile(rb'\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?' + _ID + rb"\s*[,}]")
# The comma cannot stand in a string: then `id` would stand outside of one.
_LAST: Final = re.compile(rb",\s*" + _ID + rb"\s*\}\s*\Z")
_TAIL_BYTES: Final = 256


def with_id(raw: bytes, value: bytes) -> bytes:
    """A message that a strict parser has accepted, with the JSON `value` as its id.

    Every other byte stays (M4); a message without an id stays as it is.
    """
    match = _FIRST.match(raw) or _LAST.search(raw, max(0, len(raw) - _TAIL_BYTES))
    if match is None:
        return splice.replace(raw, ("id",), value)
    return raw[: match.start(1)] + value + raw[match.end(1) :]


def likely_id(head: bytes, tail: bytes) -> int | str | None:
    """The id of a message that cannot be read whole, by its first and last bytes.

    None when it stands at neither end. A guess: good enough to fail one call instead of letting
    it wait, never to answer one.
    """
    match = _FIRST.match(head) or _LAST.search(tail)
    if match is None:
        return None
    value: object = orjson.loads(match[1])
    return value if isinstance(value, int | str) else None
