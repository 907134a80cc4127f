"""The way out: reuse, ends, deadlines, caps. Nothing is ever retried."""

import asyncio
from pathlib import Path

import pytest

from mesh7_sidecar.net import listener, origin, pool, sweep
from mesh7_sidecar.net.exchange import Exchange
from mesh7_sidecar.net.identity import always
from mesh7_sidecar.net.upstream import FailureKind, Request, Terms
from tests.conftest import Eventually
from tests.sidecar.net.conftest import Listen, MakePool, Scripted
from tests.sidecar.net.parts import AGENT, EchoApp, Heard, HoldingApp, Steps

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def url_of(server: listener.Listener) -> str:
    host, port = server.addresses[0]
    return f"http://{host}:{port}"


async def ask(way: pool.Pool, request: Request | None = None) -> Heard:
    heard = Heard()
    way.send(request or Request("POST", "/", [], b"hi"), heard)
    assert heard.calls == []
    await heard.finished()
    return heard


def answering(*answers: bytes) -> Steps:
    """For each request on a connection the next of `answers`, then the connection is closed."""

    async def steps(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(2)
            writer.write(answer)
        await writer.drain()

    return steps


def staying(*answers: bytes) -> Steps:
    """Like `answering`, but the connection stays open."""

    async def steps(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answering(*answers)(reader, writer)
        await reader.read()

    return steps


async def test_a_request_goes_out_as_written(scripted: Scripted, make_pool: MakePool) -> None:
    seen: list[bytes] = []

    async def steps(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\nhi"))
        writer.write(OK)
        await reader.read()

    server = await scripted(steps)
    heard = await ask(make_pool(server.url), Request("POST", "/a?b", [(b"x-a", b"1")], b"hi"))

    host = server.url.removeprefix("http://").encode()
    assert seen == [
        b"POST /a?b HTTP/1.1\r\nhost: " + host + b"\r\naccept-encoding: identity\r\n"
        b"x-a: 1\r\ncontent-length: 2\r\n\r\nhi"
    ]
    assert (heard.status, heard.headers, heard.body) == (200, [(b"content-length", b"2")], b"ok")
    assert heard.calls == ["head", "data", "end"]


async def test_one_connection_serves_one_call_after_another(
    listen: Listen, make_pool: MakePool
) -> None:
    server = await listen(EchoApp())
    way = make_pool(url_of(server))

    bodies = [(await ask(way)).body for _ in range(5)]

    assert bodies == [b"POST / hi"] * 5
    assert server.connections == way.connections == 1


async def test_the_connection_used_last_is_used_next(
    listen: Listen, make_pool: MakePool, eventually: Eventually
) -> None:
    """So that the others grow idle and are closed."""
    held: list[Exchange] = []

    def app(exchange: Exchange) -> None:
        held.append(exchange)
        if len(held) >= 4:
            for each in held:
                each.respond(204, [], b"")

    server = await listen(app)
    way = make_pool(url_of(server), idle_s=0.5)
    await asyncio.gather(*[ask(way) for _ in range(4)])
    assert way.connections == 4

    async def keep_asking() -> None:
        while True:
            await ask(way)

    task = asyncio.create_task(keep_asking())
    await eventually(lambda: way.connections == 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.promise("X29")
async def test_a_connection_the_server_has_closed_is_not_picked(
    scripted: Scripted, make_pool: MakePool
) -> None:
    """protocols.md 6 row 29: a call is never sent twice, so it must not be sent to the dead.

    Asking again at once leaves the loop no turn to notice the end of the stream.
    """
    server = await scripted(answering(OK))
    way = make_pool(server.url)

    for number in range(20):
        assert (await ask(way)).body == b"ok"
        assert server.connections == number + 1


@pytest.mark.promise("X29")
async def test_a_call_whose_connection_dies_is_not_sent_again(
    scripted: Scripted, make_pool: MakePool
) -> None:
    server = await scripted(answering(b""))

    heard = await ask(make_pool(server.url))

    assert heard.failure is not None
    assert heard.failure.kind is FailureKind.CLOSED
    assert heard.failure.message == "closed the connection before its answer was complete"
    assert not heard.failure.is_unsent
    assert server.connections == 1


@pytest.mark.promise("X9")
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nab",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n\r\n\r\n",
        b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 OK\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 102 Wait\r\nContent-Length: 2\r\n\r\nab" + OK,
        b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 9 + OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nA: " + b"a" * 70_000,
        b"SSH-2.0-OpenSSH\r\n\r\n",
    ],
)
async def test_an_answer_that_is_not_strict_is_a_failure(
    scripted: Scripted, make_pool: MakePool, answer: bytes
) -> None:
    server = await scripted(staying(answer))

    heard = await ask(make_pool(server.url))

    assert heard.failure is not None
    assert heard.failure.kind is FailureKind.MALFORMED


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.0 200 OK\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", b"abc"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", b""),
        (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        (OK + b"surplus", b"ok"),
    ],
)
async def test_every_framing_of_an_answer_is_understood(
    scripted: Scripted, make_pool: MakePool, answer: bytes, body: bytes
) -> None:
    """Whole and byte by byte give the same; what follows an answer is dropped with the link."""

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"hi")
        for byte in answer:
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        await writer.drain()

    for steps in (answering(answer), slowly):
        server = await scripted(steps)
        heard = await ask(make_pool(server.url))
        assert heard.failure is None
        assert heard.body == body


