"""Takes connections up to a bound, in all and of one address, before TLS costs anything.

Whoever is beyond is closed at once; whoever does not end a handshake, or stays too long, later.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mesh7_operator import settings

MOST_CONNECTIONS: Final = 500
"""Of one listener; each costs up to some 300 kB with TLS."""
HANDSHAKE_S: Final = 5.0
_SHUTDOWN_S: Final = 2.0
_LOOK_S: Final = 0.5
_PAUSE_S: Final = 0.1
_BACKLOG: Final = 128
_SAID_EVERY_S: Final = 60.0
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How many connections a listener takes, and for how long.

    Attributes:
        connections: in all.
        of_address: of one address; None = as many as in all.
        life_s: how long one may stand from its TLS handshake on, whatever happens on it; None = as
            long as it likes.
        handshake_s: how long a TLS handshake may take.
    """

    connections: int = MOST_CONNECTIONS
    of_address: int | None = None
    life_s: float | None = None
    handshake_s: float = HANDSHAKE_S


@dataclass(slots=True)
class _Taken:
    """One connection; the transport closes its socket when it is over."""

    address: str
    connection: socket.socket
    transport: asyncio.BaseTransport | None = None
    ends_s: float = float("inf")


class Acceptor:
    """A listening socket.

    Args:
        address: port 0 takes any free one.
        made: makes what serves one connection.
        tls: None = plain.

    Raises:
        OSError: the address is taken or not ours.
    """

    def __init__(
        self,
        address: settings.Address,
        made: Callable[[], asyncio.BaseProtocol],
        tls: ssl.SSLContext | None,
        bounds: Bounds,
    ) -> None:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        self._listening = socket.create_server(
            (address.host, address.port), family=family, backlog=_BACKLOG
        )
        self._listening.setblocking(False)  # noqa: FBT003 - has no name
        self.port: int = self._listening.getsockname()[1]
        self._made = made
        self._tls = tls
        self._bounds = bounds
        self._taken: list[_Taken] = []
        self._said_at_s = float("-inf")
        self._tasks: set[asyncio.Task[None]] = set()
        for forever in (self._accept(), self._end_old_ones()):
            self._tasks.add(asyncio.get_running_loop().create_task(forever))

    async def close(self) -> None:
        """Take no more; connections that are served stay."""
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._listening.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, peer = await loop.sock_accept(self._listening)
            except OSError as error:
                # No more files, or gone before it was taken.
                self._say("a connection cannot be taken", error=error.strerror)
                await asyncio.sleep(_PAUSE_S)
                continue
            taken = _Taken(address=str(peer[0]), connection=connection)
            if self._is_full(taken.address):
                connection.close()
                self._say("there are too many connections; one was closed", source=taken.address)
                continue
            self._taken.append(taken)
            task = loop.create_task(self._serve(taken))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, taken: _Taken) -> None:
        loop = asyncio.get_running_loop()
        with_tls = self._tls is not None
        try:
            taken.transport, _ = await loop.connect_accepted_socket(
                self._made,
                taken.connection,
                ssl=self._tls,
                ssl_handshake_timeout=self._bounds.handshake_s if with_tls else None,
                ssl_shutdown_timeout=_SHUTDOWN_S if with_tls else None,
            )
        except OSError:
            # It spoke no TLS, or not in time, or has gone.
            taken.connection.close()
            return
        if self._bounds.life_s is not None:
            taken.ends_s = loop.time() + self._bounds.life_s

    def _is_full(self, address: str) -> bool:
        self._taken = [one for one in self._taken if one.connection.fileno() >= 0]
        if len(self._taken) >= self._bounds.connections:
            return True
        most = self._bounds.of_address
        return most is not None and sum(one.address == address for one in self._taken) >= most

    async def _end_old_ones(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_LOOK_S)
            for one in self._taken:
                if one.ends_s <= loop.time() and isinstance(one.transport, asyncio.WriteTransport):
                    with contextlib.suppress(OSError):
                        one.transport.abort()

    def _say(self, what: str, **details: object) -> None:
        """At most once a minute: whoever floods a door must not flood the log."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._said_at_s >= _SAID_EVERY_S:
            self._said_at_s = now_s
            _LOG.warning(what, extra=details)
