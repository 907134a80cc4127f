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
    if splice.span(body, place) is None:
        body = splice.insert_key(body, place[:-1], _META, b"{}")
    parent, state = (*place, context.TRACEPARENT), (*place, context.TRACESTATE)
    body = splice.set_key(body, parent, orjson.dumps(span.traceparent))
    if span.state:
        return splice.set_key(body, state, orjson.dumps(span.state))
    return splice.remove_key(body, state)
