"""Many calls in a few seconds: a plain HTTP API that says `ok`, and clients that only ask."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

from typing_extensions import override

from tests.sidecar.shared.parts import Node

CONNECTIONS = 16
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok"


class Api(asyncio.Protocol):
    """One connection of a server for requests without a body."""

    def __init__(self) -> None:
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    @override
    def data_received(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\r\n\r\n")
        if whole:
            assert self._transport is not None
            self._transport.write(_ANSWER * len(whole))


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[str]:
    """The API's URL while it serves."""
    server = await asyncio.get_running_loop().create_server(Api, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def ask(served: Node, numbers: range) -> Counter[str]:
    """`GET /http/api/<number>` for each: how often each HTTP status came."""
    dealt = [numbers[start::CONNECTIONS] for start in range(CONNECTIONS)]
    host, _, port = served.process.url.removeprefix("http://").partition(":")
    counts = await asyncio.gather(*(_ask(host, int(port), some) for some in dealt))
    return sum(counts, Counter())


async def _ask(host: str, port: int, numbers: range) -> Counter[str]:
    told: Counter[str] = Counter()
    reader, writer = await asyncio.open_connection(host, port)
    for number in numbers:
        writer.write(b"GET /http/api/%d HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n" % number)
        head = await reader.readuntil(b"\r\n\r\n")
        _, _, after = head.lower().partition(b"content-length: ")
        await reader.readexactly(int(after.partition(b"\r\n")[0]))
        told[head[9:12].decode()] += 1
    writer.close()
    return told
