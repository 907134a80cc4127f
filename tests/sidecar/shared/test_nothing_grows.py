"""Twenty thousand calls, all of them different: what is kept does not grow with their number.

`make soak` does the same with a million and looks at memory too.
"""

import asyncio
import contextlib
import sqlite3
from array import array
from collections import Counter
from pathlib import Path

import pytest

from tests.peers import redis_servers
from tests.sidecar.doors import parts as doors
from tests.sidecar.lifecycle import parts as lifecycle
from tests.sidecar.shared import load, parts

VALKEY = redis_servers.programs()["valkey"]
CALLS = 20_000
LOOK_S = 0.05
LOOPED = """\
apiVersion: mesh7.dev/v1alpha1
kind: AgentPolicy
metadata: {name: till}
spec:
  selector: {}
  defaultAction: Deny
  rules:
  - {name: get, tools: ["api.get"], action: Allow, limits: [many, one]}
  limits:
  - {name: many, per: Agent, max: 1000000, window: 1h}
  - {name: one, per: Pod, max: 1000000}
  loops: {identical: 1, window: 1s}
"""
QUIET = ("--audit", "off")


@pytest.mark.promise("L8", "D35", "D36")
async def test_what_a_store_keeps_of_many_different_calls_expires_by_itself(tmp_path: Path) -> None:
    """Issue 4: keys expire; nothing grows with the number of calls."""
    with redis_servers.running(VALKEY, tmp_path / "store") as server:
        async with (
            load.serving() as url,
            parts.node(
                tmp_path / "one", doors.source("api", url, kind="http"), LOOPED,
                arguments=QUIET, redis_port=server.port,
            ) as served,
        ):  # fmt: skip
            assert await load.ask(served, range(CALLS)) == {"200": CALLS}
            # The two windows and the epoch; each call's own loop window has gone with its second.
            await server.eventually("DBSIZE", answers=3)
            longest = [server.tell("LLEN", key) for key in keys_of(server)]
            assert all(isinstance(length, int) and length <= 257 for length in longest)


def keys_of(server: redis_servers.Server) -> list[bytes]:
    """The windows that are kept."""
    found = server.tell("KEYS", "m7:{default}:w:*")
    assert isinstance(found, list)
    return found


@pytest.mark.promise("L8", "D35", "D36")
async def test_what_a_laptop_keeps_of_many_different_calls_is_swept(tmp_path: Path) -> None:
    """Issue 4: written within 50 ms, also while many come; swept each half minute, and at a start.

    Seconds passed between two writes when each row was a statement of its own: between statements
    the thread that writes waited for the one that serves calls.
    """
    place = tmp_path / "one"
    async with load.serving() as url:
        source = doors.source("api", url, kind="http")
        async with parts.node(place, source, LOOPED, arguments=QUIET) as served:
            asking = asyncio.create_task(load.ask(served, range(CALLS)))
            longest, looks = await standstills(served.state, asking)
            # On a busy machine all takes longer, the calls as well as what is written of them.
            assert longest < max(0.9 / LOOK_S, looks / 5)
            assert await asking == {"200": CALLS}
            await lifecycle.eventually(lambda: counted(served.state) == CALLS)
            await lifecycle.eventually(lambda: unlapsed(served.state) == 0)
            assert await parts.stopped(served) == 0
        async with parts.node(place, arguments=QUIET) as served:
            assert await load.ask(served, range(1)) == {"200": 1}
            await lifecycle.eventually(lambda: rows(served.state) == {"windows": 2, "repeats": 1})


def rows(state: Path) -> dict[str, int]:
    """How many rows the tables of counts have."""
    with contextlib.closing(sqlite3.connect(state / "ledger.db")) as file:
        return {
            table: file.execute(f"select count(*) from {table}").fetchone()[0]  # noqa: S608
            for table in ("windows", "repeats")
        }


async def standstills(state: Path, asking: "asyncio.Task[Counter[str]]") -> tuple[int, int]:
    """For how many looks on end the count on the disk stood still; and all looks while calls came.

    Looks, not seconds: a machine that stops for a while stops the calls too.
    """
    longest, since, looks, seen = 0, 0, 0, 0
    while not asking.done():
        await asyncio.wait({asking}, timeout=LOOK_S)
        looks += 1
        if (found := counted(state)) != seen:
            seen, since = found, looks
        longest = max(longest, looks - since)
    return longest, looks


def unlapsed(state: Path) -> int:
    """How many loop windows still count, by the clock of SQLite."""
    now_ms = "(julianday('now') - 2440587.5) * 86400000"
    with contextlib.closing(sqlite3.connect(state / "ledger.db")) as file:
        found = file.execute(f"select count(*) from repeats where lapses_at > {now_ms}")  # noqa: S608
        return int(found.fetchone()[0])


def counted(state: Path) -> int:
    """How many calls of a lifetime stand in the file: one stamp, one count."""
    with contextlib.closing(sqlite3.connect(state / "ledger.db")) as file:
        found = file.execute("select cells from windows where key like 'till/one:%'").fetchone()
        return 0 if found is None else int(array("q", found[0])[1])
