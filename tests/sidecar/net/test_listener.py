"""The listener: order, limits, deadlines and a graceful end."""

import asyncio
import contextlib
import resource
from pathlib import Path

import pytest

from mesh7_core.policy.calls import Agent
from mesh7_sidecar.net import listener, sweep
from mesh7_sidecar.net.exchange import Exchange
from mesh7_sidecar.net.identity import joined
from mesh7_sidecar.net.limits import Limits
from tests.conftest import Eventually
from tests.sidecar.net.conftest import Connect, Listen
from tests.sidecar.net.parts import (
    AGENT,
    Client,
    EchoApp,
    HoldingApp,
    message,
    post,
)  # fmt: skip

CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_requests_on_one_connection_are_answered_in_one_write_each(
    listen: Listen, connect: Connect
) -> None:
    client = await connect(await listen(EchoApp()))

    for _ in range(3):
        await client.send(post(b"hello", b"/a?b"))
        expected = (
            b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 15\r\n\r\n"
            b"POST /a?b hello"
        )
        assert await client.exactly(len(expected)) == expected


async def test_pipelined_requests_are_answered_in_order(listen: Listen, connect: Connect) -> None:
    """RFC 9112 9.3.2, though the later ones arrive while the first is being answered."""
    app = HoldingApp()
    client = await connect(await listen(app))

    await client.send(b"".join(post(b"%d" % number) for number in range(50)))
    for number in range(50):
        exchange = await app.next()
        assert app.exchanges.empty()
        exchange.collect(10, lambda each, body: each.respond(200, [], body))
        assert await client.answer() == (200, b"%d" % number)


async def test_a_request_cut_into_single_bytes_is_read(listen: Listen, connect: Connect) -> None:
    app = EchoApp()
    client = await connect(await listen(app))
    chunks = message(
        b"POST / HTTP/1.1", b"Transfer-Encoding: chunked", body=b"2\r\nab\r\n0\r\n\r\n"
    )

    for payload in (post(b"hello"), chunks):
        for byte in payload:
            await client.send(bytes([byte]))
            await asyncio.sleep(0)
        await client.answer()

    assert app.seen == [("POST", "/", b"hello"), ("POST", "/", b"ab")]


@pytest.mark.parametrize(
    ("request_", "ending"),
    [
        (message(b"GET / HTTP/1.1", b"Connection: close"), b"connection: close"),
        (message(b"GET / HTTP/1.1", b"Connection: x, Close"), b"connection: close"),
        (message(b"GET / HTTP/1.0"), b"connection: close"),
    ],
)
async def test_the_connection_ends_when_the_client_asks(
    listen: Listen, connect: Connect, request_: bytes, ending: bytes
) -> None:
    client = await connect(await listen(EchoApp()))

    await client.send(request_)
    answer = await client.rest()

    assert answer.endswith(b"GET / ")
    assert ending in answer


async def test_an_old_client_may_keep_its_connection(listen: Listen, connect: Connect) -> None:
    client = await connect(await listen(EchoApp()))

    for _ in range(2):
        await client.send(message(b"GET / HTTP/1.0", b"Connection: keep-alive"))
        assert b"connection: keep-alive" in await client.until(b"GET / ")


async def test_head_gets_the_length_and_no_body(listen: Listen, connect: Connect) -> None:
    client = await connect(await listen(EchoApp()))

    await client.send(message(b"HEAD / HTTP/1.1") + message(b"GET /a HTTP/1.1"))

    assert b"content-length: 7\r\n" in await client.until(b"\r\n\r\n")
    assert await client.answer() == (200, b"GET /a ")


async def test_a_client_that_waits_for_it_is_told_to_continue(
    listen: Listen, connect: Connect
) -> None:
    client = await connect(await listen(EchoApp()))

    await client.send(message(b"POST / HTTP/1.1", b"Expect: 100-continue", b"Content-Length: 2"))
    assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    await client.send(b"ab")

    assert await client.answer() == (200, b"POST / ab")


@pytest.mark.promise("X11")
async def test_a_body_that_is_too_large_is_refused_before_it_is_sent(
    listen: Listen, connect: Connect
) -> None:
    """Design 10: a client that expects 100-continue learns it at once."""
    app = EchoApp(limit=10)
    client = await connect(await listen(app))

    await client.send(message(b"POST / HTTP/1.1", b"Expect: 100-continue", b"Content-Length: 11"))
    answer = await client.rest()

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(b"mesh7: the body is larger than 10 bytes\n")
    assert app.seen == []


