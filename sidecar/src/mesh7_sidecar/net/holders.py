"""Which process holds a connection to a port of this machine, as far as Linux tells.

A TCP connection does not say whose it is, but the process at its other end has it open: the
kernel's table names the socket, and the process's descriptors name it too.
"""

import contextlib
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from mesh7_sidecar.net.processes import Process

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ESTABLISHED = "01"


def holder(chain: Sequence[Process], ports: Collection[int]) -> Process | None:
    """The first of these processes with an open connection to one of the ports; None = none.

    None too where the kernel does not tell: on other systems, and of other users' processes.
    """
    wanted = set(_sockets_to(ports)) if ports else set()
    if not wanted:
        return None
    return next((each for each in chain if not wanted.isdisjoint(_sockets_of(each.pid))), None)


def _sockets_to(ports: Collection[int]) -> Iterable[str]:
    for table in _TABLES:
        with contextlib.suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _ESTABLISHED and int(fields[2].rpartition(":")[2], 16) in ports:
                    yield f"socket:[{fields[9]}]"


def _sockets_of(pid: int) -> Iterable[str]:
    with contextlib.suppress(OSError):
        for descriptor in Path("/proc", str(pid), "fd").iterdir():
            with contextlib.suppress(OSError):
                yield str(descriptor.readlink())
