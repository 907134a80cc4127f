"""One request of the gateway's own to an MCP source, from the first byte to its one answer.

It reads a JSON answer or an event stream, hands notifications on, and refuses what the server
asks back. Callbacks in, one future out; off the data path of MCP clients.
"""

import asyncio
from collections.abc import Callable

from mesh7_core import errors
from mesh7_sidecar.net import upstream
from mesh7_sidecar.wire import jsonrpc, results, sse

OK = 200


class Answer:
    """A source's answer to one request.

    Attributes:
        status: the HTTP status.
        headers: lower-case names.
        body: the JSON-RPC message as it came; empty when there was none (202).
        message: the parsed message; None when there was none. Of a result that is no strict JSON
            it has `isError` and `resultType` alone.
    """

    __slots__ = ("body", "headers", "message", "status")

    def __init__(
        self,
        status: int,
        headers: dict[bytes, bytes],
        body: bytes,
        message: jsonrpc.Message | None,
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.message = message


class Conversation:
    """The receiver of one exchange with a source.

    Attributes:
        answer: done when there is one, or none will come.
        sending: the exchange under way; set right after it was sent.

    Args:
        source: its name, for errors.
        identifier: the JSON-RPC id that was sent; None for a notification.
        on_notice: gets every notification that precedes the answer.
        on_request: gets every request that the server sends before it answers.
        maximum_bytes: of one event of a stream.
    """

    sending: upstream.Sending

    def __init__(
        self,
        source: str,
        identifier: str | None,
        on_notice: Callable[[jsonrpc.Message], None],
        on_request: Callable[[jsonrpc.Message], None],
        maximum_bytes: int,
    ) -> None:
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._source = source
        self._identifier = identifier
        self._on_notice = on_notice
        self._on_request = on_request
        self._maximum_bytes = maximum_bytes
        self._status = 0
        self._headers: dict[bytes, bytes] = {}
        self._chunks: list[bytes] = []
        self._events: sse.Decoder | None = None

    def head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """The answer begins."""
        self._status = status
        self._headers = dict(headers)
        content_type = self._headers.get(b"content-type", b"")
        if content_type.partition(b";")[0].strip().lower() == b"text/event-stream":
            self._events = sse.Decoder(self._maximum_bytes)

    def data(self, chunk: bytes) -> None:
        """Some of the answer's body."""
        if self.answer.done():
            # Nothing follows an answer; a source that goes on all the same is not listened to.
            self.sending.abort()
            return
        if self._events is None:
            self._chunks.append(chunk)
            return
        for event in self._events.feed(chunk):
            if event.data and not self.answer.done():
                self._read(event.data)
        if self._events.is_overflowed and not self.answer.done():
            self._fail("sent an event that is too large")

    def end(self) -> None:
        """The answer is complete."""
        if self.answer.done():
            return
        body = b"".join(self._chunks)
        if self._events is None and body and self._is_json():
            self._read(body)
        if not self.answer.done():
            if self._identifier is None or self._status != OK:
                self.answer.set_result(Answer(self._status, self._headers, body, None))
            else:
                self._fail("ended its answer without answering")

    def fail(self, failure: upstream.Failure) -> None:
        """The answer will not come."""
        if not self.answer.done():
            self._fail(failure.message)

    def _read(self, body: bytes) -> None:
        message = jsonrpc.parse(body)
        if isinstance(message, jsonrpc.Malformed):
            if self._status == OK:
                self._read_lax(body)
        elif message.kind is jsonrpc.Kind.NOTIFICATION:
            self._on_notice(message)
        elif message.kind is jsonrpc.Kind.REQUEST:
            # Its id may equal ours; only a response can be our answer (D13).
            self._on_request(message)
        elif message.id == self._identifier:
            self.answer.set_result(Answer(self._status, self._headers, body, message))
        elif message.id is not None or self._status == OK:
            self._fail("answered another request than the one it was asked")
        else:
            self.answer.set_result(Answer(self._status, self._headers, body, message))

    def _read_lax(self, body: bytes) -> None:
        """A tool may return what strict JSON has not, such as half a surrogate pair (D30)."""
        fit = None if self._identifier is None else results.check(body, self._identifier)
        if not isinstance(fit, results.Fit) or fit.is_protocol_error:
            self._fail("sent something that is not JSON-RPC")
            return
        result: dict[str, object] = {"isError": True} if fit.is_tool_error else {}
        if fit.result_type:
            result["resultType"] = fit.result_type
        message = jsonrpc.Message(
            jsonrpc.Kind.RESPONSE, self._identifier, "", {}, body, result=result
        )
        self.answer.set_result(Answer(self._status, self._headers, body, message))

    def _is_json(self) -> bool:
        content_type = self._headers.get(b"content-type", b"")
        return content_type.partition(b";")[0].strip().lower() == b"application/json"

    def _fail(self, what: str) -> None:
        self.answer.set_exception(errors.UpstreamError(f"source `{self._source}` {what}"))
