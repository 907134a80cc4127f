"""One request and its answer, as the app sees them.

The listener calls `app(exchange)` synchronously when the head is read. The app then asks for the
body with `collect` or `stream` (or not at all), and answers with `respond`, or with `start`,
`write` and `finish`, at once or any time later. Once the client has left every answering method
does nothing, so nobody has to look before writing.
"""

from collections.abc import Callable
from typing import Final, Protocol

from mesh7_core.policy.calls import Agent
from mesh7_sidecar.net import headers as header_lines
from mesh7_sidecar.net.heads import DuplicateHeader, Headers, RequestHead
from mesh7_sidecar.net.peer import Caller
from mesh7_sidecar.net.statuses import status_line

__all__ = ["BodySink", "DuplicateHeader", "Exchange", "Headers", "RequestHead", "Wire"]

_BODILESS: Final = frozenset({204, 304})
_CHUNKED: Final = b"transfer-encoding: chunked\r\n\r\n"


class BodySink(Protocol):
    """Takes a streamed request body."""

    def data(self, chunk: bytes) -> None:
        """One piece, never empty."""

    def end(self) -> None:
        """The body is complete; not called when the client leaves before (see `on_gone`)."""


class Wire(Protocol):
    """What an exchange needs of its connection."""

    is_full: bool
    peer: Caller | None

    def send(self, payload: bytes) -> None:
        """Write bytes towards the client."""

    def wants_body(self) -> None:
        """Let the rest of the body come: sends `100 Continue` when the client waits for it."""

    def must_close(self) -> bool:
        """Whether the connection ends with this answer."""

    def finished(self, is_last: bool) -> None:  # noqa: FBT001 - one call an answer
        """The answer is complete. Args: is_last: what `must_close` said of it."""

    def end(self) -> None:
        """The answer is complete, and the end of the connection says so."""

    def cut(self) -> None:
        """End the connection at once, so that the client sees an incomplete answer."""

    def reject(self, status: int, message: str) -> None:
        """Answer in the app's stead and close."""

    def pause(self) -> None:
        """Read no more for now."""

    def resume(self) -> None:
        """Read again."""


