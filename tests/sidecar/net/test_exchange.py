"""Streamed bodies and answers, back-pressure, and clients that leave."""

import asyncio

import pytest

from mesh7_sidecar.net.exchange import DuplicateHeader, Exchange
from mesh7_sidecar.net.limits import Limits
from tests.conftest import Eventually
from tests.sidecar.net.conftest import Connect, Listen
from tests.sidecar.net.parts import HoldingApp, message, post


class Sink:
    """Remembers a streamed body."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.came = asyncio.Event()
        self.ended = asyncio.Event()

    def data(self, chunk: bytes) -> None:
        self.body += chunk
        self.came.set()

    def end(self) -> None:
        self.ended.set()


async def test_a_streamed_answer_is_chunked(listen: Listen, connect: Connect) -> None:
    app = HoldingApp()
    client = await connect(await listen(app))

    await client.send(message(b"GET / HTTP/1.1"))
    exchange = await app.next()
    exchange.start(200, [(b"content-type", b"text/event-stream")])
    assert await client.until(b"\r\n\r\n") == (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    exchange.write(b"data: 1\n\n")
    assert await client.until(b"\n\n\r\n") == b"9\r\ndata: 1\n\n\r\n"
    exchange.write(b"")
    exchange.finish()
    assert await client.until(b"0\r\n\r\n") == b"0\r\n\r\n"

    await client.send(message(b"GET /next HTTP/1.1"))
    assert (await app.next()).target == "/next"


async def test_a_streamed_answer_to_an_old_client_ends_with_the_connection(
    listen: Listen, connect: Connect
) -> None:
    app = HoldingApp()
    client = await connect(await listen(app))

    await client.send(message(b"GET / HTTP/1.0", b"Connection: keep-alive"))
    exchange = await app.next()
    exchange.start(200, [])
    exchange.write(b"ab")
    exchange.finish()

    assert await client.rest() == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nab"


@pytest.mark.promise("X9")
@pytest.mark.parametrize("written", [b"abc", b"abcdefg"])
async def test_an_answer_of_another_length_than_announced_is_cut(
    listen: Listen, connect: Connect, written: bytes
) -> None:
    """A proxied source that lies about its length must not shift the next answer."""
    app = HoldingApp()
    client = await connect(await listen(app))

    await client.send(message(b"GET / HTTP/1.1"))
    exchange = await app.next()
    exchange.start(200, [(b"content-length", b"5")])
    exchange.write(written)
    exchange.finish()

    answer = await client.rest()
    assert answer == b"reset" or len(answer.partition(b"\r\n\r\n")[2]) < 5


async def test_an_aborted_answer_is_not_taken_for_a_whole_one(
    listen: Listen, connect: Connect
) -> None:
    app = HoldingApp()
    client = await connect(await listen(app))

    await client.send(message(b"GET / HTTP/1.1"))
    exchange = await app.next()
    exchange.start(200, [])
    exchange.write(b"part")
    exchange.abort()

    assert not (await client.rest()).endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("way", ["close", "reset", "half_close"])
async def test_a_client_that_leaves_is_noticed_at_once(
    listen: Listen, connect: Connect, way: str
) -> None:
    """Design 6.2: seen through the connection, not by a failed write; also A7."""
    app = HoldingApp()
    client = await connect(await listen(app))
    await client.send(message(b"GET / HTTP/1.1"))
    exchange = await app.next()
    gone = asyncio.Event()
    exchange.on_gone = gone.set
    exchange.start(200, [])

    getattr(client, way)()

    async with asyncio.timeout(30):
        await gone.wait()
    assert exchange.is_gone
    exchange.write(b"into the void")
    exchange.finish()
    exchange.respond(200, [], b"")
    exchange.abort()


async def test_leaving_after_the_answer_is_nobody_s_business(
    listen: Listen, connect: Connect, eventually: Eventually
) -> None:
    app = HoldingApp()
    server = await listen(app)
    client = await connect(server)
    await client.send(message(b"GET / HTTP/1.1"))
    exchange = await app.next()
    calls: list[str] = []
    exchange.on_gone = lambda: calls.append("gone")

    exchange.respond(200, [], b"")
    client.close()
    await eventually(lambda: server.connections == 0)

    assert calls == []


async def test_a_body_is_streamed_as_it_comes(listen: Listen, connect: Connect) -> None:
    app = HoldingApp()
    client = await connect(await listen(app))
    sink = Sink()

    await client.send(message(b"POST / HTTP/1.1", b"Content-Length: 6", body=b"abc"))
    exchange = await app.next()
    exchange.stream(sink)
    async with asyncio.timeout(30):
        await sink.came.wait()
        assert sink.body == b"abc"
        await client.send(b"def" + post(b"next", b"/next"))
        await sink.ended.wait()
    exchange.respond(200, [], b"ok")

    assert sink.body == b"abcdef"
    assert (await app.next()).target == "/next"


async def test_a_body_that_came_with_its_head_is_streamed_too(
    listen: Listen, connect: Connect
) -> None:
    app = HoldingApp()
    client = await connect(await listen(app))
    sink = Sink()

    await client.send(post(b"abc"))
    (await app.next()).stream(sink)

    assert sink.body == b"abc"
    assert sink.ended.is_set()


@pytest.mark.promise("X11")
async def test_a_paused_body_stops_the_client_and_no_deadline_runs(
    listen: Listen, connect: Connect, eventually: Eventually
) -> None:
    """Back-pressure: what the upstream does not take is not read."""
    app = HoldingApp()
    client = await connect(await listen(app, Limits(body_s=1.0)))
    size = 12_000_000
    sink = Sink()

    await client.send(message(b"POST / HTTP/1.1", b"Content-Length: %d" % size))
    exchange = await app.next()
    exchange.stream(sink)
    client.put(b"x" * size)
    async with asyncio.timeout(30):
        await sink.came.wait()
    exchange.pause_body()
    at_pause = len(sink.body)
    await asyncio.sleep(1.1)
    assert len(sink.body) == at_pause < size
    exchange.resume_body()
    await eventually(lambda: len(sink.body) == size)

    exchange.respond(200, [], b"ok")
    assert await client.answer() == (200, b"ok")


async def test_a_slow_reader_makes_the_answer_wait(listen: Listen, connect: Connect) -> None:
    app = HoldingApp()
    client = await connect(await listen(app))
    drained = asyncio.Event()

    await client.send(message(b"GET / HTTP/1.1"))
    exchange = await app.next()
    exchange.on_drain = drained.set
    exchange.start(200, [])
    written = 0
    while not exchange.is_full:
        exchange.write(b"x" * 65_536)
        written += 65_536
        await asyncio.sleep(0)
    assert not drained.is_set()
    await client.until(b"\r\n\r\n")
    await client.exactly(written)
    async with asyncio.timeout(30):
        await drained.wait()
    exchange.finish()

    assert not exchange.is_full


@pytest.mark.promise("X11")
async def test_a_client_that_never_reads_is_cut_off(listen: Listen, connect: Connect) -> None:
    app = HoldingApp()
    client = await connect(await listen(app, Limits(write_s=0.05)))
    await client.send(message(b"GET / HTTP/1.1"))
    exchange = await app.next()
    gone = asyncio.Event()
    exchange.on_gone = gone.set

    exchange.start(200, [])
    while not exchange.is_full:
        exchange.write(b"x" * 1_000_000)

    async with asyncio.timeout(30):
        await gone.wait()


async def test_broken_chunks_end_a_streamed_body(listen: Listen, connect: Connect) -> None:
    app = HoldingApp()
    client = await connect(await listen(app))
    sink = Sink()
    gone = asyncio.Event()

    await client.send(message(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked", body=b"2\r\nab"))
    exchange = await app.next()
    exchange.on_gone = gone.set
    exchange.stream(sink)
    await client.send(b"nonsense")

    assert (await client.rest()).startswith(b"HTTP/1.1 400 ")
    assert gone.is_set()
    assert not sink.ended.is_set()


async def test_an_answer_before_the_body_was_read_closes_the_connection(
    listen: Listen, connect: Connect
) -> None:
    """What is left of the body must not be taken for a request."""
    app = HoldingApp()
    client = await connect(await listen(app))

    await client.send(message(b"POST / HTTP/1.1", b"Content-Length: 99", body=post(b"x")))
    exchange = await app.next()
    exchange.respond(403, [], b"no")
    await client.send(post(b"y"))

    answer = await client.rest()
    assert answer.endswith(b"connection: close\r\n\r\nno")
    assert app.exchanges.empty()


@pytest.mark.promise("X2")
async def test_a_header_that_came_twice_cannot_be_asked_for(
    listen: Listen, connect: Connect
) -> None:
    """protocols.md 6 row 2: neither copy is better than the other; both are kept in `headers`."""
    app = HoldingApp()
    client = await connect(await listen(app))

    await client.send(message(b"GET / HTTP/1.1", b"Mcp-Name: a", b"MCP-NAME: b", b"Accept: c"))
    exchange = await app.next()

    assert exchange.header(b"accept") == b"c"
    assert exchange.header(b"absent") is None
    with pytest.raises(DuplicateHeader, match="`mcp-name` came more than once"):
        exchange.header(b"mcp-name")
    assert exchange.headers == [
        (b"host", b"gateway"), (b"mcp-name", b"a"), (b"mcp-name", b"b"), (b"accept", b"c"),
    ]  # fmt: skip


@pytest.mark.promise("X9")
@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\rb", b"a\0b"])
async def test_a_header_with_a_line_break_is_never_written(
    listen: Listen, connect: Connect, value: bytes
) -> None:
    app = HoldingApp()
    client = await connect(await listen(app))
    await client.send(message(b"GET / HTTP/1.1"))
    exchange = await app.next()

    with pytest.raises(ValueError, match="header `x-a` holds a line break"):
        exchange.respond(200, [(b"x-a", value)], b"")
    exchange.respond(500, [], b"")

    assert await client.answer() == (500, b"")


async def test_a_late_collect_gets_a_body_that_came_meanwhile(
    listen: Listen, connect: Connect
) -> None:
    app = HoldingApp()
    client = await connect(await listen(app))
    bodies: list[bytes] = []

    def keep(exchange: Exchange, body: bytes) -> None:
        bodies.append(body)
        exchange.respond(204, [], b"")

    for framing in (b"Content-Length: 9", b"Transfer-Encoding: chunked"):
        is_chunked = framing.startswith(b"T")
        pieces = (
            (b"4\r\nabcd\r\n", b"5\r\nefghi\r\n0\r\n\r\n") if is_chunked else (b"abcd", b"efghi")
        )
        await client.send(message(b"POST / HTTP/1.1", framing, body=pieces[0]))
        exchange = await app.next()
        await client.send(pieces[1])
        await asyncio.sleep(0.02)
        exchange.collect(100, keep)
        await client.until(b"\r\n\r\n")

    assert bodies == [b"abcdefghi", b"abcdefghi"]