@pytest.mark.promise("X11")
@pytest.mark.parametrize(
    "payload",
    [
        post(b"x" * 11),
        post(b"x" * 3_000_000),
        message(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked", body=b"b\r\n" + b"x" * 11),
    ],
)
async def test_the_answer_to_a_body_too_large_arrives(
    listen: Listen, connect: Connect, payload: bytes
) -> None:
    """The client is still sending; closing at once would reset the answer away."""
    client = await connect(await listen(EchoApp(limit=10)))

    client.put(payload)

    assert (await client.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 413 ")
    assert await client.until(b"\n") == b"mesh7: the body is larger than 10 bytes\n"


@pytest.mark.promise("X11")
@pytest.mark.parametrize(
    ("payload", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 70_000, 431),
        (message(b"GET / HTTP/1.1", b"A: " + b"a" * 70_000), 431),
        (message(b"GET / HTTP/1.1", *[b"A: a"] * 201), 431),
        (message(b"GET /" + b"a" * 20_000 + b" HTTP/1.1"), 414),
        (b"a" * 70_000, 431),
    ],
)
async def test_a_head_that_is_too_large_is_refused(
    listen: Listen, connect: Connect, payload: bytes, status: int
) -> None:
    app = EchoApp()
    client = await connect(await listen(app))

    client.put(payload)

    assert (await client.rest()).startswith(b"HTTP/1.1 %d " % status)
    assert app.seen == []


@pytest.mark.promise("X11")
@pytest.mark.parametrize(
    "payload",
    [
        b"G",
        b"POST / HTTP/1.1\r\nHost: x\r\n",
        message(b"POST / HTTP/1.1", b"Content-Length: 5", body=b"hell"),
        message(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked", body=b"5\r\nhel"),
        message(b"POST / HTTP/1.1", b"Content-Length: 5"),
    ],
)
async def test_a_slow_request_is_answered_408(
    listen: Listen, connect: Connect, payload: bytes
) -> None:
    """Slow loris, on the head and on the body (design 10)."""
    app = EchoApp()
    client = await connect(await listen(app, Limits(head_s=0.02, body_s=0.02)))

    await client.send(payload)

    assert (await client.rest()).startswith(b"HTTP/1.1 408 ")
    assert app.seen == []


@pytest.mark.promise("X11")
async def test_a_trickle_does_not_prolong_the_head(
    listen: Listen, connect: Connect, eventually: Eventually
) -> None:
    server = await listen(EchoApp(), Limits(head_s=0.1, linger_s=0.05))
    client = await connect(server)
    await client.send(b"GET / HTTP/1.1\r\n")

    async def trickle() -> None:
        while True:
            await client.send(b"A: b\r\n")
            await asyncio.sleep(0.01)

    task = asyncio.create_task(trickle())
    await eventually(lambda: server.connections == 0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.promise("X11")
async def test_the_oldest_idle_connections_are_closed_first(
    listen: Listen, connect: Connect, eventually: Eventually
) -> None:
    server = await listen(EchoApp(), Limits(idle_connections=3))
    first = await connect(server)
    await eventually(lambda: server.connections == 1)
    await asyncio.sleep(0.03)
    others = [await connect(server) for _ in range(3)]

    assert await first.rest() == b""
    for client in others:
        await client.send(message(b"GET / HTTP/1.1"))
        assert await client.answer() == (200, b"GET / ")


@pytest.mark.promise("X11")
async def test_a_flood_of_unfinished_requests_is_bounded(listen: Listen, connect: Connect) -> None:
    app = HoldingApp()
    server = await listen(app, Limits(connections=5))
    busy = [await connect(server) for _ in range(5)]
    for client in busy:
        await client.send(message(b"GET / HTTP/1.1"))
        await app.next()

    refused = await connect(server)

    assert await refused.rest() == b""
    assert server.connections == 5


@pytest.mark.promise("X11")
async def test_an_idle_connection_is_closed_in_the_end(listen: Listen, connect: Connect) -> None:
    client = await connect(await listen(EchoApp(), Limits(idle_s=0.05)))

    assert await client.rest() == b""


@pytest.mark.promise("X11")
async def test_collected_bodies_are_bounded_over_all_connections(
    listen: Listen, connect: Connect
) -> None:
    server = await listen(EchoApp(), Limits(held_bytes=100_000))
    one, other = await connect(server), await connect(server)
    unfinished = message(b"POST / HTTP/1.1", b"Content-Length: 90000", body=b"x" * 60_000)

    one.put(unfinished)
    other.put(unfinished)
    done, pending = await asyncio.wait(
        [asyncio.create_task(one.rest()), asyncio.create_task(other.rest())],
        return_when=asyncio.FIRST_COMPLETED,
    )

    assert done.pop().result().startswith(b"HTTP/1.1 503 ")
    assert server.held <= 100_000
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)


@pytest.mark.promise("X11")
@pytest.mark.parametrize(
    "endless",
    [
        (CHUNKED + b"1;", b"a" * 65_536),
        (CHUNKED + b"0\r\nT: ", b"a" * 65_536),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: ", b"a" * 65_536),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n", b"a" * 65_536),
        (b"", message(b"GET / HTTP/1.1")),
    ],
    ids=["chunk extension", "trailer", "header", "body", "pipelined requests nobody answers"],
)  # fmt: skip
async def test_endless_input_does_not_fill_the_memory(
    listen: Listen, connect: Connect, endless: tuple[bytes, bytes]
) -> None:
    """Ten times what is allowed is sent; the process grows by much less."""
    server = await listen(lambda _exchange: None, Limits(linger_s=0.1))
    client = await connect(server)
    start, more = endless
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    client.put(start)
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(0.5):
            for _ in range(1 + 40_000_000 // len(more)):
                await client.send(more)
    client.reset()

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


async def test_an_app_that_raises_ends_its_connection_alone(
    listen: Listen, connect: Connect, unraisable: list[dict[str, object]]
) -> None:
    """Fail closed: no answer, and the listener serves on."""

    def app(exchange: Exchange) -> None:
        if exchange.target == "/bad":
            raise LookupError
        exchange.respond(204, [], b"")

    server = await listen(app)
    bad, good = await connect(server), await connect(server)

    await bad.send(message(b"GET /bad HTTP/1.1"))
    assert await bad.rest() in {b"", b"reset"}
    await good.send(message(b"GET /good HTTP/1.1"))
    assert (await good.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert isinstance(unraisable[0]["exception"], LookupError)


@pytest.fixture
async def unraisable() -> list[dict[str, object]]:
    """What reaches the loop's exception handler."""
    seen: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: seen.append(context))
    return seen


@pytest.mark.promise("D39")
async def test_a_graceful_end_finishes_what_is_in_flight(listen: Listen, connect: Connect) -> None:
    """flux7-mesh cut a running call 61 ms after SIGTERM; here it is answered first."""
    app = HoldingApp()
    server = await listen(app)
    idle, busy = await connect(server), await connect(server)
    await busy.send(message(b"GET / HTTP/1.1"))
    exchange = await app.next()

    ending = asyncio.create_task(server.close_gracefully(5))
    assert await idle.rest() == b""
    assert not ending.done()
    exchange.respond(200, [], b"done")

    answer = await busy.rest()
    assert answer.endswith(b"connection: close\r\n\r\ndone")
    assert await ending == 0


@pytest.mark.promise("D39")
async def test_a_graceful_end_does_not_wait_for_ever(listen: Listen, connect: Connect) -> None:
    app = HoldingApp()
    server = await listen(app)
    client = await connect(server)
    await client.send(message(b"GET / HTTP/1.1"))
    exchange = await app.next()
    gone = asyncio.Event()
    exchange.on_gone = gone.set

    assert await server.close_gracefully(0.02) == 1
    assert gone.is_set()
    assert await client.rest() in {b"", b"reset"}


async def unix_client(path: Path) -> Client:
    return Client(*await asyncio.open_unix_connection(path))


async def test_a_joined_client_names_its_agent_over_the_unix_socket(
    tmp_path: Path, quick_sweep: sweep.Sweep
) -> None:
    """Design 10: later `mesh7 stdio` processes join with their own `--agent` and `--label`."""
    seen: list[Agent] = []

    def app(exchange: Exchange) -> None:
        seen.append(exchange.identity)
        exchange.respond(204, [], b"")

    path = tmp_path / "gateway.sock"
    server = await listener.serve(
        app, [listener.unix_socket(path)], joined(AGENT), sweep=quick_sweep
    )
    client = await unix_client(path)
    for headers in ((), (b"X-Mesh7-Agent: bot", b"X-Mesh7-Label: a=b", b"X-Mesh7-Label: c=d=e")):
        await client.send(message(b"GET / HTTP/1.1", *headers))
        await client.until(b"\r\n\r\n")
    await client.send(message(b"GET / HTTP/1.1", b"X-Mesh7-Agent: a", b"X-Mesh7-Agent: b"))
    refused = await client.rest()
    await client.closed()
    await server.close_gracefully(1)

    bot = Agent(
        namespace="default", service_account="bot", pod="here", labels={"a": "b", "c": "d=e"}
    )
    assert seen == [AGENT, bot]
    assert refused.startswith(b"HTTP/1.1 400 ")
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_client_on_tcp_cannot_name_its_agent(listen: Listen, connect: Connect) -> None:
    app = HoldingApp()
    client = await connect(await listen(app))

    await client.send(message(b"GET / HTTP/1.1", b"X-Mesh7-Agent: root"))

    assert (await app.next()).identity == AGENT


async def test_a_dead_socket_is_replaced_and_a_live_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "gateway.sock"
    listener.unix_socket(path).close()

    live = listener.unix_socket(path)
    live.listen()
    with live, pytest.raises(OSError, match="somebody else"):
        listener.unix_socket(path)
    (tmp_path / "file").write_text("precious")
    with pytest.raises(OSError, match="somebody else"):
        listener.unix_socket(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "precious"
