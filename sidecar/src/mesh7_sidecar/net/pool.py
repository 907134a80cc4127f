"""HTTP/1.1 towards one origin: connections kept alive, calls bounded, nothing ever retried.

A call takes the connection that was used last, else a new one is dialled, else it waits, else it
is `busy`; towards an origin that is down it is `resting`. One sweep looks at all deadlines.
Redirects are answers like any other.
"""

import asyncio
import socket
import ssl
from collections import deque
from dataclasses import dataclass
from typing import Final

from mesh7_core import awake
from mesh7_sidecar.net import headers as header_lines
from mesh7_sidecar.net import heads
from mesh7_sidecar.net.breaker import Breaker
from mesh7_sidecar.net.link import Link
from mesh7_sidecar.net.lookups import Lookups
from mesh7_sidecar.net.origin import EVERYWHERE, AddressRule, Origin
from mesh7_sidecar.net.sending import PooledSending
from mesh7_sidecar.net.sweep import Sweep
from mesh7_sidecar.net.upstream import (
    DEFAULT_TERMS,
    Failure,
    FailureKind,
    Receiver,
    Request,
    Sending,
    Terms,
)  # fmt: skip

_KNOWN_HEADS: Final = 256
_LARGEST_KNOWN_HEAD: Final = 8_192
_LONGEST_KNOWN_PATH: Final = 256
_MAXIMUM_ADDRESSES: Final = 6
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})

