"""One request that a child process was asked and has not answered yet.

It decides the form of the HTTP answer: plain JSON when the first thing that comes is the answer,
an event stream when something precedes it.
"""

from typing import Final

from mesh7_sidecar.net import upstream
from mesh7_sidecar.net.heads import Headers
from mesh7_sidecar.sources.outlet import Outlet
from mesh7_sidecar.wire import headers, jsonrpc, mcp, sse

EVENTS: Final = (b"content-type", b"text/event-stream")

# How the modern revision maps JSON-RPC errors to HTTP; what is not here is 200. Source:
# MCP 2026-07-28, transports; a test holds it against the SDK's table.
STATUS_OF_ERROR: Final = {
    jsonrpc.PARSE_ERROR: 400,
    jsonrpc.INVALID_REQUEST: 400,
    jsonrpc.INVALID_PARAMS: 400,
    jsonrpc.METHOD_NOT_FOUND: 404,
    jsonrpc.HEADER_MISMATCH: 400,
    -32021: 400,
    jsonrpc.UNSUPPORTED_VERSION: 400,
}


class Pending:
    """Plain slotted class: one for each call.

    Attributes:
        identifier: the client's own id, as JSON.
        token: the client's own progress token, as JSON; None when it asked for no progress.
        accepts_events: the client can read an event stream.
        wants_logs: a modern request that asked for log messages.
        is_written: the child may have seen it.
    """

    __slots__ = (
        "_headers", "_is_modern", "_outlet", "_streaming", "_terms", "accepts_events", "asked_s",
        "heard_s", "identifier", "is_written", "method", "token", "wants_logs",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - one field each
        self,
        message: jsonrpc.Message,
        outlet: Outlet,
        terms: upstream.Terms,
        now_s: float,
        *,
        accepts_events: bool,
        headers: Headers,
        is_modern: bool,
    ) -> None:
        meta = message.params.get("_meta")
        self.identifier = jsonrpc.encode_id(message.id)
        self.method = message.method
        self.token: bytes | None = None
        self.accepts_events = accepts_events
        self.wants_logs = isinstance(meta, dict) and mcp.META_LOG_LEVEL in meta
        self.is_written = False
        self.asked_s = now_s
        self.heard_s = now_s
        self._outlet = outlet
        self._terms = terms
        self._headers = headers
        self._is_modern = is_modern
        self._streaming = False

    def event(self, line: bytes, now_s: float) -> None:
        """Something that precedes the answer."""
        if not self.accepts_events:
            return
        self.heard_s = now_s
        if not self._streaming:
            self._streaming = True
            self._outlet.head(200, [EVENTS, (b"cache-control", b"no-store"), *self._headers])
        self._outlet.data(sse.encode(line, "message"))

    def answer(self, line: bytes, error_code: int | None) -> None:
        """The answer, with the client's own id; `error_code` is None on a result."""
        if self._streaming:
            self._outlet.data(sse.encode(line, "message"))
            self._outlet.end()
            return
        status = 200
        if self._is_modern and error_code is not None:
            status = STATUS_OF_ERROR.get(error_code, 200)
        self._outlet.whole(status, [headers.JSON, *self._headers], line)

    def fail(self, failure: upstream.Failure) -> None:
        """There will be no answer."""
        self._outlet.fail(failure)

    def is_late(self, now_s: float, *, is_waiting_for_client: bool) -> bool:
        """Whether its time is over.

        A stream has its own, longer times. While the server waits for something that it asked of
        the client its silence is not its own, and only the longest bound holds.
        """
        in_total = now_s - self.asked_s
        if self._streaming or is_waiting_for_client:
            is_silent = now_s - self.heard_s > self._terms.idle_s and not is_waiting_for_client
            return is_silent or in_total > self._terms.stream_s
        return in_total > self._terms.answer_s
