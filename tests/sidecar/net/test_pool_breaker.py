"""A pool leaves an origin alone that is down; what counts as down, and how it is found again."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from mesh7_sidecar.net import listener, origin, pool, sweep
from mesh7_sidecar.net.upstream import Failure, FailureKind, Request, Terms
from tests.sidecar.net.conftest import Listen, MakePool, Scripted
from tests.sidecar.net.parts import EchoApp, Heard, HoldingApp

pytestmark = pytest.mark.promise("S9")
LONG_S = 3600.0


class ToldSweep(sweep.Sweep):
    """A sweep whose time goes on only when the test says so."""

    def __init__(self) -> None:
        super().__init__(interval_s=LONG_S)

    def pass_by(self, seconds: float) -> None:
        self.now += seconds
        for watcher in tuple(self._watchers):
            watcher(self.now)


@pytest.fixture
def nobody() -> Iterator[socket.socket]:
    """A port that is ours and on which nobody listens yet."""
    bound = listener.tcp_socket("127.0.0.1", 0)
    yield bound
    bound.close()


@pytest.fixture
async def still_sweep() -> ToldSweep:
    return ToldSweep()


@pytest.fixture
async def still_pool(nobody: socket.socket, still_sweep: sweep.Sweep) -> AsyncIterator[pool.Pool]:
    """A pool towards `nobody` that goes by the still sweep and rests for five seconds."""
    way = pool.Pool(origin.origin_of(url_of(nobody)), still_sweep)
    yield way
    way.close()
    await asyncio.sleep(0)


def url_of(bound: socket.socket | listener.Listener) -> str:
    host, port = bound.getsockname() if isinstance(bound, socket.socket) else bound.addresses[0]
    return f"http://{host}:{port}"


def send(way: pool.Pool, body: bytes | None = b"hi") -> Heard:
    heard = Heard()
    way.send(Request("POST", "/", [], body), heard)
    assert heard.calls == []
    return heard


async def outcome(heard: Heard) -> FailureKind | int:
    """The kind of a call's failure, or the status of its answer."""
    await heard.finished()
    return heard.failure.kind if heard.failure is not None else heard.status


async def ask(way: pool.Pool, times: int) -> list[FailureKind | int]:
    """The outcomes of calls made one after the other."""
    return [await outcome(send(way)) for _ in range(times)]


async def test_a_source_that_refused_five_times_is_left_alone(still_pool: pool.Pool) -> None:
    """docs/reference/limits.md, sources that are down."""
    refused = await ask(still_pool, 5)
    heard = send(still_pool)
    await heard.finished()

    assert refused == [FailureKind.REFUSED] * 5
    assert heard.failure == Failure(
        kind=FailureKind.RESTING,
        message="failed five times in a row and is left alone for a few seconds",
        is_unsent=True,
    )


async def test_one_call_looks_after_the_rest_whether_the_source_is_back(
    nobody: socket.socket, listen: Listen, still_pool: pool.Pool, still_sweep: sweep.Sweep
) -> None:
    """docs/reference/limits.md, sources that are down."""
    await ask(still_pool, 5)
    app = HoldingApp()
    await listen(app, bound=nobody)

    still_sweep.now += 4.9
    early = await ask(still_pool, 1)
    still_sweep.now += 0.1
    probe = send(still_pool)
    beside = await ask(still_pool, 2)
    exchange = await app.next()
    exchange.respond(503, [], b"")
    found = await outcome(probe)

    assert early + beside == [FailureKind.RESTING] * 3
    assert found == 503
    assert app.exchanges.empty()


async def test_an_answer_of_any_status_lets_every_call_through_again(
    nobody: socket.socket, listen: Listen, still_pool: pool.Pool, still_sweep: sweep.Sweep
) -> None:
    await ask(still_pool, 5)
    await listen(lambda exchange: exchange.respond(503, [], b""), bound=nobody)
    still_sweep.now += 5.0

    assert await ask(still_pool, 7) == [503] * 7


async def test_a_probe_that_fails_makes_the_source_rest_again(
    still_pool: pool.Pool, still_sweep: sweep.Sweep
) -> None:
    await ask(still_pool, 5)
    still_sweep.now += 5.0

    assert await ask(still_pool, 2) == [FailureKind.REFUSED, FailureKind.RESTING]


