"""Redis homes for the contract suite: real servers, and our library under a clock that stands.

The library's two functions that know the time are exchanged for others that ask a key of the test;
production text has no way to be told the time.
"""

import atexit
import functools
import itertools
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mesh7_core.ledger import functions
from mesh7_core.ledger.protocol import Ledger
from mesh7_core.ledger.redis import RedisLedger
from mesh7_core.ledger.redis_url import RedisServer
from tests.core.ledger.contract import Home, OpenHome
from tests.peers import redis_servers

START_MS = 1_795_219_200_000
_CLOCK = """
local function now() return tonumber(redis.call('GET', 'test:clock')) end
"""
_EXPIRY = """
local function keep(key, ms)
  if ms > 0 then redis.call('ZADD', 'test:lapses', now() + ms, key)
  else redis.call('ZREM', 'test:lapses', key) end
end
"""
_numbers = itertools.count(1)


@functools.cache
def server(kind: str) -> redis_servers.Server:
    """One server of a kind for the whole run: each home has a namespace of its own in it."""
    folder = Path(tempfile.mkdtemp(prefix="mesh7-redis-"))
    started = redis_servers.Server(redis_servers.programs()[kind], folder)
    started.start()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(started.kill)
    return started


@functools.cache
def standing_library() -> functions.Library:
    """Our library with a clock that only the test moves."""
    text = _exchanged(functions.written(), "clock", _CLOCK)
    text = _exchanged(text, "expiry", _EXPIRY)
    return functions.library_of(text)


def _exchanged(text: str, mark: str, other: str) -> str:
    """The text with one marked function exchanged for another one."""
    start = re.compile(rf"(?ms)^local function \w+\([^\n]* -- {mark}.*?^end -- {mark}\n")
    exchanged, found = start.subn(lambda _: other, text)
    assert found == 1, mark
    return exchanged


class StandingRedisHome:
    """A Redis whose clock stands still."""

    slack_ms = 0

    def __init__(self, ledger: Ledger, behind: redis_servers.Server) -> None:
        self.ledger = ledger
        self._behind = behind

    async def advance(self, ms: int) -> None:
        now_ms = int(str(self._behind.tell("INCRBY", "test:clock", ms)))
        lapsed = self._behind.tell("ZRANGE", "test:lapses", "-inf", now_ms, "BYSCORE")
        assert isinstance(lapsed, list)
        if lapsed:
            self._behind.tell("DEL", *lapsed)
            self._behind.tell("ZREM", "test:lapses", *lapsed)


def _opening(kind: str) -> OpenHome:
    @asynccontextmanager
    async def opened(_folder: Path) -> AsyncIterator[Home]:
        behind = server(kind)
        behind.tell("FLUSHALL")
        behind.tell("SET", "test:clock", START_MS)
        ledger = RedisLedger(
            RedisServer(host="127.0.0.1", port=behind.port),
            f"ns-{next(_numbers)}",
            load=True,
            library=standing_library(),
        )
        await ledger.start()
        try:
            yield StandingRedisHome(ledger, behind)
        finally:
            await ledger.close()

    return opened


REDIS_HOMES: dict[str, OpenHome] = {kind: _opening(kind) for kind in redis_servers.programs()}
