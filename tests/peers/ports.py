"""Ports for programs that must be told one before they listen.

A port that the kernel hands out and we let go again may be handed to somebody else, a client's
connection even, before the program listens there. These lie outside of what kernels hand out
(from 32768 on Linux, from 49152 on macOS), and none is given twice.
"""

import contextlib
import itertools
import os
import socket
from collections.abc import Iterator
from typing import Final

_RANGE: Final = range(15_000, 30_000)
_FROM: Final = os.getpid() * 101 % len(_RANGE)  # processes beside us begin elsewhere
_RING: Final[Iterator[int]] = itertools.cycle([*_RANGE[_FROM:], *_RANGE[:_FROM]])


def free() -> int:
    """One of loopback on which nobody listens."""
    for port in itertools.islice(_RING, len(_RANGE)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is free")
