"""Names of sources: few at once, by threads of their own, and never in the way of Redis."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from mesh7_core.ledger.redis import RedisLedger
from mesh7_core.ledger.redis_url import RedisServer
from mesh7_sidecar.net import origin, pool, sweep
from mesh7_sidecar.net.lookups import FAILED_S, MOST_AT_ONCE, Lookups
from mesh7_sidecar.net.upstream import FailureKind, Request
from tests.conftest import Eventually
from tests.peers import redis_servers
from tests.sidecar.net.parts import Heard


class Names:
    """A resolver: some names hang until the test ends, others are unknown."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.unknown: set[str] = set()
        self.now_s = 100.0
        self.let_go = threading.Event()

    def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        if host.startswith("hangs"):
            self.let_go.wait(20)
        if host in self.unknown:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return ["127.0.0.1", "127.0.0.1", "::1"]

    def lookups(self) -> Lookups:
        return Lookups(lambda: self.now_s, self)


@pytest.fixture
def names() -> Iterator[Names]:
    found = Names()
    yield found
    found.let_go.set()


async def test_each_address_is_named_once_and_literals_ask_nobody(names: Names) -> None:
    lookups = names.lookups()
    assert await lookups.find("tool.example") == ["127.0.0.1", "::1"]
    assert await lookups.find("10.0.0.1") == ["10.0.0.1"]
    assert await lookups.find("fd00::1") == ["fd00::1"]
    assert names.asked == ["tool.example"]


async def test_a_name_without_address_is_left_alone_for_some_seconds(names: Names) -> None:
    lookups = names.lookups()
    names.unknown = {"gone.example"}
    for _ in range(3):
        with pytest.raises(socket.gaierror):
            await lookups.find("gone.example")
    assert names.asked == ["gone.example"]
    names.now_s += FAILED_S
    names.unknown = set()
    assert await lookups.find("gone.example") == ["127.0.0.1", "::1"]


async def test_names_that_hang_hold_few_threads_however_often_they_are_called(
    names: Names, eventually: Eventually
) -> None:
    """A lookup cannot be cancelled: who gives up must not begin another."""
    lookups = names.lookups()
    for _ in range(3):
        waiting = [
            asyncio.ensure_future(lookups.find(f"hangs{number}.example"))
            for number in range(MOST_AT_ONCE * 2)
        ]
        done, pending = await asyncio.wait(waiting, timeout=0.05)
        assert not done
        for each in pending:
            each.cancel()
    await eventually(lambda: len(names.asked) >= MOST_AT_ONCE)
    assert len(names.asked) == MOST_AT_ONCE
    names.let_go.set()
    async with asyncio.timeout(30):
        assert await lookups.find("hangs1.example") == ["127.0.0.1", "::1"]


async def test_a_call_to_a_name_that_hangs_fails_in_time(names: Names) -> None:
    way = pool.Pool(
        origin.origin_of("http://hangs.example"), sweep.Sweep(),
        bounds=pool.PoolBounds(connect_s=0.05), lookups=names.lookups(),
    )  # fmt: skip
    heard = Heard()
    way.send(Request("POST", "/", [], b"hi"), heard)
    await heard.finished()
    assert heard.failure is not None
    assert heard.failure.kind is FailureKind.TIMED_OUT
    way.close()


async def _reconnected(server: redis_servers.Server, names: Names, eventually: Eventually) -> None:
    """Lose Redis while sources' names hang, and wait until it is back."""
    ledger = RedisLedger(RedisServer(host="localhost", port=server.port), "shop", load=True)
    await ledger.start()
    lookups, still = names.lookups(), sweep.Sweep()
    ways = [
        pool.Pool(origin.origin_of(f"http://hangs{number}.example"), still, lookups=lookups)
        for number in range(4)
    ]
    for way in ways:
        way.send(Request("POST", "/", [], b"hi"), Heard())
    await eventually(lambda: len(names.asked) == len(ways))
    server.tell("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await eventually(lambda: bool(ledger.trouble()))
    await eventually(lambda: not ledger.trouble())
    for way in ways:
        way.abort()
    await ledger.close()


def test_redis_is_reached_again_while_four_names_of_sources_hang(
    tmp_path: Path, names: Names, eventually: Eventually
) -> None:
    """The loop itself has room for two: names that nobody answers for kept Redis away."""
    server = redis_servers.Server(next(iter(redis_servers.programs().values())), tmp_path)
    server.start()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_reconnected(server, names, eventually))
    finally:
        server.kill()
