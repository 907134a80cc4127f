"""Our own span put in the place of the agent's, in what goes on to a source.

Headers and `_meta` name it, all other bytes stay as they came (M4).
Pure: no clock, no network, no logging.
"""

import re
from typing import Final

import orjson

from mesh7_core.telemetry import context
from mesh7_core.telemetry.context import Context
from mesh7_sidecar.wire import splice
from mesh7_sidecar.wire.headers import TRACEPARENT, TRACESTATE, HeaderList

_META: Final = "_meta"
# However a key is escaped: without one of these there is none of ours to look for.
_NAMES: Final = re.compile(rb"trace|\\u00")
_EMPTY: Final = re.compile(rb"[ \t\r\n]*+\}")
_LINES: Final = re.compile(rb"^trace(?:parent|state):[^\n]*\n", re.MULTILINE)


def headers(received: HeaderList, span: Context) -> HeaderList:
    """The headers with `span` in the place of any other."""
    kept = [pair for pair in received if pair[0] not in (TRACEPARENT, TRACESTATE)]
    return kept + named(span)


def named(span: Context) -> HeaderList:
    """The headers that name `span`."""
    found = [(TRACEPARENT, span.traceparent.encode())]
    if span.state:
        found.append((TRACESTATE, span.state.encode()))
    return found


def block(lines: bytes, span: Context) -> bytes:
    """As `headers`, of header lines that are rendered already."""
    ours = b"".join(b"%b: %b\r\n" % pair for pair in named(span))
    return _LINES.sub(b"", lines) + ours


def message(body: bytes, span: Context) -> bytes:
    """A request whose `params._meta` names `span`; it has `params`."""
    return _named_in(body, ("params", _META), span)


def params(body: bytes, span: Context) -> bytes:
    """The same, of `params` alone."""
    return _named_in(body, (_META,), span)


def _named_in(body: bytes, place: splice.Path, span: Context) -> bytes:
    """One walk: this is done for every traced call."""
    found = splice.span(body, place)
    written = {context.TRACEPARENT: b'"%b"' % span.traceparent.encode()}
    if span.state:
        written[context.TRACESTATE] = orjson.dumps(span.state)
    if found is None:
        return splice.insert_key(body, place[:-1], _META, b"{%b}" % _members(written))
    members = list(splice.members(body, found[0])) if _NAMES.search(body) else []
    if any(member.key == context.TRACESTATE for member in members) and not span.state:
        return _named_in(splice.remove_key(body, (*place, context.TRACESTATE)), place, span)
    # From the last to the first, so that places stay right.
    for member in reversed(members):
        value = written.pop(member.key, None)
        if value is not None:
            body = body[: member.value_start] + value + body[member.value_end :]
    if not written or body[found[0] : found[0] + 1] != b"{":
        return body
    comma = b"" if _EMPTY.match(body, found[0] + 1) else b","
    return body[: found[0] + 1] + _members(written) + comma + body[found[0] + 1 :]


def _members(written: dict[str, bytes]) -> bytes:
    return b",".join(b'"%b":%b' % (key.encode(), value) for key, value in written.items())
