"""Ports that nobody holds, outside the range from which the kernel gives away by itself."""

import secrets
import socket

from e2e.cluster.waiting import ClusterError

_FIRST, _LAST = 20_000, 30_000  # Linux gives away from 32768, and nodePorts begin at 30000
_TRIES = 100


def free(address: str = "127.0.0.1") -> int:
    """A TCP port on which one can listen at this moment.

    It stays free while its server restarts, because nobody gets it by chance.
    """
    for _ in range(_TRIES):
        port = _FIRST + secrets.randbelow(_LAST - _FIRST)
        with socket.socket() as probe:
            try:
                probe.bind((address, port))
            except OSError:
                continue
            return port
    raise ClusterError(f"{address}: no free port between {_FIRST} and {_LAST}")
