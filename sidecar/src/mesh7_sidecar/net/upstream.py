"""The way out: one request towards a source, and what comes back, without a task.

`pool.Pool` speaks HTTP; other rooms put other transports behind the same protocol.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from mesh7_sidecar.net.heads import Headers


class FailureKind(StrEnum):
    """Why there is no answer, or no whole one; closed, stable, low in number."""

    UNRESOLVED = "unresolved"
    """Its name has no address."""
    FORBIDDEN = "forbidden-address"
    """Its name leads to an address that must not be dialled from here."""
    REFUSED = "refused"
    """Nobody takes the connection."""
    TLS = "tls"
    """No trusted TLS connection came about."""
    TIMED_OUT = "timed-out"
    CLOSED = "closed"
    """The connection ended before the answer was complete; whether the call ran is unknown."""
    MALFORMED = "malformed"
    """The answer is not strict HTTP, or encoded though plain bytes were asked for."""
    TOO_LARGE = "too-large"
    BUSY = "busy"
    """As many calls as the source may get are under way, and as many again wait."""
    RESTING = "resting"
    """It failed several times in a row and is left alone for a while; nothing was sent."""
    UNSENDABLE = "unsendable"
    """The request itself cannot be written as HTTP; nothing was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An answer that will not come.

    Attributes:
        kind: the stable code.
        message: a verb phrase to put behind ``source `x` ``; names no address, no credential.
        is_unsent: certainly not one byte of the request left; asking again is safe.
    """

    kind: FailureKind
    message: str
    is_unsent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How long and how large an answer may be; one value per source, shared by its requests.

    Attributes:
        answer_s: from sending to the end of an answer that is not an event stream.
        idle_s: longest silence in a `text/event-stream` answer.
        stream_s: such an answer in total.
        maximum_bytes: body of an answer that is not an event stream; those are bounded by time
            and by what their reader buffers.
        allows_encoding: let answers with a `content-encoding` through (plain HTTP proxying);
            else they are malformed, as nobody asked for them.
    """

    answer_s: float = 60.0
    idle_s: float = 60.0
    stream_s: float = 600.0
    maximum_bytes: int = 10 * 1024 * 1024
    allows_encoding: bool = False


DEFAULT_TERMS: Final = Terms()


class Request:
    """One request. A plain slotted class: it is made on every call (design 13).

    Attributes:
        method: upper case.
        path: origin form with its query, as it goes onto the wire.
        headers: end-to-end headers with lower-case names. `host`, `content-length`,
            `accept-encoding` and framing are the transport's; the pool adds them.
        body: the whole body, or None when it is streamed by `Sending.write` and `end`. A
            streamed one is sent in chunks, unless `headers` holds its `content-length`.
        terms: bounds of the answer; None means the pool's own.
        block: more header lines, already made by `headers.render`, for those who send the same
            ones again and again; written behind `headers`.
    """

    __slots__ = ("block", "body", "headers", "method", "path", "terms")

    def __init__(
        self,
        method: str,
        path: str,
        headers: Headers,
        body: bytes | None,
        terms: Terms | None = None,
        block: bytes = b"",
    ) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.terms = terms
        self.block = block


class Receiver(Protocol):
    """Takes one answer: `head`, then `data` any number of times, then `end`; or, at any point
    and once, `fail` instead of the rest. Never called from within `send`.
    """  # noqa: D205 - one sentence

    def head(self, status: int, headers: Headers) -> None:
        """The answer begins. Headers as received: hop-by-hop ones are still there; read only."""

    def data(self, chunk: bytes) -> None:
        """One piece of the body, never empty."""

    def end(self) -> None:
        """The answer is complete."""

    def fail(self, failure: Failure) -> None:
        """The rest of the answer will not come."""


class Sending(Protocol):
    """One request under way.

    Attributes:
        is_full: the source reads slower than we write: stop until `on_drain`.
        on_drain: called when `is_full` turns false again. None at first.
    """

    is_full: bool
    on_drain: Callable[[], None] | None

    def abort(self) -> None:
        """Want no more of it; the receiver hears nothing further. Late is harmless."""

    def pause(self) -> None:
        """Read no more of the answer for now; its silence is not held against the source."""

    def resume(self) -> None:
        """Read again."""

    def write(self, chunk: bytes) -> None:
        """Send a piece of a streamed body; ignored once the answer is complete."""

    def end(self) -> None:
        """A streamed body is complete."""


class Upstream(Protocol):
    """A place that answers requests."""

    def send(self, request: Request, receiver: Receiver) -> Sending:
        """Send once. Never raises, never blocks, never retries: a call might have run."""

    def close(self) -> None:
        """Take no more requests; those under way finish within their terms."""

    def abort(self) -> None:
        """Take no more requests, and end those under way."""