async def test_an_answer_cut_short_is_a_failure(scripted: Scripted, make_pool: MakePool) -> None:
    for answer in (
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        b"HTTP/1.1 200 OK\r\nConte",
    ):
        heard = await ask(make_pool((await scripted(answering(answer))).url))
        assert heard.failure is not None
        assert heard.failure.kind is FailureKind.CLOSED


@pytest.mark.promise("X9")
async def test_bytes_nobody_asked_for_do_not_become_the_next_answer(
    scripted: Scripted, make_pool: MakePool
) -> None:
    poison = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
    server = await scripted(staying(OK + poison, poison))
    way = make_pool(server.url)

    assert (await ask(way)).body == b"ok"
    assert (await ask(way)).body == b"ok"
    assert server.connections == 2


async def test_head_has_no_body_and_keeps_the_connection(
    listen: Listen, make_pool: MakePool
) -> None:
    server = await listen(EchoApp())
    way = make_pool(url_of(server))

    for _ in range(3):
        heard = await ask(way, Request("HEAD", "/", [], b""))
        assert (heard.status, heard.body) == (200, b"")
        assert (b"content-length", b"7") in heard.headers
    assert server.connections == 1


@pytest.mark.promise("S9")
async def test_a_silent_source_times_out(scripted: Scripted, make_pool: MakePool) -> None:
    server = await scripted(staying(b""))

    heard = await ask(make_pool(server.url, terms=Terms(answer_s=1.0)))

    assert heard.failure is not None
    assert heard.failure.kind is FailureKind.TIMED_OUT
    assert heard.failure.message == "did not answer in time"


@pytest.mark.promise("S9")
async def test_a_trickling_answer_times_out_in_total(
    scripted: Scripted, make_pool: MakePool
) -> None:
    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"hi")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.005)

    heard = await ask(make_pool((await scripted(trickle)).url, terms=Terms(answer_s=1.0)))

    assert heard.failure is not None
    assert heard.failure.kind is FailureKind.TIMED_OUT
    assert heard.status == 200


@pytest.mark.promise("X11")
@pytest.mark.parametrize(
    "terms",
    [
        Terms(answer_s=1.0, idle_s=2.0, stream_s=99),
        Terms(answer_s=1.0, idle_s=99, stream_s=2.0),
    ],
)
async def test_an_event_stream_has_a_patience_of_its_own(
    scripted: Scripted, make_pool: MakePool, terms: Terms
) -> None:
    """Design 10: 60 s of silence and 10 min in total, not the time of a JSON answer."""

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"hi")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; a=b\r\n\r\n: hi\n\n")
        await reader.read()

    started = asyncio.get_running_loop().time()
    heard = await ask(make_pool((await scripted(stream)).url, terms=terms))

    assert heard.body == b": hi\n\n"
    assert heard.failure is not None
    assert heard.failure.kind is FailureKind.TIMED_OUT
    assert asyncio.get_running_loop().time() - started > 1.5


@pytest.mark.promise("X11")
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n" + b"x" * 11,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 11,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n" + b"x" * 11 + b"\r\n",
    ],
)
async def test_an_answer_beyond_the_cap_is_a_failure(
    scripted: Scripted, make_pool: MakePool, answer: bytes
) -> None:
    server = await scripted(staying(answer))

    heard = await ask(make_pool(server.url, terms=Terms(maximum_bytes=10)))

    assert heard.failure is not None
    assert heard.failure.kind is FailureKind.TOO_LARGE
    assert heard.failure.message == "answered more than 10 bytes"


