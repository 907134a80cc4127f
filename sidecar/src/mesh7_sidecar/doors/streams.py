"""Legacy GET streams: what a source sends to a session of its own accord; and the end of a session.

Events pass as they came; requests to the agent are policed like those on any other stream.
"""

from collections.abc import Callable
from typing import Final

from mesh7_sidecar.doors import server_messages
from mesh7_sidecar.doors.prepared import Prepared
from mesh7_sidecar.doors.sessions import MAXIMUM_MOVED, STREAM_TAKEN, Session
from mesh7_sidecar.doors.state import McpState
from mesh7_sidecar.net import upstream
from mesh7_sidecar.net.exchange import Exchange, Headers
from mesh7_sidecar.sources.registry import Served
from mesh7_sidecar.wire import answers, headers, jsonrpc, meta, sse

OK: Final = 200
LAST_EVENT_ID: Final = b"last-event-id"


def open_stream(
    state: McpState, exchange: Exchange, prepared: Prepared, served: Served, session: Session
) -> None:
    """Relay the session's stream until either side ends it; a session has one at a time.

    One that is resumed may stand beside it: so clients fetch an answer that moved.
    """
    is_resumed = any(name == LAST_EVENT_ID for name, _ in exchange.headers)
    places = session.resumed if is_resumed else session.streams
    if len(places) >= (MAXIMUM_MOVED if is_resumed else 1):
        answers.respond_malformed(exchange.respond, STREAM_TAKEN)
        return
    places.add(exchange)
    stream = _Stream(state.streams, exchange, prepared, served, session)
    request = upstream.Request(
        "GET", served.base, served.fixed, b"", served.endless, prepared.block
    )
    stream.sending = served.streams.send(request, stream)
    state.streams[exchange] = lambda: state.serves(served)
    exchange.on_gone = stream.gone


def pass_delete(exchange: Exchange, prepared: Prepared, served: Served) -> None:
    """Tell the source that a session is over, and the agent what it said."""
    request = upstream.Request("DELETE", served.base, served.fixed, b"", None, prepared.block)
    served.way.send(request, _Ended(exchange))


class _Stream:
    """Receives the source's stream."""

    sending: upstream.Sending

    def __init__(
        self,
        streams: dict[Exchange, Callable[[], bool]],
        exchange: Exchange,
        prepared: Prepared,
        served: Served,
        session: Session,
    ) -> None:
        self._streams = streams
        self._exchange = exchange
        self._prepared = prepared
        self._served = served
        self._session = session
        self._events: sse.Decoder | None = None

    def head(self, status: int, fields: Headers) -> None:
        passed = headers.mcp_response_headers(fields)
        if status == OK:
            self._events = sse.Decoder(self._served.source.bounds.maximum_response_bytes)
            self._exchange.start(OK, passed)
            self._exchange.on_drain = self.sending.resume
        else:
            # 405 is how a source says that it has no such stream.
            self._leave()
            self.sending.abort()
            self._exchange.respond(status, passed, b"")

    def data(self, chunk: bytes) -> None:
        if self._events is None:
            return
        for event in self._events.feed(chunk):
            self._relay(event)
        if self._events.is_overflowed:
            self._leave()
            self.sending.abort()
            self._exchange.finish()
        elif self._exchange.is_full:
            self.sending.pause()

    def end(self) -> None:
        self._leave()
        if self._events is not None:
            self._exchange.finish()

    def gone(self) -> None:
        """The agent left."""
        self._leave()
        self.sending.abort()

    def fail(self, failure: upstream.Failure) -> None:
        self._leave()
        if self._events is not None:
            self._exchange.finish()
        else:
            self._exchange.respond(502, [], failure.kind.encode())

    def _leave(self) -> None:
        self._session.streams.discard(self._exchange)
        self._session.resumed.discard(self._exchange)
        self._streams.pop(self._exchange, None)
        self._exchange.on_gone = None

    def _relay(self, event: sse.Event) -> None:
        if not event.data:
            self._exchange.write(event.raw)
            return
        message = jsonrpc.parse(event.data)
        if not isinstance(message, jsonrpc.Message):
            return
        if message.kind is jsonrpc.Kind.RESPONSE:
            self._relay_moved(event, message.id)
        elif server_messages.may_pass(self._served, self._session, message):
            data = meta.without_ours(message)
            self._exchange.write(event.raw if data is event.data else event.with_data(data))
        elif message.kind is jsonrpc.Kind.REQUEST:
            server_messages.refuse(self._served, self._prepared, message)

    def _relay_moved(self, event: sse.Event, identifier: int | str | None) -> None:
        """A resumed stream brings the answer of an earlier request; others are nobody's."""
        judge = self._session.moved.pop(identifier, None) if identifier is not None else None
        if judge is None:
            return
        data = judge(event.data)
        self._exchange.write(event.raw if data is event.data else event.with_data(data))


class _Ended:
    """Receives what a source says to the end of a session."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._status = OK

    def head(self, status: int, _: Headers) -> None:
        self._status = status

    def data(self, chunk: bytes) -> None: ...

    def end(self) -> None:
        self._exchange.respond(self._status, [], b"")

    def fail(self, _: upstream.Failure) -> None:
        # The session is forgotten here whatever the source says.
        self._exchange.respond(200, [], b"")
