"""Every home that keeps the ledger's contract, by name."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mesh7_core.ledger import sqlite
from mesh7_core.ledger.memory import MemoryLedger
from mesh7_core.ledger.protocol import Ledger
from tests.core.ledger.contract import Home, OpenHome
from tests.core.ledger.redis_homes import REDIS_HOMES

START_MS = 1_795_219_200_000


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self, at_ms: int = START_MS) -> None:
        self.at_ms = at_ms

    def __call__(self) -> int:
        return self.at_ms


class StandingHome:
    """A home whose clock stands still: nothing passes by itself."""

    slack_ms = 0

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self.ledger = ledger
        self._clock = clock

    async def advance(self, ms: int) -> None:
        self._clock.at_ms += ms


@asynccontextmanager
async def memory_home(_folder: Path) -> AsyncIterator[Home]:
    clock = Clock()
    yield StandingHome(MemoryLedger(clock), clock)


@asynccontextmanager
async def sqlite_home(folder: Path) -> AsyncIterator[Home]:
    clock = Clock()
    ledger = sqlite.open_ledger(folder / "ledger.db", clock)
    try:
        yield StandingHome(ledger, clock)
    finally:
        await ledger.close()


HOMES: dict[str, OpenHome] = {"memory": memory_home, "sqlite": sqlite_home, **REDIS_HOMES}
