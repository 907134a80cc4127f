"""The end of a watch whose API server never says goodbye."""

import asyncio
import gc
import json
import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from mesh7_operator import metrics
from mesh7_operator.cluster import resources
from mesh7_operator.cluster.connection import Connection
from mesh7_operator.controller.informer import seen
from mesh7_operator.controller.informer.watching import Watch
from tests.conftest import Eventually
from tests.fakes import api_server as fakes
from tests.operator.exchange import certificates

_LIST: Final = {"kind": "List", "metadata": {"resourceVersion": "1"}, "items": []}
_LISTED: Final = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
_WATCHED: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
)


class _Silent:
    """Lists nothing, and holds each watch without ever reading from it again."""

    def __init__(self, folder: Path) -> None:
        authority = certificates.write_pair(folder / "tls.crt", folder / "tls.key")
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.watches = 0
        self.ended = threading.Event()
        self.connection = Connection(
            url=f"https://127.0.0.1:{self._listener.getsockname()[1]}",
            tls=ssl.create_default_context(cadata=authority),
        )
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def end(self) -> None:
        self.ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                come, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._serve, args=(come,)))
            self._threads[-1].start()

    def _serve(self, come: socket.socket) -> None:
        try:
            with self._context.wrap_socket(come, server_side=True) as spoken:
                while head := spoken.recv(65_536):
                    if b"watch=" in head.split(b"\r\n")[0]:
                        spoken.sendall(_WATCHED)
                        self.watches += 1
                        self.ended.wait()
                        return
                    path = head.split()[1].decode().partition("?")[0]
                    answer = json.dumps(fakes.DISCOVERY.get(path, _LIST)).encode()
                    spoken.sendall(_LISTED % len(answer) + answer)
        except OSError:
            return


class _Nobody:
    def tell(self, snapshot: seen.Snapshot) -> None:
        """Nothing is there."""

    def resumed(self, resource: resources.Resource, since: int) -> None:
        """Nothing was lost."""

    def listed_anew(self, resource: resources.Resource) -> None:
        """Nothing was lost."""

    def vanished(self) -> tuple[str, ...]:
        return ()


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[_Silent]:
    server = _Silent(tmp_path)
    yield server
    server.end()


async def test_a_watch_that_ends_leaves_no_connection_open(
    silent: _Silent, eventually: Eventually
) -> None:
    """Stop 10: five streams waited for a farewell when their loop was gone, and CI failed."""
    watch = Watch(silent.connection, _Nobody(), metrics.ControllerMetrics(metrics.registry()))
    task = asyncio.create_task(watch.run())
    await eventually(lambda: silent.watches == len(resources.WATCHED))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        del task, watch
        gc.collect()
    assert [str(one.message) for one in caught if "unclosed" in str(one.message)] == []
