"""One client connection of a listener: bytes → exchanges, one at a time and in order.

What comes behind a request that is still being answered (pipelining) waits unparsed, and reading
stops meanwhile. Nothing here makes a task or a timer; the listener's sweep looks at `deadline`.
"""

import asyncio
import math
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from mesh7_sidecar.net import heads, peer
from mesh7_sidecar.net.chunked import BadChunks
from mesh7_sidecar.net.exchange import Exchange
from mesh7_sidecar.net.incoming import IncomingBody
from mesh7_sidecar.net.statuses import status_line

if TYPE_CHECKING:
    from mesh7_sidecar.net.listener import Listener

_END: Final = b"\r\n\r\n"
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_NEVER: Final = math.inf
_CACHEABLE_HEAD: Final = 8_192


class Connection(asyncio.Protocol):
    """Implements `exchange.Wire`.

    Attributes:
        is_full: the client does not read what we write.
        deadline: when the sweep calls `expire`; infinite while nobody owes us anything.
        idle_since: sweep time of the last answer, or of the connecting.
        peer: the process at the other end of a unix socket; None on TCP.
    """

    __slots__ = (
        "_body", "_buffer", "_exchange", "_first", "_held", "_is_closing", "_is_last",
        "_is_paused", "_is_wanted", "_listener", "_scanned", "_transport", "_unsent",
        "deadline", "idle_since", "is_full", "peer",
    )  # fmt: skip

    _transport: asyncio.Transport

    def __init__(self, listener: "Listener") -> None:
        self._listener = listener
        self._exchange: Exchange | None = None
        self._buffer = bytearray()
        self._scanned = 0
        self._unsent = math.inf
        # The body being received, and what of it came before anybody asked for it.
        self._body: IncomingBody | None = None
        self._first = b""
        self._held = 0
        self._is_wanted = False
        self._is_paused = False
        self._is_closing = False
        self._is_last = False
        self.is_full = False
        self.peer: peer.Caller | None = None
        self.deadline = _NEVER
        self.idle_since = listener.sweep.now

    # asyncio's side

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is here."""
        self._transport = transport  # type: ignore[assignment]  # streams get a Transport
        if not self._listener.admit(self):
            self._is_closing = True
            transport.close()
            return
        self.peer = peer.caller(transport.get_extra_info("socket"))

    @override
    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._exchange is None and not self._buffer and not self._is_closing:
            # The whole request in one piece, its head known: the way of nearly every call.
            cut = data.find(_END)
            known = self._listener.known.get(data[:cut])
            if cut > 0 and known is not None and known[0].length == len(data) - cut - 4:
                self._exchange = exchange = Exchange(self, known[0], known[1], data[cut + 4 :])
                self._listener.app(exchange)
                return
        self._take(data)

    @override
    def eof_received(self) -> None:
        """The client sends no more."""
        # A client that closes and one that shuts down its sending half look the same; both
        # count as gone, as in Go's net/http, or a left call could still run.
        self._lose()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._is_closing = True
        self._listener.forget(self)
        self._lose()
        self._release()

    @override
    def pause_writing(self) -> None:
        """The client reads slower than we write."""
        self.is_full = True
        self.deadline = self._listener.sweep.now + self._listener.limits.write_s

    @override
    def resume_writing(self) -> None:
        """The client has caught up."""
        self.is_full = False
        self._unsent = math.inf
        self.deadline = _NEVER
        if self._is_wanted and not self._is_paused:
            self._owe(self._listener.limits.body_s)
        exchange = self._exchange
        if exchange is not None and exchange.on_drain is not None:
            exchange.on_drain()

    # The exchange's side

    def send(self, payload: bytes) -> None:
        """See `exchange.Wire`."""
        self._transport.write(payload)

    def wants_body(self) -> None:
        """See `exchange.Wire`."""
        exchange = self._exchange
        if exchange is None or exchange.is_received:
            return
        self._is_wanted = True
        self._owe(self._listener.limits.body_s)
        first, self._first = self._first, b""
        if first:
            self._deliver(first, is_last=False)
        elif exchange.head.expects_continue and not self._buffer:
            self._transport.write(_CONTINUE)
        self.resume()
        if self._buffer:
            asyncio.get_running_loop().call_soon(self._go_on)

    def must_close(self) -> bool:
        """See `exchange.Wire`."""
        exchange = self._exchange
        return (
            exchange is None
            or self._is_last
            or not exchange.head.keep_alive
            or not exchange.is_received
            or self._listener.is_draining
        )

    def finished(self, is_last: bool) -> None:  # noqa: FBT001 - one call an answer
        """See `exchange.Wire`."""
        exchange = self._exchange
        if exchange is None:
            return
        self._exchange = None
        self.idle_since = self._listener.sweep.now
        if self._held:
            self._release()
        if is_last:
            self._end(is_whole=exchange.is_received)
        elif self._is_paused or self._buffer:
            self.resume()
            # Not from here: the app is still on the stack, and a thousand pipelined requests
            # answered at once would nest a thousand deep.
            asyncio.get_running_loop().call_soon(self._go_on)

    def end(self) -> None:
        """See `exchange.Wire`."""
        exchange, self._exchange = self._exchange, None
        self._end(is_whole=exchange is None or exchange.is_received)

    def cut(self) -> None:
        """See `exchange.Wire`."""
        self._exchange = None
        self._is_closing = True
        self._transport.abort()

    def reject(self, status: int, message: str) -> None:
        """See `exchange.Wire`; the text goes to the client as it is."""
        exchange, self._exchange = self._exchange, None
        text = f"mesh7: {message}\n".encode()
        self._transport.write(
            b"%bcontent-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
            % (status_line(status), len(text), text)
        )
        self._end(is_whole=False)
        if exchange is not None:
            exchange.lose()

    def pause(self) -> None:
        """See `exchange.Wire`."""
        if not self._is_paused and not self._is_closing:
            self._is_paused = True
            self._transport.pause_reading()
            if not self.is_full:
                self.deadline = _NEVER

    def resume(self) -> None:
        """See `exchange.Wire`."""
        if self._is_paused and not self._transport.is_closing():
            self._is_paused = False
            self._transport.resume_reading()
            if self._is_wanted and not self.is_full:
                self._owe(self._listener.limits.body_s)

    # The listener's side

    @property
    def is_idle(self) -> bool:
        """No request is being read or answered."""
        return self._exchange is None and not self._buffer and not self._is_closing

    def drain(self) -> None:
        """Close as soon as the request being served, if any, is answered."""
        if self._exchange is None:
            self.close()

    def close(self) -> None:
        """Close after what is written has been sent."""
        self._is_closing = True
        self._owe(self._listener.limits.linger_s)
        self._transport.close()

    def abort(self) -> None:
        """Close now."""
        self._transport.abort()

    def expire(self) -> None:
        """What the client owed us has not come in time."""
        self.deadline = _NEVER
        if self._is_closing or self.is_full:
            self._give_up()
        elif self._exchange is None:
            self.reject(408, "the request head took too long")
        else:
            self.reject(408, "the request body took too long")

    def _give_up(self) -> None:
        """Cut a client off, unless it has read something since the last look."""
        unsent = self._transport.get_write_buffer_size()
        if 0 < unsent < self._unsent:
            self._unsent = unsent
            self._owe(self._listener.limits.write_s)
        else:
            self._transport.abort()

    # Reading

    def _go_on(self) -> None:
        try:
            self._advance()
        except BaseException:
            # asyncio does this for us in data_received, but not in a plain callback.
            self._transport.abort()
            raise

    def _take(self, data: bytes) -> None:
        if self._is_closing:
            return
        if self._is_wanted and self._body is not None and not self._buffer:
            self._receive(self._body, data)
            return
        self._buffer += data
        self._advance()

    def _advance(self) -> None:
        """Serve what lies in the buffer, as far as it goes."""
        while self._buffer and not self._is_closing:
            if self._is_wanted and self._body is not None:
                data = bytes(self._buffer)
                self._buffer.clear()
                self._receive(self._body, data)
            elif self._exchange is not None:
                self.pause()
                return
            elif not self._open():
                return

    def _open(self) -> bool:
        """Start an exchange if a whole head is in the buffer; whether to look further."""
        buffer = self._buffer
        while buffer[:2] == b"\r\n":  # RFC 9112 2.2: empty lines before a request line
            del buffer[:2]
        limits = self._listener.limits
        cut = buffer.find(_END, self._scanned, limits.head_bytes)
        if cut < 0:
            self._wait_for_head()
            return False
        raw = bytes(buffer[: cut + 4])
        del buffer[: cut + 4]
        self.deadline = _NEVER
        self._scanned = 0
        try:
            head, identity = self._listener.read_head(raw)
            body = self._start_body(head)
        except heads.BadHead as bad:
            self.reject(bad.status, bad.message)
            return False
        except BadChunks:
            self.reject(400, "the chunks of the body are malformed")
            return False
        self._exchange = exchange = Exchange(self, head, identity, body)
        self._listener.app(exchange)
        return True

    def _wait_for_head(self) -> None:
        limits = self._listener.limits
        if len(self._buffer) >= limits.head_bytes:
            self.reject(431, f"the request head is larger than {limits.head_bytes} bytes")
        elif self._buffer:
            self._scanned = max(0, len(self._buffer) - 3)
            if self.deadline == _NEVER:
                self._owe(limits.head_s)

    def _start_body(self, head: heads.RequestHead) -> bytes | None:
        """The body if all of it is in the buffer, else None and the rest is awaited."""
        body = IncomingBody(head.length)
        if 0 <= head.length <= len(self._buffer) or head.length == heads.CHUNKED:
            piece, rest = body.feed(bytes(self._buffer))
            self._buffer[:] = rest
            if body.is_complete:
                self._is_last = body.has_surplus
                return piece
            self._first = piece
        self._body = body
        return None

    def _receive(self, body: IncomingBody, data: bytes) -> None:
        try:
            piece, rest = body.feed(data)
        except BadChunks:
            self.reject(400, "the chunks of the body are malformed")
            return
        self._buffer += rest
        if body.is_complete:
            self._is_last = body.has_surplus
        if piece or body.is_complete:
            self._deliver(piece, is_last=body.is_complete)

    def _deliver(self, piece: bytes, *, is_last: bool) -> None:
        exchange = self._exchange
        if exchange is None:
            return
        if is_last:
            self._is_wanted = False
            self._body = None
            self.deadline = _NEVER
        elif exchange.is_collecting:
            self._held += len(piece)
            self._listener.held += len(piece)
            if self._listener.held > self._listener.limits.held_bytes:
                self.reject(503, "too many large bodies at once, try again later")
                return
        elif not self._is_paused:
            self._owe(self._listener.limits.body_s)
        exchange.receive(piece, is_last)

    # Ending

    def _owe(self, seconds: float) -> None:
        self.deadline = self._listener.sweep.now + seconds

    def _release(self) -> None:
        self._listener.held -= self._held
        self._held = 0

    def _lose(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.lose()

    def _end(self, *, is_whole: bool) -> None:
        """Close; if the client is still sending, only after it has had time to read."""
        self._is_closing = True
        self._is_wanted = False
        self._body = None
        self._buffer.clear()
        self._release()
        self._owe(self._listener.limits.linger_s)
        if is_whole or not self._transport.can_write_eof():
            self._transport.close()
        elif not self._transport.is_closing():
            # Closing with unread bytes sends a reset, and the answer may be lost with it.
            self._transport.write_eof()
            self._is_paused = self._is_paused and not self._transport.is_closing()
            if self._is_paused:
                self._is_paused = False
                self._transport.resume_reading()
