"""A stand-in: the least that a Python process in the middle can be, bytes copied both ways.

python -m bench.relay PORT UPSTREAM_PORT
"""

import asyncio
import sys
from typing import cast

import uvloop
from typing_extensions import override


class _End(asyncio.Protocol):
    """One side of a connection; what it reads the other side writes."""

    def __init__(self, other: "_End | None" = None, upstream_port: int = 0) -> None:
        self._other = other
        self._upstream_port = upstream_port
        self._transport: asyncio.Transport | None = None
        self._waiting: list[bytes] = []
        self._dialling: asyncio.Task[object] | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = near = cast(asyncio.Transport, transport)  # uvloop's is not a subclass
        for chunk in self._waiting:
            near.write(chunk)
        if self._other is None:
            far = self._other = _End(self)
            loop = asyncio.get_running_loop()
            dial = loop.create_connection(lambda: far, "127.0.0.1", self._upstream_port)
            self._dialling = loop.create_task(dial)

    def write(self, chunk: bytes) -> None:
        if self._transport is None:
            self._waiting.append(chunk)
        else:
            self._transport.write(chunk)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    @override
    def data_received(self, data: bytes) -> None:
        if self._other is not None:
            self._other.write(data)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._other is not None:
            self._other.close()


async def _serve(port: int, upstream_port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _End(upstream_port=upstream_port), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
