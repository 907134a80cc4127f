"""Connections that one address, or all together, hold open: beyond a bound they are closed."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from mesh7_operator import serving, settings
from mesh7_operator.accepting import Bounds
from mesh7_operator.certificates import load
from mesh7_operator.exchange import door
from tests.operator.exchange import certificates

ANY_PORT = settings.Address("127.0.0.1", 0)
HALF_A_HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nA: "
_PATIENCE_S = 30.0

Held = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def served(bounds: Bounds, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="done")

    app = web.Application()
    app.router.add_get("/", answer)
    listener = await serving.listen(app, ANY_PORT, tls, bounds)
    yield listener.address.port
    await listener.close()


async def holds(port: int, source: str = "127.0.0.1") -> Held:
    """Open a connection and send the beginning of a request."""
    held = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    held[1].write(HALF_A_HEAD)
    return held


async def ends(held: Held) -> bool:
    """Wait until the other side has closed it; ours is closed then too."""
    async with asyncio.timeout(_PATIENCE_S):
        try:
            said = await held[0].read()
        except ConnectionError:
            said = b""
    held[1].close()
    return not said


async def is_answered(port: int, source: str) -> bool:
    connector = aiohttp.TCPConnector(local_addr=(source, 0))
    async with aiohttp.ClientSession(connector=connector) as session:
        try:
            async with session.get(f"http://127.0.0.1:{port}/") as found:
                return await found.text() == "done"
        except aiohttp.ClientConnectionError:
            return False


@pytest.mark.promise("K14")
async def test_one_address_cannot_hold_every_connection() -> None:
    """Review of issue 5: half-sent heads of one pod ended the exchange for all."""
    async with served(Bounds(of_address=3)) as port:
        held = [await holds(port) for _ in range(3)]
        assert not await is_answered(port, "127.0.0.1")
        assert await is_answered(port, "127.0.0.2")
        for one in held:
            one[1].close()
            await one[1].wait_closed()
        async with asyncio.timeout(_PATIENCE_S):
            while not await is_answered(port, "127.0.0.1"):
                pass


@pytest.mark.promise("K14")
async def test_all_addresses_together_hold_no_more_than_the_bound() -> None:
    async with served(Bounds(connections=3)) as port:
        held = [await holds(port, f"127.0.0.{last}") for last in range(2, 5)]
        assert await ends(await holds(port, "127.0.0.5"))
        for one in held:
            one[1].close()


@pytest.mark.promise("K14")
async def test_a_head_that_is_never_sent_whole_ends_with_the_connections_life() -> None:
    async with served(Bounds(life_s=0.01)) as port:
        assert await ends(await holds(port))


@pytest.mark.promise("K14")
async def test_a_tls_handshake_that_nobody_goes_on_with_ends(tmp_path: Path) -> None:
    pair = tmp_path / "tls.crt", tmp_path / "tls.key"
    certificates.write_pair(*pair)
    async with served(Bounds(handshake_s=0.05), load(*pair).context) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await ends((reader, writer))
        plain = await holds(port)
        async with asyncio.timeout(_PATIENCE_S):
            await plain[0].read()
        plain[1].close()


def test_the_exchange_bounds_an_address_and_the_injector_does_not() -> None:
    """Few API servers ask for everybody's admissions."""
    assert Bounds(connections=400, of_address=16, life_s=15.0) == door.BOUNDS
    assert Bounds().of_address is None
