"""One connection to an upstream: carries one request at a time, bytes → receiver calls."""

import asyncio
import math
import select
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from mesh7_sidecar.net import heads
from mesh7_sidecar.net.chunked import BadChunks, ChunkedBody
from mesh7_sidecar.net.upstream import Failure, FailureKind

if TYPE_CHECKING:
    from mesh7_sidecar.net.pool import Pool
    from mesh7_sidecar.net.sending import PooledSending

_END: Final = b"\r\n\r\n"
_MAXIMUM_HEAD_BYTES: Final = 65_536
_MAXIMUM_INTERIM_HEADS: Final = 8
_SWITCHING: Final = 101
_FINAL: Final = 200

_CLOSED: Final = Failure(
    kind=FailureKind.CLOSED, message="closed the connection before its answer was complete"
)
_ENDED: Final = Failure(kind=FailureKind.CLOSED, message="was taken down during the call")
_OVERDUE: Final = Failure(kind=FailureKind.TIMED_OUT, message="did not answer in time")
_MALFORMED: Final = Failure(
    kind=FailureKind.MALFORMED, message="answered something that is not HTTP"
)


class Link(asyncio.Protocol):
    """One connection of a pool.

    Attributes:
        idle_until: sweep time at which an idle one is closed.
        released_at: sweep time at which it last became idle.
    """

    __slots__ = (
        "_buffer", "_chunks", "_has_head", "_interim", "_keeps_alive", "_left", "_poll", "_pool",
        "_sending", "_size", "_transport", "_uses", "idle_until", "released_at",
    )  # fmt: skip

    _transport: asyncio.Transport

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._sending: PooledSending | None = None
        self._buffer = b""
        self._chunks: ChunkedBody | None = None
        self._has_head = False
        self._keeps_alive = True
        self._interim = 0
        self._left = 0
        self._size = 0
        self._uses = 0
        self.idle_until = math.inf
        self.released_at = -math.inf

    # The pool's side

    def start(self, sending: "PooledSending") -> None:
        """Write one request; the link is fresh."""
        self._sending = sending
        self._has_head = False
        self._uses += 1
        if sending.is_full:
            self._start_full(sending)
        else:
            self._transport.write(sending.take(self))

    def _start_full(self, sending: "PooledSending") -> None:
        """Write what piled up while we were dialling; whoever waits for room hears of it."""
        sending.is_full = False
        self._transport.write(sending.take(self))
        # Else `pause_writing` was called meanwhile, and `resume_writing` will tell.
        if not sending.is_full:
            sending.drained()

    def is_fresh(self) -> bool:
        """Idle and nothing came since: no end of the stream, no bytes nobody asked for.

        A server that has kept the connection before is believed for the rest of a sweep's turn: to
        ask the socket costs as much as a tenth of a call.

        Looks at the socket itself, because the loop may not have got round to it, and a request
        on a connection that the server has closed would be lost: nothing is ever retried.
        """
        if self._transport.is_closing():
            return False
        if self._uses > 1 and self.released_at == self._pool.sweep.now:
            return True
        return not self._poll.poll(0)

    def close(self) -> None:
        """Close after what is written has been sent."""
        self._transport.close()

    def end(self) -> None:
        """Close at once; a request under way fails."""
        self._fail(_ENDED)

    def look(self, now: float) -> None:
        """Called by the sweep."""
        sending = self._sending
        if sending is None:
            if self.idle_until < now:
                self._pool.drop(self)
                self._transport.close()
        elif sending.deadline < now:
            self._note_silence(sending)
            self._fail(_OVERDUE)

    # The sending's side

    def push(self, payload: bytes) -> None:
        """Write more of the request."""
        self._transport.write(payload)

    def pause(self) -> None:
        """Read no more for now."""
        self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def cut(self) -> None:
        """Nobody wants the answer: the connection cannot be used further."""
        self._leave()
        self._pool.drop(self)
        self._transport.abort()

    # asyncio's side

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = transport  # type: ignore[assignment]  # streams get a Transport
        self._poll = select.poll()
        wanted = select.POLLIN | select.POLLHUP | select.POLLERR
        self._poll.register(transport.get_extra_info("socket").fileno(), wanted)

    @override
    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        sending = self._sending
        if sending is None:
            # Whatever this is, it would be taken for the answer to the next request.
            self._pool.drop(self)
            self._transport.abort()
            return
        if not self._has_head and not self._buffer:
            cut = data.find(_END)
            head = self._pool.known.get(data[:cut])
            if (
                head is not None
                and 0 < cut == len(data) - head.length - 4
                and not sending.is_head
                and sending.is_sent
                and head.length <= sending.terms.maximum_bytes
            ):
                self._answer_whole(sending, head, data[cut + 4 :])
                return
        self._take(data)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        sending = self._sending
        self._pool.drop(self)
        if sending is None:
            return
        self._note_silence(sending)
        self._leave()
        if exc is None and self._has_head and self._left == heads.UNTIL_CLOSE:
            sending.finish()
        else:
            sending.fail(_CLOSED)

    @override
    def pause_writing(self) -> None:
        """The source reads slower than we write."""
        if self._sending is not None:
            self._sending.is_full = True

    @override
    def resume_writing(self) -> None:
        """The source has caught up."""
        if self._sending is not None:
            self._sending.drained()

    # Reading

    def _answer_whole(
        self, sending: "PooledSending", head: heads.ResponseHead, body: bytes
    ) -> None:
        self._sending = None
        sending.leave()
        if self._pool.breaker.failures:
            self._pool.breaker.answered()
        self._pool.release(self)
        receiver = sending.receiver
        receiver.head(head.status, head.headers)
        if body and sending.is_live:
            receiver.data(body)
        sending.finish()

    def _take(self, data: bytes) -> None:
        if not self._has_head:
            data = self._read_heads(self._buffer + data if self._buffer else data)
        sending = self._sending
        if sending is None or not self._has_head:
            return
        if self._left == heads.UNTIL_CLOSE:
            self._deliver(sending, data)
        elif self._left == heads.CHUNKED:
            self._take_chunks(sending, data)
        else:
            self._take_counted(sending, data)

    def _read_heads(self, data: bytes) -> bytes:
        """Read up to the final head; what follows it."""
        while not self._has_head and self._sending is not None:
            cut = data.find(_END, 0, _MAXIMUM_HEAD_BYTES)
            if cut < 0:
                self._buffer = data
                if len(data) >= _MAXIMUM_HEAD_BYTES:
                    self._fail(_MALFORMED)
                return b""
            self._buffer = b""
            raw, whole, data = data[: cut + 4], data, data[cut + 4 :]
            try:
                head = heads.parse_response(raw)
            except heads.BadHead:
                self._fail(_MALFORMED)
                return b""
            self._accept(head, whole)
        return data

    def _accept(self, head: heads.ResponseHead, whole: bytes) -> None:
        sending = self._sending
        if sending is None:
            return
        if head.status < _FINAL:
            self._interim += 1
            if head.status == _SWITCHING or self._interim > _MAXIMUM_INTERIM_HEADS:
                self._fail(_MALFORMED)
            return
        self._pool.breaker.answered()
        failure = sending.judge(head)
        if failure is not None:
            self._fail(failure)
            return
        self._interim = 0
        self._has_head = True
        self._size = 0
        self._left = 0 if sending.is_head else head.length
        self._chunks = ChunkedBody() if self._left == heads.CHUNKED else None
        self._keeps_alive = head.keep_alive
        self._pool.remember(head, whole)
        sending.answer(head.status, head.headers)

    def _take_counted(self, sending: "PooledSending", data: bytes) -> None:
        surplus = len(data) - self._left
        piece = data if surplus <= 0 else data[: self._left]
        self._left -= len(piece)
        is_last = self._left == 0
        self._deliver(sending, piece)
        if is_last and self._sending is sending:
            self._complete(sending, is_clean=surplus <= 0)

    def _take_chunks(self, sending: "PooledSending", data: bytes) -> None:
        chunks = self._chunks
        if chunks is None:
            return
        try:
            piece = chunks.feed(data)
        except BadChunks:
            self._fail(_MALFORMED)
            return
        self._deliver(sending, piece)
        if chunks.is_complete and self._sending is sending:
            self._complete(sending, is_clean=not chunks.has_surplus)

    def _deliver(self, sending: "PooledSending", piece: bytes) -> None:
        if not piece:
            return
        self._size += len(piece)
        if sending.is_stream:
            sending.hear()
        elif self._size > sending.terms.maximum_bytes:
            self._fail(sending.too_large())
            return
        if sending.is_live:
            sending.receiver.data(piece)

    def _complete(self, sending: "PooledSending", *, is_clean: bool) -> None:
        self._leave()
        if is_clean and self._keeps_alive and sending.is_sent:
            if sending.is_paused:
                self._transport.resume_reading()
            self._pool.release(self)
        else:
            self._pool.drop(self)
            self._transport.close()
        sending.finish()

    def _note_silence(self, sending: "PooledSending") -> None:
        """Tell the pool of a failing call if the whole request got not a byte for an answer."""
        is_heard = self._has_head or self._buffer or self._interim
        # A request that is not complete yet waits for the agent, which is not the source's fault.
        if sending.is_sent and not is_heard:
            self._pool.miss()

    def _fail(self, failure: Failure) -> None:
        sending = self._sending
        self.cut()
        if sending is not None:
            sending.fail(failure)

    def _leave(self) -> None:
        sending, self._sending = self._sending, None
        self._chunks = None
        self._buffer = b""
        if sending is not None:
            sending.leave()
