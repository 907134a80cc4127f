"""What comes back from the gateway for one message of a stdio client."""

import asyncio
from collections.abc import Callable
from typing import Final

import orjson

from mesh7_sidecar.net import upstream
from mesh7_sidecar.net.heads import Headers
from mesh7_sidecar.wire import answers, headers, jsonrpc, splice, sse

MAXIMUM_BYTES: Final = 64 * 1024 * 1024
_ERROR: Final = b'{"jsonrpc":"2.0","id":%b,"error":{"code":%d,"message":%b}}'


class Reply:
    """The receiver of one request: events go on as they come, everything else is kept.

    Args:
        on_event: gets the data of each event.

    Attributes:
        ended: done when nothing more will come; never fails.
        status: 0 when there was no answer.
        body: of an answer that is no event stream.
        failure: why the rest will not come; None when all came.
        last_event: the id of the last event that had one.
    """

    def __init__(self, on_event: Callable[[bytes], None]) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.status = 0
        self.headers: Headers = []
        self.body = b""
        self.failure: upstream.Failure | None = None
        self.last_event: bytes | None = None
        self._on_event = on_event
        self._events: sse.Decoder | None = None

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header."""
        return next((value for each, value in self.headers if each == name), None)

    def head(self, status: int, headers_: Headers) -> None:
        """The answer begins."""
        self.status, self.headers = status, headers_
        if headers.is_event_stream(self.header(b"content-type")):
            self._events = sse.Decoder(MAXIMUM_BYTES)

    def data(self, chunk: bytes) -> None:
        """A piece of it."""
        if self._events is None:
            self.body += chunk
            return
        for event in self._events.feed(chunk):
            if event.id is not None:
                self.last_event = event.id
            if event.data:
                self._on_event(event.data)

    def end(self) -> None:
        """It is complete."""
        if not self.ended.done():
            self.ended.set_result(None)

    def fail(self, failure: upstream.Failure) -> None:
        """The rest will not come."""
        self.failure = failure
        self.end()


def concluding(message: jsonrpc.Message, reply: Reply, *, is_modern: bool) -> bytes:
    """The answer to a request whose reply has ended without an event that answers it.

    The gateway's own JSON-RPC answer, with the request's id if it has none; else one made here:
    for a call an `isError` result, because a JSON-RPC error ends some agents' run (M3).
    """
    found = jsonrpc.parse(reply.body)
    if isinstance(found, jsonrpc.Message) and found.kind is jsonrpc.Kind.RESPONSE:
        if found.id == message.id:
            return reply.body
        if found.id is None:
            return splice.set_key(reply.body, ("id",), jsonrpc.encode_id(message.id))
    text = _why(reply)
    identifier = jsonrpc.encode_id(message.id)
    if message.method == "tools/call":
        result = answers.failed_result(text, is_modern=is_modern)
        return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (identifier, result)
    return error(message.id, jsonrpc.INTERNAL_ERROR, text)


def error(identifier: int | str | None, code: int, text: str) -> bytes:
    """A JSON-RPC error."""
    return _ERROR % (jsonrpc.encode_id(identifier), code, orjson.dumps(text))


def _why(reply: Reply) -> str:
    if reply.failure is not None:
        return f"the mesh7 gateway {reply.failure.message}; whether the call ran is not known"
    if reply.status == 200:  # noqa: PLR2004
        return "the mesh7 gateway ended its answer early; whether the call ran is not known"
    return f"the mesh7 gateway answered HTTP {reply.status}{_detail(reply.body)}"


def _detail(body: bytes) -> str:
    problem = jsonrpc.parse_json(body)
    detail = problem.get("detail") if isinstance(problem, dict) else None
    return f": {detail}" if isinstance(detail, str) else ""