async def test_a_probe_that_its_caller_gives_up_makes_room_for_the_next(
    nobody: socket.socket, listen: Listen, still_pool: pool.Pool, still_sweep: sweep.Sweep
) -> None:
    await ask(still_pool, 5)
    still_sweep.now += 5.0
    still_pool.send(Request("POST", "/", [], b"hi"), Heard()).abort()
    await listen(EchoApp(), bound=nobody)
    still_sweep.now += 5.0

    assert await ask(still_pool, 1) == [200]


async def test_error_statuses_are_no_failures_of_the_source(
    listen: Listen, make_pool: MakePool
) -> None:
    server = await listen(lambda exchange: exchange.respond(500, [], b""))

    assert await ask(make_pool(url_of(server)), 7) == [500] * 7


async def test_a_source_that_closes_without_a_byte_is_down(
    scripted: Scripted, make_pool: MakePool
) -> None:
    async def close(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\nhi")

    way = make_pool((await scripted(close)).url, rest_s=LONG_S)

    assert await ask(way, 6) == [FailureKind.CLOSED] * 5 + [FailureKind.RESTING]


async def test_a_source_that_breaks_off_an_answer_is_not_down(
    scripted: Scripted, make_pool: MakePool
) -> None:
    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\nhi")
        writer.write(b"HTTP/1.1 2")

    way = make_pool((await scripted(break_off)).url, rest_s=LONG_S)

    assert await ask(way, 7) == [FailureKind.CLOSED] * 7


async def test_a_source_that_never_answers_is_down(listen: Listen, still_sweep: ToldSweep) -> None:
    app = HoldingApp()
    way = pool.Pool(origin.origin_of(url_of(await listen(app))), still_sweep)

    outcomes = [await overdue(send(way), app, still_sweep) for _ in range(5)]

    assert outcomes == [FailureKind.TIMED_OUT] * 5
    assert await ask(way, 1) == [FailureKind.RESTING]
    way.close()
    await asyncio.sleep(0)


async def test_an_agent_that_never_ends_its_request_does_not_make_a_source_rest(
    listen: Listen, still_sweep: ToldSweep
) -> None:
    """Else one agent could keep another from a source that is well."""
    app = HoldingApp()
    way = pool.Pool(origin.origin_of(url_of(await listen(app))), still_sweep)

    outcomes = [await overdue(send(way, body=None), app, still_sweep) for _ in range(7)]

    assert outcomes == [FailureKind.TIMED_OUT] * 7
    way.close()
    await asyncio.sleep(0)


async def overdue(heard: Heard, app: HoldingApp, time: ToldSweep) -> FailureKind | int:
    """What becomes of a call that has reached the source and is not answered in time."""
    await app.next()
    time.pass_by(Terms().answer_s + 1)
    return await outcome(heard)


async def test_a_source_without_trusted_tls_is_down(
    scripted: Scripted, make_pool: MakePool
) -> None:
    async def speak_plain_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    server = await scripted(speak_plain_http)
    way = make_pool(server.url.replace("http:", "https:"), rest_s=LONG_S)

    assert await ask(way, 6) == [FailureKind.TLS] * 5 + [FailureKind.RESTING]


async def test_an_address_that_must_not_be_dialled_says_so_each_time(
    nobody: socket.socket, make_pool: MakePool
) -> None:
    way = make_pool(url_of(nobody), rest_s=LONG_S, rule=origin.IN_CLUSTER)

    assert await ask(way, 7) == [FailureKind.FORBIDDEN] * 7


async def test_calls_that_wait_for_a_source_are_told_at_once_that_it_is_down(
    scripted: Scripted, make_pool: MakePool
) -> None:
    async def close(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\nhi")

    server = await scripted(close)
    way = make_pool(server.url, concurrency=1, rest_s=LONG_S)

    waiting = [send(way) for _ in range(9)]
    outcomes = [await outcome(each) for each in waiting]

    assert outcomes == [FailureKind.CLOSED] * 5 + [FailureKind.RESTING] * 4
    assert server.connections == 5


async def test_a_source_that_is_down_keeps_nobody_from_another(
    nobody: socket.socket, listen: Listen, make_pool: MakePool
) -> None:
    down = make_pool(url_of(nobody), rest_s=LONG_S)
    well = make_pool(url_of(await listen(EchoApp())))
    await ask(down, 6)

    assert await ask(well, 1) == [200]