@pytest.mark.promise("S9")
async def test_calls_beyond_the_concurrency_wait_and_then_are_busy(
    listen: Listen, make_pool: MakePool
) -> None:
    """Each source has bounds of its own; one more is refused at once, not queued for ever."""
    app = HoldingApp()
    server = await listen(app)
    way = make_pool(url_of(server), concurrency=2, waiting=1)
    heard = [Heard() for _ in range(4)]

    for each in heard:
        way.send(Request("GET", "/", [], b""), each)
    await heard[3].finished()
    for _ in range(3):
        (await app.next()).respond(200, [], b"")
    for each in heard[:3]:
        await each.finished()

    assert heard[3].failure is not None
    assert heard[3].failure.kind is FailureKind.BUSY
    assert heard[3].failure.is_unsent
    assert [each.failure for each in heard[:3]] == [None, None, None]
    assert server.connections == 2


@pytest.mark.promise("S9")
async def test_a_call_that_waits_too_long_was_never_sent(
    listen: Listen, make_pool: MakePool
) -> None:
    app = HoldingApp()
    way = make_pool(url_of(await listen(app)), concurrency=1, waiting=1)
    way.send(Request("GET", "/first", [], b""), Heard())
    waiting = Heard()

    way.send(Request("GET", "/second", [], b"", Terms(answer_s=0.05)), waiting)
    await waiting.finished()

    assert waiting.failure is not None
    assert waiting.failure.kind is FailureKind.TIMED_OUT
    assert waiting.failure.is_unsent
    assert (await app.next()).target == "/first"
    assert app.exchanges.empty()


async def test_an_aborted_call_closes_its_connection(listen: Listen, make_pool: MakePool) -> None:
    app = HoldingApp()
    way = make_pool(url_of(await listen(app)), concurrency=1)
    first, second, third = Heard(), Heard(), Heard()
    sending = way.send(Request("GET", "/first", [], b""), first)
    exchange = await app.next()
    gone = asyncio.Event()
    exchange.on_gone = gone.set
    waiting = way.send(Request("GET", "/second", [], b""), second)
    way.send(Request("GET", "/third", [], b""), third)

    waiting.abort()
    sending.abort()
    sending.abort()
    async with asyncio.timeout(30):
        await gone.wait()
    exchange = await app.next()
    exchange.respond(200, [], b"")
    await third.finished()

    assert exchange.target == "/third"
    assert first.calls == second.calls == []


async def test_a_body_is_streamed_in_chunks_or_as_announced(
    listen: Listen, make_pool: MakePool
) -> None:
    app = EchoApp()
    way = make_pool(url_of(await listen(app)))

    for headers in ([], [(b"content-length", b"6")]):
        for is_warm in (False, True):
            heard = Heard()
            sending = way.send(Request("POST", "/", headers, None), heard)
            sending.write(b"abc")
            if is_warm:
                await asyncio.sleep(0.01)
            sending.write(b"def")
            sending.end()
            await heard.finished()
            assert heard.body == b"POST / abcdef"


async def test_a_streamed_body_that_breaks_its_announcement_is_cut(
    listen: Listen, make_pool: MakePool
) -> None:
    app = EchoApp()
    way = make_pool(url_of(await listen(app)))

    for written in (b"abc", b"abcdefg"):
        heard = Heard()
        sending = way.send(Request("POST", "/", [(b"content-length", b"6")], None), heard)
        sending.write(written)
        sending.end()
        await heard.finished()
        assert heard.failure is not None
        assert heard.failure.kind is FailureKind.UNSENDABLE
    assert app.seen == []


async def test_a_slow_source_makes_a_streamed_body_wait(
    listen: Listen, make_pool: MakePool
) -> None:
    app = HoldingApp()
    way = make_pool(url_of(await listen(app)))
    heard = Heard()
    drained = asyncio.Event()
    sending = way.send(Request("POST", "/", [], None), heard)
    sending.on_drain = drained.set
    exchange = await app.next()

    while not sending.is_full:
        sending.write(b"x" * 100_000)
        await asyncio.sleep(0)
    exchange.collect(1 << 30, lambda each, _body: each.respond(204, [], b""))
    async with asyncio.timeout(30):
        await drained.wait()
    sending.end()
    await heard.finished()

    assert heard.status == 204


