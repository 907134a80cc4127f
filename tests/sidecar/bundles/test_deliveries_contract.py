"""What deliveries promise, held to Redis and to the fake that the other tests use."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import pytest

from mesh7_core.delivery.envelopes import MAXIMUM_SEALED_BYTES, Kind
from mesh7_core.ledger import functions
from mesh7_core.ledger.deliveries import Deliveries, Versions
from mesh7_core.ledger.redis import RedisLedger
from mesh7_core.ledger.redis_url import RedisServer
from tests.core.ledger.redis_homes import server
from tests.fakes.deliveries import MemoryDeliveries
from tests.peers import redis_servers
from tests.sidecar.bundles.delivering import BUNDLE, OVERLAY

PATIENCE_S = 30.0
_numbers = itertools.count(1)
KINDS = ["memory", *sorted(redis_servers.programs())]


class Home(Protocol):
    """Deliveries of a fresh namespace, with what the operator and anybody else may do there."""

    deliveries: Deliveries

    def deliver(self, kind: Kind, version: int, sealed: bytes) -> None: ...

    def forge(self, kind: Kind, version: int, sealed: bytes) -> None: ...


class MemoryHome:
    def __init__(self) -> None:
        self.deliveries: Deliveries
        self.deliveries = self._kept = MemoryDeliveries()

    def deliver(self, kind: Kind, version: int, sealed: bytes) -> None:
        self._kept.deliver(kind, version, sealed)

    def forge(self, kind: Kind, version: int, sealed: bytes) -> None:
        self._kept.entries[kind] = version, sealed


class RedisHome:
    """A namespace of its own on a real server; the library is loaded by the ledger."""

    def __init__(self, behind: redis_servers.Server, namespace: str, ledger: RedisLedger) -> None:
        self.deliveries = ledger.deliveries
        self._behind = behind
        self._prefix = f"m7b:{{{namespace}}}:"

    def deliver(self, kind: Kind, version: int, sealed: bytes) -> None:
        library = functions.library_of(functions.written()).name
        words = (f"{self._prefix}{kind}", version, sealed, f"{self._prefix}delivered", 0)
        self._behind.tell("FCALL", f"{library}_deliver", 1, *words)

    def forge(self, kind: Kind, version: int, sealed: bytes) -> None:
        self._behind.tell("HSET", f"{self._prefix}{kind}", "v", version, "t", sealed)


@asynccontextmanager
async def on_redis(
    behind: redis_servers.Server, namespace: str
) -> AsyncIterator[tuple[RedisHome, RedisLedger]]:
    """The ledger of one sidecar."""
    where = RedisServer(host="127.0.0.1", port=behind.port)
    ledger = RedisLedger(where, namespace, load=True, delivers=True)
    await ledger.start()
    try:
        yield RedisHome(behind, namespace, ledger), ledger
    finally:
        await ledger.close()


@pytest.fixture(params=KINDS)
async def home(request: pytest.FixtureRequest) -> AsyncIterator[Home]:
    if request.param == "memory":
        yield MemoryHome()
        return
    async with on_redis(server(request.param), f"delivered-{next(_numbers)}") as (opened, _):
        yield opened


async def test_only_a_higher_version_takes_the_place(home: Home) -> None:
    assert await home.deliveries.versions() == Versions()
    for version in (5, 4, 5, 7):
        home.deliver(BUNDLE, version, b"%d" % version)
    home.deliver(OVERLAY, 2, b"overlay")
    assert await home.deliveries.versions() == Versions(7, 2)
    assert await home.deliveries.fetch(BUNDLE) == b"7"
    assert await home.deliveries.fetch(OVERLAY) == b"overlay"


async def test_what_is_nothing_or_too_large_is_not_fetched(home: Home) -> None:
    assert await home.deliveries.fetch(BUNDLE) is None
    home.forge(BUNDLE, 3, b"")
    assert await home.deliveries.fetch(BUNDLE) is None
    home.forge(BUNDLE, 3, b"x" * MAXIMUM_SEALED_BYTES)
    assert await home.deliveries.fetch(BUNDLE) == b"x" * MAXIMUM_SEALED_BYTES
    home.forge(BUNDLE, 3, b"x" * (MAXIMUM_SEALED_BYTES + 1))
    assert await home.deliveries.fetch(BUNDLE) is None
    assert await home.deliveries.versions() == Versions(3, 0)


async def test_whoever_listens_is_told_until_it_ends(home: Home) -> None:
    turn = asyncio.Event()
    end = home.deliveries.subscribe(turn.set)
    home.deliver(OVERLAY, 1, b"one")
    async with asyncio.timeout(PATIENCE_S):
        await turn.wait()
    end()
    turn.clear()
    home.deliver(OVERLAY, 2, b"two")
    assert await home.deliveries.versions() == Versions(0, 2)
    assert not turn.is_set()


async def test_a_report_is_taken(home: Home) -> None:
    assert await home.deliveries.report("uid-1", b"{}") is True