_BUSY: Final = Failure(
    kind=FailureKind.BUSY, message="has too many calls under way, try again later", is_unsent=True
)
_RESTING: Final = Failure(
    kind=FailureKind.RESTING,
    message="failed five times in a row and is left alone for a few seconds",
    is_unsent=True,
)
_DOWN: Final = Failure(kind=FailureKind.REFUSED, message="is being taken down", is_unsent=True)
_OVERDUE: Final = Failure(
    kind=FailureKind.TIMED_OUT, message="did not get free in time", is_unsent=True
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolBounds:
    """How much one source is asked at once.

    Attributes:
        concurrency: calls under way, and connections.
        waiting: calls that wait for one of those; beyond it a call is `busy`.
        connect_s: from looking its name up to a finished TLS handshake.
        idle_s: how long an unused connection is kept, unless the server's `keep-alive` says
            less. Shorter than any server's own patience, so that it is us who close.
        rest_s: how long an origin that is down is left alone before one call may try it.
    """

    concurrency: int = 64
    waiting: int = 64
    connect_s: float = 5.0
    idle_s: float = 15.0
    rest_s: float = 5.0


DEFAULT_BOUNDS: Final = PoolBounds()


class Pool:
    """Implements `upstream.Upstream`.

    Attributes:
        known: heads of whole answers seen lately, by their bytes up to the empty line.
        breaker: whether the origin counts as down; links tell it what they hear.
    """

    def __init__(  # noqa: PLR0913 - what a source is reached by
        self,
        origin: Origin,
        sweep: Sweep,
        terms: Terms = DEFAULT_TERMS,
        bounds: PoolBounds = DEFAULT_BOUNDS,
        rule: AddressRule = EVERYWHERE,
        tls: ssl.SSLContext | None = None,
        lookups: Lookups | None = None,
    ) -> None:
        """`tls` None means the system's trust with verification, made at the first dialling.

        `lookups` None means some of its own.
        """
        self.sweep = sweep
        self.known: dict[bytes, heads.ResponseHead] = {}
        self.breaker = Breaker(bounds.rest_s)
        self._origin = origin
        self._terms = terms
        self._bounds = bounds
        self._rule = rule
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._lookups = lookups or Lookups(self._loop.time)
        self._links: set[Link] = set()
        self._idle: list[Link] = []
        self._waiting: deque[PooledSending] = deque()
        self._dialling: set[asyncio.Task[None] | None] = set()
        self._is_closed = False
        self._starts: dict[tuple[str, str], bytes] = {}
        host = b"host: %b\r\n" % origin.authority.encode()
        self._fixed = host + b"accept-encoding: identity\r\n"
        self._fixed_encoded = host
        sweep.watch(self._look)

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._links)

    @property
    def under_way(self) -> int:
        """Requests that are being answered, and those that wait for a connection."""
        return len(self._links) - len(self._idle) + len(self._waiting)

    def send(self, request: Request, receiver: Receiver) -> Sending:
        """Send once. Never raises, never blocks, never retries: a call might have run."""
        sending = PooledSending(self, request, receiver, request.terms or self._terms)
        try:
            sending.payload = self._encode(request, sending)
        except ValueError as error:
            kind = FailureKind.UNSENDABLE
            failure = Failure(kind=kind, message=f"was not asked: {error}", is_unsent=True)
            self._loop.call_soon(sending.fail, failure)
            return sending
        if self._is_closed:
            self._loop.call_soon(sending.fail, _DOWN)
            return sending
        if self.breaker.failures and not self.breaker.admits(self.sweep.now):
            self._loop.call_soon(sending.fail, _RESTING)
            return sending
        link = None if self._waiting else self._take_idle()
        if link is not None:
            link.start(sending)
        elif len(self._waiting) >= self._bounds.waiting + self._free():
            self._loop.call_soon(sending.fail, _BUSY)
        else:
            self._waiting.append(sending)
            self._pump()
        return sending

    def close(self) -> None:
        """Take no more requests; those under way finish within their terms."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()

    def abort(self) -> None:
        """Take no more requests, and end those under way."""
        self.close()
        while self._waiting:
            self._waiting.popleft().fail(_DOWN)
        for link in tuple(self._links):
            link.end()

    # For links and sendings alone

    def release(self, link: Link) -> None:
        """A link has carried its request."""
        if self._waiting and link.is_fresh():
            link.start(self._waiting.popleft())
        elif self._is_closed or self._waiting:
            self.drop(link)
            link.close()
        else:
            self._idle.append(link)
            link.released_at = self.sweep.now
            link.idle_until = link.released_at + self._bounds.idle_s

    def drop(self, link: Link) -> None:
        """A link is of no more use."""
        self._links.discard(link)
        if link in self._idle:
            self._idle.remove(link)
        if self._waiting:
            self._loop.call_soon(self._pump)

    def give_up(self, sending: PooledSending) -> None:
        """A sending that has no link is not wanted any more."""
        if sending in self._waiting:
            self._waiting.remove(sending)

    def miss(self) -> None:
        """The origin gave no sign of life. If it counts as down now, nobody waits for it."""
        self.breaker.failed(self.sweep.now)
        if self.breaker.is_open:
            waiting, self._waiting = self._waiting, deque()
            for sending in waiting:
                sending.fail(_RESTING)

    def remember(self, head: heads.ResponseHead, whole: bytes) -> None:
        """Know this head next time, if the answer came in one piece and is a plain one."""
        cut = len(whole) - head.length - 4
        is_plain = (
            head.length >= 0
            and head.keep_alive
            and 0 < cut <= _LARGEST_KNOWN_HEAD
            and whole.find(b"\r\n\r\n") == cut
            and not any(name in _UNPLAIN for name, _ in head.headers)
        )
        if not is_plain or head.header(b"content-type") in _STREAMS:
            return
        if len(self.known) >= _KNOWN_HEADS:
            self.known.clear()
        self.known[whole[:cut]] = head

    # Finding a connection

    def _take_idle(self) -> Link | None:
        while self._idle:
            link = self._idle.pop()
            if link.is_fresh():
                return link
            self._links.discard(link)
            link.close()
        return None

    def _free(self) -> int:
        """How many more connections there may be, beside those being dialled."""
        return max(0, self._bounds.concurrency - len(self._links))

    def _pump(self) -> None:
        """Give waiting calls the idle links, and dial for the rest of them."""
        while self._waiting:
            link = self._take_idle()
            if link is None:
                break
            link.start(self._waiting.popleft())
        room = self._free() - len(self._dialling)
        for _ in range(min(room, len(self._waiting) - len(self._dialling))):
            task = self._loop.create_task(self._dial())
            self._dialling.add(task)
            task.add_done_callback(self._dialling.discard)

    async def _dial(self) -> None:
        link: Link | None = None
        failure = _REFUSED
        try:
            async with awake.timeout(self._bounds.connect_s):
                link = await self._connect()
        except TimeoutError:
            failure = _failure(FailureKind.TIMED_OUT, "took no connection in time")
        except _ForbiddenError:
            failure = _failure(FailureKind.FORBIDDEN, "is at an address that is not dialled here")
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", "") or "the handshake failed"
            failure = _failure(FailureKind.TLS, f"cannot be trusted over TLS: {reason}")
        except (socket.gaierror, UnicodeError):
            failure = _failure(FailureKind.UNRESOLVED, "has a host name that has no address")
        except OSError:
            failure = _REFUSED
        self._dialling.discard(asyncio.current_task())
        if link is not None:
            self._adopt(link)
            return
        asker = self._waiting.popleft() if self._waiting else None
        if failure.kind is not FailureKind.FORBIDDEN:
            self.miss()
        if asker is not None:
            asker.fail(failure)
            self._pump()

    def _adopt(self, link: Link) -> None:
        """Use a new link at once: a TLS server's session tickets would make it look unfresh."""
        self._links.add(link)
        if self._waiting:
            link.start(self._waiting.popleft())
        else:
            self.release(link)

    async def _connect(self) -> Link:
        origin = self._origin
        if origin.socket_path:
            _, link = await self._loop.create_unix_connection(
                lambda: Link(self), origin.socket_path
            )
            return link
        addresses = await self._resolve()
        patience_s = self._bounds.connect_s / len(addresses)
        for address in addresses[:-1]:
            try:
                async with awake.timeout(patience_s):
                    return await self._connect_to(address)
            except ssl.SSLError:
                raise
            except OSError:  # TimeoutError is one
                continue
        return await self._connect_to(addresses[-1])

    async def _connect_to(self, address: str) -> Link:
        origin = self._origin
        is_tls = origin.scheme == "https"
        if is_tls and self._tls is None:
            self._tls = ssl.create_default_context()
        _, link = await self._loop.create_connection(
            lambda: Link(self),
            address,
            origin.port,
            ssl=self._tls if is_tls else None,
            server_hostname=origin.host if is_tls else None,
        )
        return link

    async def _resolve(self) -> list[str]:
        """The addresses that may be dialled, each once, in the resolver's order."""
        addresses = await self._lookups.find(self._origin.host)
        permitted = [each for each in addresses if self._rule.permits(each)]
        if not permitted:
            raise _ForbiddenError
        return permitted[:_MAXIMUM_ADDRESSES]

    # Writing

    def _encode(self, request: Request, sending: PooledSending) -> bytes:
        body = request.body
        start = self._starts.get((request.method, request.path)) or self._start(request)
        lines = header_lines.render(request.headers) if request.headers else b""
        if body is None:
            length = self._announce(request, sending)
            body = b""
        elif body or request.method in _WITH_BODY:
            length = b"content-length: %d\r\n" % len(body)
        else:
            length = b""
        fixed = self._fixed_encoded if sending.terms.allows_encoding else self._fixed
        return b"".join((start, fixed, lines, request.block, length, b"\r\n", body))

    def _start(self, request: Request) -> bytes:
        """The request line, remembered: MCP sources have one."""
        path = request.path
        if path[:1] != "/" or " " in path or not (path.isascii() and path.isprintable()):
            raise ValueError("the path holds what cannot stand in one")
        line = f"{request.method} {path} HTTP/1.1\r\n".encode()
        if len(path) <= _LONGEST_KNOWN_PATH:
            if len(self._starts) >= _KNOWN_HEADS:
                self._starts.clear()
            self._starts[request.method, path] = line
        return line

    def _announce(self, request: Request, sending: PooledSending) -> bytes:
        for name, value in request.headers:
            if name == b"content-length":
                sending.stream_counted(int(value))
                return b""
        sending.stream_chunks()
        return b"transfer-encoding: chunked\r\n"

    def _look(self, now: float) -> None:
        for link in tuple(self._links):
            link.look(now)
        for sending in tuple(self._waiting):
            if sending.deadline < now:
                self._waiting.remove(sending)
                sending.fail(_OVERDUE)
        if self._is_closed and not self._links and not self._waiting and not self._dialling:
            self.sweep.unwatch(self._look)


class _ForbiddenError(Exception):
    """Every address of the name is refused by the rule."""


def _failure(kind: FailureKind, message: str) -> Failure:
    return Failure(kind=kind, message=message, is_unsent=True)


_REFUSED: Final = _failure(FailureKind.REFUSED, "takes no connections")
_UNPLAIN: Final = frozenset({b"content-encoding", b"keep-alive"})
_STREAMS: Final = frozenset({b"text/event-stream"})
