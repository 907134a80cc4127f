"""Who is at the other end of a unix socket: the kernel's word on the process that connected.

Pid, user and group are the kernel's, fixed when the process connected. Everything else is read
when a request asks for it, for three reasons. A pid is a number that is given again, so the
process must be alive while we read, or what we read is somebody else's: where the kernel has
pidfds of peers (Linux 6.5) that is certain, elsewhere the start time seen when the connection was
taken must still be the pid's. A process that has ended has no terminal, no ancestors and no say.
And a child that outlives its parent loses it: whoever forked away before the request is as
free of its ancestors before the connection, so an earlier look would tell no more.
A connection handed to another process speaks as the one that opened it.
"""

import contextlib
import errno
import os
import select
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from mesh7_sidecar.net import processes

_CREDENTIALS: Final = struct.Struct("=iII")  # Linux `struct ucred`: pid, uid, gid
_SO_PEERPIDFD: Final = 77
_UNKNOWN_OPTION: Final = frozenset({errno.ENOPROTOOPT, errno.EOPNOTSUPP})
_SOL_LOCAL: Final = 0
_LOCAL_PEERCRED: Final = 1
_LOCAL_PEERPID: Final = 2
_XUCRED: Final = struct.Struct("=IIhxxI")  # macOS: version, uid, count of groups, the first one


class Socket(Protocol):
    """What asyncio and uvloop give as the socket of a transport."""

    @property
    def family(self) -> int:
        """AF_UNIX or another."""

    def fileno(self) -> int:
        """Its descriptor; negative when it is closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The process at the other end, alive when this was read.

    Attributes:
        uid, gid: whom it ran as when it connected.
        chain: itself, its parent, and so on to the first.
        beginnings: who began the sessions that these are in, and their ancestors.
    """

    pid: int
    uid: int
    gid: int
    chain: tuple[processes.Process, ...]
    beginnings: tuple[processes.Process, ...] = ()

    @property
    def has_terminal(self) -> bool:
        """Whether it has a controlling terminal."""
        return bool(self.chain[0].terminal)


class Caller:
    """The other end of one connection; made when the connection is taken.

    Args:
        end: our end of it.
    """

    __slots__ = ("_end", "_started", "gid", "pid", "uid")

    def __init__(self, end: Socket) -> None:
        self._end = end
        with _borrowed(end) as own:
            self.pid, self.uid, self.gid = _credentials(own)
        seen = processes.look(self.pid)
        self._started = seen.started if seen is not None else -1

    def look(self) -> Peer | None:
        """Who it is now; None when the process has ended, or cannot be seen from here.

        Reads files of `/proc`, some 30 µs an ancestor.
        """
        with contextlib.suppress(OSError), _borrowed(self._end) as own, _held(own) as handle:
            chain = processes.lineage(self.pid)
            if chain and chain[0].started == self._started and _is_alive(handle):
                beginnings = processes.beginnings(chain)
                return Peer(
                    pid=self.pid, uid=self.uid, gid=self.gid, chain=chain, beginnings=beginnings
                )
        return None


def caller(end: Socket | None) -> Caller | None:
    """Who calls on a connection; None on TCP, which does not know."""
    if end is None or end.family != socket.AF_UNIX:
        return None
    try:
        return Caller(end)
    except OSError:
        return None


@contextlib.contextmanager
def _borrowed(end: Socket) -> Iterator[socket.socket]:
    """A socket object with `getsockopt`, which uvloop's own lacks."""
    with socket.fromfd(end.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as own:
        yield own


def _credentials(own: socket.socket) -> tuple[int, int, int]:
    if sys.platform == "darwin":
        packed = own.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, 76)
        _, uid, _, gid = _XUCRED.unpack_from(packed)
        return own.getsockopt(_SOL_LOCAL, _LOCAL_PEERPID), uid, gid
    packed = own.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(packed)
    return pid, uid, gid


@contextlib.contextmanager
def _held(own: socket.socket) -> Iterator[int]:
    """A pidfd of the very process that connected; -1 where the kernel has none.

    Raises:
        OSError: that process has ended.
    """
    handle = -1
    if sys.platform == "linux":
        try:
            handle = own.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
        except OSError as error:
            if error.errno not in _UNKNOWN_OPTION:
                raise
    try:
        yield handle
    finally:
        if handle >= 0:
            os.close(handle)


def _is_alive(handle: int) -> bool:
    """A pidfd can be read from once its process has ended."""
    if handle < 0:
        return True
    waiting = select.poll()
    waiting.register(handle, select.POLLIN)
    return not waiting.poll(0)
