"""Asking with `await`."""

import asyncio

import pytest

from mesh7_sidecar.net import fetch, origin, pool, sweep
from mesh7_sidecar.net.upstream import FailureKind, Request
from tests.sidecar.net.conftest import Listen
from tests.sidecar.net.parts import EchoApp, HoldingApp


def pool_to(address: tuple[str, int], sweep_: sweep.Sweep) -> pool.Pool:
    return pool.Pool(origin.origin_of(f"http://{address[0]}:{address[1]}"), sweep_)


async def test_a_whole_answer_is_fetched(listen: Listen, quick_sweep: sweep.Sweep) -> None:
    way = pool_to((await listen(EchoApp())).addresses[0], quick_sweep)

    response = await fetch.fetch(way, Request("POST", "/a", [], b"hi"), 100)

    assert (response.status, response.body) == (200, b"POST /a hi")
    assert response.header(b"content-type") == b"text/plain"
    assert response.header(b"absent") is None


async def test_an_answer_beyond_the_limit_is_an_error(
    listen: Listen, quick_sweep: sweep.Sweep
) -> None:
    way = pool_to((await listen(EchoApp())).addresses[0], quick_sweep)

    with pytest.raises(fetch.FetchError, match="answered more than 5 bytes") as caught:
        await fetch.fetch(way, Request("POST", "/a", [], b"hi"), 5)

    assert caught.value.failure.kind is FailureKind.TOO_LARGE


async def test_a_cancelled_fetch_ends_its_request(listen: Listen, quick_sweep: sweep.Sweep) -> None:
    app = HoldingApp()
    way = pool_to((await listen(app)).addresses[0], quick_sweep)
    task = asyncio.create_task(fetch.fetch(way, Request("GET", "/", [], b""), 100))
    exchange = await app.next()
    gone = asyncio.Event()
    exchange.on_gone = gone.set

    task.cancel()

    async with asyncio.timeout(30):
        await gone.wait()


async def test_a_stream_is_read_piece_by_piece(listen: Listen, quick_sweep: sweep.Sweep) -> None:
    app = HoldingApp()
    way = pool_to((await listen(app)).addresses[0], quick_sweep)

    async def answer() -> None:
        exchange = await app.next()
        exchange.start(200, [(b"content-type", b"text/event-stream")])
        drained = asyncio.Event()
        exchange.on_drain = drained.set
        for _ in range(100):
            exchange.write(b"x" * 50_000)
            if exchange.is_full:
                await drained.wait()
                drained.clear()
        exchange.finish()

    task = asyncio.create_task(answer())
    async with fetch.streaming(way, Request("GET", "/", [], b"")) as stream:
        assert stream.status == 200
        sizes = [len(piece) async for piece in stream]
    await task

    assert sum(sizes) == 5_000_000
    assert max(sizes) < 1_000_000


async def test_a_stream_that_breaks_off_is_an_error(
    listen: Listen, quick_sweep: sweep.Sweep
) -> None:
    app = HoldingApp()
    way = pool_to((await listen(app)).addresses[0], quick_sweep)

    async def answer() -> None:
        exchange = await app.next()
        exchange.start(200, [])
        exchange.write(b"part")
        await asyncio.sleep(0.02)
        exchange.abort()

    task = asyncio.create_task(answer())
    pieces: list[bytes] = []
    async with fetch.streaming(way, Request("GET", "/", [], b"")) as stream:
        reading = aiter(stream)
        pieces.append(await anext(reading))
        with pytest.raises(fetch.FetchError, match="closed the connection"):
            await anext(reading)
    await task

    assert pieces == [b"part"]


async def test_a_source_that_is_not_there_is_an_error(
    free_port: int, quick_sweep: sweep.Sweep
) -> None:
    way = pool_to(("127.0.0.1", free_port), quick_sweep)

    with pytest.raises(fetch.FetchError, match="takes no connections"):
        async with fetch.streaming(way, Request("GET", "/", [], b"")):
            pytest.fail("there is nothing to read")
    with pytest.raises(fetch.FetchError, match="takes no connections"):
        await fetch.fetch(way, Request("GET", "/", [], b""), 100)
