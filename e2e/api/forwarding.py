"""Stands in for a Service: new connections go to one of several ports that is ready."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One pod of the Service.

    Attributes:
        is_ready: asked for each new connection.
    """

    port: int
    is_ready: Callable[[], bool]


@contextlib.contextmanager
def forwarding(endpoints: Sequence[Endpoint]) -> Iterator[int]:
    """The Service's port, while the block runs."""
    listener = socket.create_server(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    accepting = threading.Thread(target=_accept, args=(listener, endpoints))
    accepting.start()
    try:
        yield port
    finally:
        # A close alone would not wake the thread.
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join()
        listener.close()


def _accept(listener: socket.socket, endpoints: Sequence[Endpoint]) -> None:
    while True:
        try:
            come, _ = listener.accept()
        except OSError:
            return
        ready = [one for one in endpoints if one.is_ready()]
        if not ready:
            come.close()
            continue
        threading.Thread(target=_join, args=(come, ready[0].port)).start()


def _join(come: socket.socket, port: int) -> None:
    with come, socket.create_connection(("127.0.0.1", port)) as gone:
        back = threading.Thread(target=_pass_on, args=(gone, come))
        back.start()
        _pass_on(come, gone)
        back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(_CHUNK):
            target.sendall(chunk)
    # The other direction ends with it.
    for one in (source, target):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
