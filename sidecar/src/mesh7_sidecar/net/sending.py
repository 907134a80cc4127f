"""One request under way through a pool: implements `upstream.Sending`."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from mesh7_sidecar.net.heads import Headers, ResponseHead
from mesh7_sidecar.net.upstream import Failure, FailureKind, Receiver, Request, Terms

if TYPE_CHECKING:
    from mesh7_sidecar.net.link import Link
    from mesh7_sidecar.net.pool import Pool

_OK: Final = 200
_EVENT_STREAM: Final = b"text/event-stream"
_PLAIN: Final = frozenset({None, b"", b"identity"})
_EARLY_BYTES: Final = 65_536


class PooledSending:
    """A plain slotted class: it is made on every call (design 13).

    Attributes:
        payload: what is written first: head and, unless streamed, body.
        deadline: sweep time at which the answer is overdue.
        is_live: the receiver still wants to hear of it.
        is_sent: the request is written to its end.
        is_head: it asks by HEAD, so the answer has no body whatever its head says.
    """

    __slots__ = (
        "_early", "_is_chunked", "_left", "_link", "_pool", "_started", "deadline", "is_full",
        "is_head", "is_live", "is_paused", "is_sent", "is_stream", "on_drain", "payload",
        "receiver", "terms",
    )  # fmt: skip

    def __init__(self, pool: "Pool", request: Request, receiver: Receiver, terms: Terms) -> None:
        self.receiver = receiver
        self.terms = terms
        self.payload = b""
        self.is_live = True
        self.is_sent = request.body is not None
        self.is_head = request.method == "HEAD"
        self.is_stream = False
        self.is_paused = False
        self.is_full = False
        self.on_drain: Callable[[], None] | None = None
        self._pool = pool
        self._link: Link | None = None
        self._early: list[bytes] | None = None
        self._is_chunked = False
        self._left = 0
        self._started = pool.sweep.now
        self.deadline = self._started + terms.answer_s

    # The caller's side

    def abort(self) -> None:
        """Want no more of it; the receiver hears nothing further. Late is harmless."""
        if self.is_live:
            self._part()
            self._cut()

    def pause(self) -> None:
        """Read no more of the answer for now."""
        if self.is_live and self._link is not None and not self.is_paused:
            self.is_paused = True
            self._link.pause()
            self.deadline = self._started + self.terms.stream_s if self.is_stream else math.inf

    def resume(self) -> None:
        """Read again."""
        if self.is_paused and self._link is not None:
            self.is_paused = False
            self._link.resume()
            if self.is_stream:
                self.hear()
            else:
                self.deadline = self._pool.sweep.now + self.terms.answer_s

    def write(self, chunk: bytes) -> None:
        """Send a piece of a streamed body."""
        if not chunk or self.is_sent or not self.is_live:
            return
        if self._is_chunked:
            self._push(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            return
        self._left -= len(chunk)
        if self._left < 0:
            self._contradict()
        else:
            self._push(chunk)

    def end(self) -> None:
        """A streamed body is complete."""
        if self.is_sent or not self.is_live:
            return
        if self._is_chunked:
            self._push(b"0\r\n\r\n")
        elif self._left:
            self._contradict()
            return
        self.is_sent = True

    # The pool's side

    def stream_chunks(self) -> None:
        """The body comes later, in chunks."""
        self._is_chunked = True
        self._early = []

    def stream_counted(self, length: int) -> None:
        """The body comes later and has `length` bytes."""
        self._left = length
        self._early = []

    def take(self, link: "Link") -> bytes:
        """`link` carries it from now on; what to write at once."""
        self._link = link
        if self._early:
            self.payload += b"".join(self._early)
        self._early = None
        return self.payload

    def leave(self) -> None:
        """No link carries it any more."""
        self._link = None

    def drained(self) -> None:
        """The link takes more."""
        self.is_full = False
        if self.on_drain is not None and self.is_live:
            self.on_drain()

    def judge(self, head: ResponseHead) -> Failure | None:
        """Whether this answer is within the terms, by its head."""
        if not self.terms.allows_encoding:
            encodings = {value.lower() for name, value in head.headers if name == _ENCODING}
            if not encodings <= _PLAIN:
                return Failure(
                    kind=FailureKind.MALFORMED, message="encoded its answer, though asked not to"
                )
        kinds = [value for name, value in head.headers if name == b"content-type"]
        if len(kinds) > 1:
            # Two readers could take two of them, and bound the body differently.
            return Failure(kind=FailureKind.MALFORMED, message="sent two content types")
        kind = kinds[0] if kinds else b""
        # Who reads the answer whole reads events at 200 alone, so only there size is no matter.
        may_stream = head.status == _OK or self.terms.allows_encoding
        self.is_stream = may_stream and kind.partition(b";")[0].strip().lower() == _EVENT_STREAM
        if self.is_stream:
            self.hear()
        elif head.length > self.terms.maximum_bytes and not self.is_head:
            return self.too_large()
        return None

    def hear(self) -> None:
        """Something of an event stream came."""
        if not self.is_paused:
            end = self._started + self.terms.stream_s
            self.deadline = min(end, self._pool.sweep.now + self.terms.idle_s)

    def too_large(self) -> Failure:
        """The failure for an answer beyond the cap."""
        size = self.terms.maximum_bytes
        return Failure(kind=FailureKind.TOO_LARGE, message=f"answered more than {size} bytes")

    def answer(self, status: int, headers: Headers) -> None:
        """The head is here."""
        if self.is_live:
            self.receiver.head(status, headers)

    def finish(self) -> None:
        """The answer is complete."""
        if self.is_live:
            self._part().end()

    def fail(self, failure: Failure) -> None:
        """The rest will not come."""
        if self.is_live:
            self._part().fail(failure)

    def _part(self) -> Receiver:
        """Let go of the receiver, which holds us: else only the garbage collector frees both."""
        self.is_live = False
        receiver, self.receiver = self.receiver, _NOBODY
        return receiver

    def _push(self, payload: bytes) -> None:
        if self._link is not None:
            self._link.push(payload)
        elif self._early is not None:
            self._early.append(payload)
            self.is_full = sum(map(len, self._early)) > _EARLY_BYTES

    def _contradict(self) -> None:
        self._cut()
        message = "was sent a body that is not as long as announced"
        self.fail(Failure(kind=FailureKind.UNSENDABLE, message=message))

    def _cut(self) -> None:
        if self._link is not None:
            self._link.cut()
        else:
            self._pool.give_up(self)


class _Nobody:
    """Hears nothing."""

    def head(self, status: int, headers: Headers) -> None: ...

    def data(self, chunk: bytes) -> None: ...

    def end(self) -> None: ...

    def fail(self, failure: Failure) -> None: ...


_NOBODY: Final = _Nobody()
_ENCODING: Final = b"content-encoding"