async def test_a_paused_answer_stops_the_source(listen: Listen, make_pool: MakePool) -> None:
    app = HoldingApp()
    way = make_pool(url_of(await listen(app)), terms=Terms(answer_s=1.0))
    heard = Heard()
    sending = way.send(Request("GET", "/", [], b""), heard)
    exchange = await app.next()
    exchange.start(200, [])
    async with asyncio.timeout(30):
        await heard.begun.wait()

    sending.pause()
    while not exchange.is_full:
        exchange.write(b"x" * 100_000)
        await asyncio.sleep(0)
    assert heard.body == b""
    await asyncio.sleep(1.1)
    sending.resume()
    exchange.finish()
    await heard.finished()

    assert heard.failure is None
    assert heard.is_whole


@pytest.mark.promise("X9")
@pytest.mark.parametrize(
    "request_",
    [
        Request("GET", "/a b", [], b""),
        Request("GET", "/\r\nHost: evil", [], b""),
        Request("GET", "elsewhere", [], b""),
        Request("GET", "/ä", [], b""),
        Request("GET", "/", [(b"a", b"b\r\nc: d")], b""),
        Request("GET", "/", [(b"a\n", b"b")], b""),
        Request("GET", "/", [(b"content-length", b"many")], None),
    ],
)
async def test_what_would_be_two_requests_is_not_sent(
    scripted: Scripted, make_pool: MakePool, request_: Request
) -> None:
    server = await scripted(answering(OK))

    heard = await ask(make_pool(server.url), request_)

    assert heard.failure is not None
    assert heard.failure.kind is FailureKind.UNSENDABLE
    assert server.connections == 0


async def test_a_closed_port_is_refused_without_naming_it(
    make_pool: MakePool, free_port: int
) -> None:
    heard = await ask(make_pool(f"http://127.0.0.1:{free_port}"))

    assert heard.failure is not None
    assert heard.failure.kind is FailureKind.REFUSED
    assert heard.failure.message == "takes no connections"


@pytest.mark.promise("S7")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433"])
async def test_loopback_is_not_dialled_in_a_cluster(
    listen: Listen, make_pool: MakePool, host: str
) -> None:
    """protocols.md 6 row 14, whatever the address is spelled like."""
    server = await listen(EchoApp())
    url = f"http://{host}:{server.addresses[0][1]}"

    heard = await ask(make_pool(url, rule=origin.IN_CLUSTER))

    assert heard.failure is not None
    assert heard.failure.kind is FailureKind.FORBIDDEN
    assert server.connections == 0


async def test_a_redirect_is_an_answer(scripted: Scripted, make_pool: MakePool) -> None:
    """S7: it is never followed."""
    answer = b"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n"
    server = await scripted(answering(answer))

    heard = await ask(make_pool(server.url))

    assert heard.status == 307
    assert server.connections == 1


async def test_an_encoded_answer_passes_when_the_terms_allow_it(
    scripted: Scripted, make_pool: MakePool
) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\n\x01\x02"
    server = await scripted(answering(answer))

    heard = await ask(make_pool(server.url, terms=Terms(allows_encoding=True)))

    assert heard.body == b"\x01\x02"


async def test_a_closed_pool_finishes_what_it_has(listen: Listen, make_pool: MakePool) -> None:
    app = HoldingApp()
    server = await listen(app)
    way = make_pool(url_of(server))
    running = Heard()
    way.send(Request("GET", "/", [], b""), running)
    exchange = await app.next()

    way.close()
    late = await ask(way)
    exchange.respond(200, [], b"done")
    await running.finished()

    assert running.body == b"done"
    assert late.failure is not None
    assert late.failure.kind is FailureKind.REFUSED
    assert way.connections == 0


async def test_a_unix_socket_is_an_origin_too(tmp_path: Path, quick_sweep: sweep.Sweep) -> None:
    path = tmp_path / "gateway.sock"
    server = await listener.serve(
        EchoApp(), [listener.unix_socket(path)], always(AGENT), sweep=quick_sweep
    )
    way = pool.Pool(origin.unix_origin(str(path)), quick_sweep)

    assert (await ask(way)).body == b"POST / hi"
    way.close()
    await server.close_gracefully(1)
