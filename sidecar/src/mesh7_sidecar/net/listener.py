"""A listening socket and its connections: accepts, bounds, and ends them."""

import asyncio
import errno
import socket
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from mesh7_core.policy.calls import Agent
from mesh7_sidecar.net import heads
from mesh7_sidecar.net.connection import Connection
from mesh7_sidecar.net.exchange import Exchange
from mesh7_sidecar.net.limits import Limits
from mesh7_sidecar.net.sweep import Sweep

App = Callable[[Exchange], None]
"""Called synchronously for each request head. What it raises ends that connection alone."""

Identify = Callable[[heads.RequestHead], Agent]
"""See `identity.always` and `identity.joined`."""

_BACKLOG = 1_024
_LARGEST_KNOWN_HEAD = 8_192


class Listener:
    """One app behind one or more sockets.

    Attributes:
        known: heads seen lately with who sent them, by their bytes up to the empty line.
        held: bytes of bodies being collected.
        is_draining: no new connections, and each one ends with its next answer.
    """

    def __init__(self, app: App, identify: Identify, limits: Limits, sweep: Sweep) -> None:
        self.app = app
        self.limits = limits
        self.sweep = sweep
        self.known: dict[bytes, tuple[heads.RequestHead, Agent]] = {}
        self.held = 0
        self._seen: set[int] = set()
        self.is_draining = False
        self._identify = identify
        self._servers: list[asyncio.Server] = []
        self._connections: dict[Connection, None] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        sweep.watch(self._look)

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._connections)

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each TCP socket; useful when port 0 was asked for."""
        names = [each.getsockname() for server in self._servers for each in server.sockets]
        return [(name[0], name[1]) for name in names if isinstance(name, tuple)]

    async def open(self, sockets: Sequence[socket.socket]) -> None:
        """Accept on `sockets`, which are bound and not yet listening."""
        loop = asyncio.get_running_loop()
        for each in sockets:
            create = loop.create_server
            if each.family == socket.AF_UNIX:
                create = loop.create_unix_server  # type: ignore[assignment]  # same shape here
            server = await create(lambda: Connection(self), sock=each, backlog=_BACKLOG)
            self._servers.append(server)

    async def close_gracefully(self, seconds: float) -> int:
        """Stop accepting, close idle connections, let exchanges in flight finish.

        Returns:
            How many connections were still busy after `seconds` and were cut off.
        """
        self.is_draining = True
        for server in self._servers:
            server.close()
        for connection in tuple(self._connections):
            connection.drain()
        try:
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        except TimeoutError:
            pass
        left = tuple(self._connections)
        for connection in left:
            connection.abort()
        if left:
            await self._empty.wait()
        self.sweep.unwatch(self._look)
        return len(left)

    def identify_by(self, identify: Identify) -> None:
        """Take whoever calls for somebody else, from the next request on."""
        self._identify = identify
        self.known.clear()

    # For the connections alone

    def admit(self, connection: Connection) -> bool:
        """Take a new connection; False when there are too many, or none are wanted."""
        if self.is_draining:
            return False
        if len(self._connections) >= self.limits.connections:
            self._close_idle(self.limits.idle_connections * 9 // 10)
            if len(self._connections) >= self.limits.connections:
                return False
        self._connections[connection] = None
        self._empty.clear()
        return True

    def forget(self, connection: Connection) -> None:
        """A connection is closed."""
        self._connections.pop(connection, None)
        if not self._connections:
            self._empty.set()

    def read_head(self, raw: bytes) -> tuple[heads.RequestHead, Agent]:
        """Parse a head, and remember it: agents send the same one again and again.

        Raises:
            BadHead: what to answer instead.
        """
        key = raw[:-4]
        known = self.known.get(key)
        if known is not None:
            return known
        if raw.find(b"\r\n") > self.limits.target_bytes:
            raise heads.BadHead(414, f"the target is larger than {self.limits.target_bytes} bytes")
        head = heads.parse_request(raw)
        read = head, self._caller_of(head)
        if len(key) <= _LARGEST_KNOWN_HEAD:
            self._remember(key, read)
        return read

    def _remember(self, key: bytes, read: tuple[heads.RequestHead, Agent]) -> None:
        """Keep what comes a second time: a head with a new `traceparent` each call never does."""
        fingerprint = hash(key)
        if fingerprint in self._seen:
            if len(self.known) >= self.limits.known_heads:
                self.known.clear()
            self.known[key] = read
        elif len(self._seen) >= self.limits.known_heads:
            self._seen.clear()
        self._seen.add(fingerprint)

    def _caller_of(self, head: heads.RequestHead) -> Agent:
        try:
            return self._identify(head)
        except heads.DuplicateHeader as error:
            raise heads.BadHead(400, error.message) from error

    def _look(self, now: float) -> None:
        oldest = now - self.limits.idle_s
        for connection in tuple(self._connections):
            if connection.deadline < now:
                connection.expire()
            elif connection.idle_since < oldest and connection.is_idle:
                connection.close()
        if len(self._connections) > self.limits.idle_connections:
            self._close_idle(self.limits.idle_connections)

    def _close_idle(self, keep: int) -> None:
        idle = [each for each in self._connections if each.is_idle]
        if len(idle) > keep:
            idle.sort(key=lambda each: each.idle_since)
            for connection in idle[: len(idle) - keep]:
                self._connections.pop(connection, None)
                connection.close()


async def serve(
    app: App,
    sockets: Sequence[socket.socket],
    identify: Identify,
    limits: Limits | None = None,
    sweep: Sweep | None = None,
) -> Listener:
    """Start a listener on bound sockets (see `tcp_socket` and `unix_socket`).

    `sweep` is shared with others, else it gets one of its own; `limits` None means the defaults.
    """
    listener = Listener(app, identify, limits or Limits(), sweep or Sweep())
    await listener.open(sockets)
    return listener


def tcp_socket(host: str, port: int) -> socket.socket:
    """A bound socket; `host` is a literal address, `localhost` excluded on purpose.

    Raises:
        OSError: EADDRINUSE and its kin; the caller names the flag to change.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    bound.setblocking(False)  # noqa: FBT003 - the socket module's signature
    return bound


def unix_socket(path: Path) -> socket.socket:
    """A bound socket with mode 0600; a dead one in its place is removed.

    The caller holds whatever lock says that the place is its own.

    Raises:
        OSError: EADDRINUSE when somebody listens there, or when it is not a socket.
    """
    _clear(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(str(path))
        # Nobody can connect before listen(), so there is no moment of a wider mode.
        path.chmod(0o600)
    except OSError:
        bound.close()
        raise
    bound.setblocking(False)  # noqa: FBT003 - the socket module's signature
    return bound


def _clear(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode) or _is_answered(path):
        raise OSError(errno.EADDRINUSE, "somebody else's file or socket is there", str(path))
    path.unlink()


def _is_answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        trial.settimeout(1.0)
        try:
            trial.connect(str(path))
        except ConnectionRefusedError:
            return False
        return True