class Exchange:
    """One request and its answer.

    Attributes:
        head: the parsed head, shared by requests with the same bytes; see `RequestHead.memo`.
        method: GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS.
        target: request target in origin form, visible ASCII, as received.
        headers: lower-case names; order and duplicates kept. Read only.
        identity: who is at the other end.
        on_gone: called once when the exchange ends before `finish()`: the client left, or the
            listener answered in the app's stead (408, 413, broken chunks). None at first.
        on_drain: called when `is_full` turns false again. None at first.
    """

    __slots__ = (
        "_body", "_collecting", "_left", "_limit", "_mode", "_pieces", "_sink", "_size", "_wire",
        "head", "headers", "identity", "is_received", "method", "on_drain", "on_gone", "target",
    )  # fmt: skip

    def __init__(self, wire: Wire, head: RequestHead, identity: Agent, body: bytes | None) -> None:
        """`body` is the whole body when it came together with the head, else None."""
        self._wire: Wire | None = wire
        self.head = head
        self.method = head.method
        self.target = head.target
        self.headers = head.headers
        self.identity = identity
        self.is_received = body is not None
        self.on_gone: Callable[[], None] | None = None
        self.on_drain: Callable[[], None] | None = None
        self._body = body
        self._collecting: Callable[[Exchange, bytes], None] | None = None
        self._sink: BodySink | None = None
        self._mode = _OPEN

    # The request

    def header(self, name: bytes) -> bytes | None:
        """The value of the only copy of `name` (lower case), None when there is none.

        Raises:
            DuplicateHeader: there are two.
        """
        return self.head.header(name)

    def collect(self, limit: int, on_body: Callable[["Exchange", bytes], None]) -> None:
        """Call `on_body(exchange, body)` once with the whole body; at once if it is here.

        Beyond `limit` bytes, announced or counted, the listener answers 413 and closes, without
        reading on; `on_body` is then never called.
        """
        body = self._body
        if body is not None:
            self._body = None
            if len(body) > limit:
                self._too_large(limit)
            else:
                on_body(self, body)
            return
        if self.head.length > limit:
            self._too_large(limit)
            return
        self._collecting = on_body
        self._limit = limit
        self._size = 0
        self._pieces: list[bytes] = []
        self._ask()

    def stream(self, sink: BodySink) -> None:
        """Hand the body to `sink` as it comes; at once if it is here."""
        body = self._body
        if body is None:
            self._sink = sink
            self._ask()
            return
        self._body = None
        if body:
            sink.data(body)
        sink.end()

    def pause_body(self) -> None:
        """Stop reading from the client; while paused its leaving cannot be noticed either."""
        if self._wire is not None and not self.is_received:
            self._wire.pause()

    def resume_body(self) -> None:
        """Read again."""
        if self._wire is not None:
            self._wire.resume()

    # The answer

    @property
    def is_collecting(self) -> bool:
        """Pieces of the body lie here until the last one comes."""
        return self._collecting is not None

    @property
    def peer(self) -> Caller | None:
        """The process at the other end of a unix socket; None on TCP, and once it has left."""
        return self._wire.peer if self._wire is not None else None

    @property
    def is_gone(self) -> bool:
        """The exchange is over, answered or not."""
        return self._wire is None

    @property
    def is_full(self) -> bool:
        """The client reads slower than we write: stop until `on_drain`."""
        return self._wire is not None and self._wire.is_full

    def respond(self, status: int, headers: Headers, body: bytes, block: bytes = b"") -> None:
        """Answer in one write. `content-length` and `connection` are added here, so leave them.

        Args:
            status: of the answer.
            headers: with lower-case names.
            body: the whole body.
            block: more header lines, already made by `headers.render`, for those who answer with
                the same ones again and again; written behind `headers`.

        Raises:
            ValueError: a header holds a line break.
        """
        wire = self._wire
        if wire is None:
            return
        lines = header_lines.render(headers) if headers else b""
        length = b"" if status in _BODILESS else b"content-length: %d\r\n" % len(body)
        is_last = wire.must_close()
        if self.method == "HEAD" or status in _BODILESS:
            body = b""
        wire.send(b"".join((
            status_line(status), lines, block, length, self._ending(is_last), b"\r\n", body
        )))  # fmt: skip
        self._wire = None
        wire.finished(is_last)

    def start(self, status: int, headers: Headers) -> None:
        """Begin a streamed answer: chunks, or as it is when `headers` has a `content-length`.

        An HTTP/1.0 client gets its body until the connection closes.

        Raises:
            ValueError: a header holds a line break.
        """
        wire = self._wire
        if wire is None:
            return
        lines = header_lines.render(headers)
        announced = next((value for name, value in headers if name == b"content-length"), None)
        framing = b"\r\n"
        if self.method == "HEAD" or status in _BODILESS:
            self._mode = _SILENT
        elif announced is not None:
            self._mode = _COUNTED
            self._left = int(announced)
        elif self.head.minor:
            self._mode = _CHUNKS
            framing = _CHUNKED
        else:
            self._mode = _UNTIL_CLOSE
        ending = self._ending(self._mode is _UNTIL_CLOSE or wire.must_close())
        wire.send(b"".join((status_line(status), lines, ending, framing)))

    def write(self, chunk: bytes) -> None:
        """Send one piece of a started answer; pieces beyond a `content-length` cut the answer."""
        wire = self._wire
        if wire is None or not chunk:
            return
        if self._mode is _CHUNKS:
            wire.send(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        elif self._mode is _UNTIL_CLOSE:
            wire.send(chunk)
        elif self._mode is _COUNTED:
            self._left -= len(chunk)
            if self._left < 0:
                self.abort()
            else:
                wire.send(chunk)

    def finish(self) -> None:
        """End a started answer; with less than its `content-length` written it is cut instead."""
        wire = self._wire
        if wire is None:
            return
        if self._mode is _COUNTED and self._left:
            self.abort()
            return
        if self._mode is _CHUNKS:
            wire.send(b"0\r\n\r\n")
        self._close_with(wire)

    def abandon(self) -> None:
        """End the answer for a reason of our own; whoever feeds it hears `on_gone`.

        One that has not begun is cut: nothing on the connection would tell the client of its end.
        """
        on_gone = self.on_gone
        if self._mode is _OPEN:
            self.abort()
        else:
            self.finish()
        if on_gone is not None:
            on_gone()

    def abort(self) -> None:
        """Cut a started answer, so that the client cannot take it for a whole one."""
        wire = self._wire
        self._wire = None
        if wire is not None:
            wire.cut()

    # For the connection alone

    def receive(self, piece: bytes, is_last: bool) -> None:  # noqa: FBT001 - one call a piece
        """Take a piece of the body as it arrives."""
        self.is_received = is_last
        if self._sink is not None:
            if piece:
                self._sink.data(piece)
            if is_last:
                self._sink.end()
        elif self._collecting is not None:
            self._gather(piece, is_last)

    def lose(self) -> None:
        """The exchange is over without a finished answer."""
        if self._wire is None:
            return
        self._wire = None
        self._collecting = self._sink = None
        if self.on_gone is not None:
            self.on_gone()

    def _gather(self, piece: bytes, is_last: bool) -> None:  # noqa: FBT001
        self._size += len(piece)
        if self._size > self._limit:
            self._too_large(self._limit)
            return
        self._pieces.append(piece)
        if is_last and self._collecting is not None:
            collecting, self._collecting = self._collecting, None
            body = b"".join(self._pieces)
            self._pieces.clear()
            collecting(self, body)

    def _ask(self) -> None:
        if self._wire is not None:
            self._wire.wants_body()

    def _too_large(self, limit: int) -> None:
        if self._wire is not None:
            self._wire.reject(413, f"the body is larger than {limit} bytes")

    def _ending(self, is_last: bool) -> bytes:  # noqa: FBT001 - one call an answer
        if is_last:
            return b"connection: close\r\n"
        return b"" if self.head.minor else b"connection: keep-alive\r\n"

    def _close_with(self, wire: Wire) -> None:
        self._wire = None
        if self._mode is _UNTIL_CLOSE:
            wire.end()
        else:
            wire.finished(wire.must_close())


_OPEN: Final = 0
_CHUNKS: Final = 1
_COUNTED: Final = 2
_UNTIL_CLOSE: Final = 3
_SILENT: Final = 4
