"""The home of one machine: the memory home's arithmetic, kept in a SQLite file.

A call is counted in memory and written within 50 ms, so that a SIGKILL loses that span of counts
at most. What people decide, and what is used because of it, is on the disk before its coroutine
returns. While the file cannot be written, every answer is LOST.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from mesh7_core import errors
from mesh7_core.ledger import memory, rows
from mesh7_core.ledger.asked import Refused, Request, Vote
from mesh7_core.ledger.behind import Writer
from mesh7_core.ledger.counts import Counts
from mesh7_core.ledger.database import TABLES, Batch, Database
from mesh7_core.ledger.protocol import (
    LOST,
    OBSERVED_LOST,
    Caps,
    Changed,
    Full,
    Lost,
    Observation,
    Observed,
    Opened,
    Seen,
    Standing,
    Unknown,
    Window,
)
from mesh7_core.ledger.requests import Requests
from mesh7_core.ledger.stands import Stands
from mesh7_core.ledger.telling import Listeners

log = logging.getLogger("mesh7.ledger")

SWEPT_MS: Final = 30_000
_TOOK_NOTHING: Final = frozenset({Seen.DENIED, Seen.SPENT, Seen.REPEATED})
_COUNTED_REPEATS: Final = frozenset({Seen.ADMITTED, Seen.GRANTED})

Answer = TypeVar("Answer")


def open_ledger(path: Path, now_ms: Callable[[], int]) -> "SqliteLedger":
    """Open a ledger, or make an empty one; rows that are damaged are left out and logged.

    Args:
        path: the file, in a private folder that one gateway holds.
        now_ms: the clock, Unix milliseconds.

    Raises:
        SettingsError: the file cannot be opened, is damaged, or comes from a newer mesh7.
    """
    database = Database(path)
    thread = ThreadPoolExecutor(1, thread_name_prefix="mesh7-ledger")
    ledger = SqliteLedger(database, thread, now_ms)
    try:
        thread.submit(ledger.load).result()
    except (sqlite3.Error, OSError) as error:
        thread.shutdown(wait=False)
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise errors.SettingsError(
            f"`{path}` cannot be opened: {why} – mend it, or give another state folder with "
            "`--state`"
        ) from error
    except errors.SettingsError:
        thread.shutdown(wait=False)
        raise
    return ledger


class SqliteLedger:
    """One namespace's ledger in one file; made by `open_ledger`."""

    def __init__(
        self, database: Database, thread: ThreadPoolExecutor, now_ms: Callable[[], int]
    ) -> None:
        self._clock = now_ms
        self._database = database
        self._changed: dict[str, set[str]] = {"windows": set(), "repeats": set(), "uses": set()}
        self._counts = Counts(self._changed["windows"].add)
        self._gone: list[str] = []
        self._requests = Requests(self._gone.append)
        self._stands = Stands()
        self._holding = rows.Holding(self._counts, self._requests, self._stands)
        self._listeners = Listeners()
        self._swept_at_ms = 0
        self._writing: set[object] = set()
        self._writer = Writer(database, thread, self._take_changed, self._everything, self._mended)

    def load(self) -> None:
        """Open the file and read it; on the database's thread.

        Raises:
            SettingsError, sqlite3.Error, OSError: as `Database.open`.
        """
        self._database.open()
        now_ms = self._clock()
        for table in TABLES:
            damaged = self._holding.fill(table, self._database.rows(table), now_ms)
            if damaged:
                log.warning(
                    "%d damaged rows of `%s` are left out: `%s`",
                    damaged, table, self._database.path,
                )  # fmt: skip
        self._requests.clear(now_ms)

    def observe(self, observation: Observation, answer: Callable[[Observed], None]) -> None:
        """Take all that a call hangs on, or nothing, and answer before returning."""
        if self._writer.trouble:
            answer(OBSERVED_LOST)
            return
        found = memory.take(self._requests, self._counts, observation, self._clock())
        if not observation.is_dry and found.seen not in _TOOK_NOTHING:
            self._note(observation, found)
        answer(found)

    async def open(self, request: Request, caps: Caps) -> Opened | Full | Lost:
        """Ask people, or join."""
        kept = await self._keep(lambda now_ms: self._requests.plan_open(request, caps, now_ms))
        return Opened(kept.id) if isinstance(kept, Request) else kept

    async def vote(self, request_id: str, vote: Vote) -> Request | Refused | Unknown | Lost:
        """One person's yes or no."""
        return await self._keep(lambda now_ms: self._requests.plan_vote(request_id, vote, now_ms))

    async def claim(
        self, request_id: str, digest: str, windows: Sequence[Window]
    ) -> Request | Refused | Lost:
        """Use an approval, once; places are stamped before it is written."""

        def plan(now_ms: int) -> Request | Refused:
            planned = self._requests.plan_claim(request_id, digest, now_ms)
            if isinstance(planned, Refused):
                return planned
            full = self._counts.claim(windows, digest, now_ms)
            if full is not None:
                return memory.no_place(full)
            self._changed["windows"].update(window.key for window in windows)
            self._writer.soon()
            return planned

        return await self._keep(plan)

    async def finish(self, request_id: str, outcome: str) -> Lost | None:
        """Note what became of a claimed call."""
        kept = await self._keep(
            lambda now_ms: self._requests.plan_finish(request_id, outcome, now_ms)
        )
        return LOST if kept is LOST else None

    async def give_back(self, digest: str, windows: Sequence[Window]) -> Lost | None:
        """Free what is reserved under `digest`."""
        if self._writer.trouble:
            return LOST
        self._counts.windows.give_back(windows, digest, self._clock())
        self._changed["windows"].update(window.key for window in windows)
        self._writer.soon()
        return None

    async def withdraw(self, request_id: str) -> Lost | None:
        """Nobody needs an answer any more."""
        kept = await self._keep(lambda now_ms: self._requests.plan_withdraw(request_id, now_ms))
        return LOST if kept is LOST else None

    async def requests(self) -> tuple[Request, ...] | Lost:
        """All that are open or closed lately, oldest first."""
        return LOST if self._writer.trouble else self._requests.listed(self._clock())

    async def request(self, request_id: str) -> Request | Unknown | Lost:
        """One of them, by its whole id."""
        return LOST if self._writer.trouble else self._requests.find(request_id, self._clock())

    async def used(self, keys: Sequence[str]) -> tuple[int, ...] | Lost:
        """How often each grant was used."""
        return LOST if self._writer.trouble else self._counts.grants.used(keys, self._clock())

    async def standing(self) -> tuple[Standing, ...] | Lost:
        """All standing grants and vetoes made by hand, by name."""
        return LOST if self._writer.trouble else self._stands.listed()

    async def stand(self, name: str, document: str, by: str) -> Standing | Refused | Lost:
        """Keep a grant or veto."""
        return await self._finished(self._stand(name, document, by))

    async def fall(self, name: str) -> Standing | Unknown | Lost:
        """Remove one."""
        return await self._finished(self._fall(name))

    def subscribe(self, told: Callable[[Changed], None]) -> Callable[[], None]:
        """Be told of changes; also when the file could not be written and can be again."""
        return self._listeners.add(told)

    async def now_ms(self) -> int | Lost:
        """The clock."""
        return LOST if self._writer.trouble else self._clock()

    def trouble(self) -> str:
        """Why it is lost, for people; empty when it is not."""
        return self._writer.trouble

    async def close(self) -> None:
        """Write what is not written, let the file go."""
        await self._writer.close()

    async def _finished(self, work: Coroutine[object, object, Answer]) -> Answer:
        """Do it to its end, even if whoever waits is gone: disk and memory must not part."""
        task = asyncio.create_task(work)
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        return await asyncio.shield(task)

    async def _keep(self, plan: Callable[[int], Answer]) -> Answer | Lost:
        return await self._finished(self._kept(plan))

    async def _kept(self, plan: Callable[[int], Answer]) -> Answer | Lost:
        """Plan, write down, then act by it: one after the other for all."""
        async with self._writer.lock:
            if self._writer.trouble:
                return LOST
            planned = plan(self._clock())
            if not isinstance(planned, Request):
                return planned
            if not await self._writer.write(Batch(rows={"requests": [rows.request_row(planned)]})):
                return LOST
            self._requests.put(planned)
        if self._gone:
            self._writer.soon()
        self._listeners.tell(Changed(planned.id))
        return planned

    async def _stand(self, name: str, document: str, by: str) -> Standing | Refused | Lost:
        async with self._writer.lock:
            if self._writer.trouble:
                return LOST
            planned = self._stands.plan(name, document, by, self._clock())
            if isinstance(planned, Refused):
                return planned
            if not await self._writer.write(Batch(rows={"standing": [rows.standing_row(planned)]})):
                return LOST
            self._stands.put(planned)
        self._listeners.tell(Changed(""))
        return planned

    async def _fall(self, name: str) -> Standing | Unknown | Lost:
        async with self._writer.lock:
            if self._writer.trouble:
                return LOST
            found = self._stands.find(name)
            if isinstance(found, Unknown):
                return found
            if not await self._writer.write(Batch(gone={"standing": [name]})):
                return LOST
            self._stands.fall(name)
        self._listeners.tell(Changed(""))
        return found

    def _note(self, observation: Observation, found: Observed) -> None:
        """Remember which counts have to be written."""
        changed = self._changed
        for window in observation.windows:
            changed["windows"].add(window.key)
        if found.seen in _COUNTED_REPEATS:
            for window in observation.repeats:
                changed["repeats"].add(window.key)
        if found.granted:
            changed["uses"].update(found.granted)
        self._writer.soon()

    def _take_changed(self) -> Batch | None:
        now_ms = self._clock()
        is_due = not 0 <= now_ms - self._swept_at_ms < SWEPT_MS
        self._requests.clear(now_ms)
        # While a decision is on its way to the disk nothing older may follow it there.
        gone = [] if self._writer.lock.locked() else self._gone.copy()
        if not (any(self._changed.values()) or gone):
            return None
        batch = Batch(swept_at_ms=now_ms if is_due else 0)
        for table, shelf in (("windows", self._counts.windows), ("repeats", self._counts.repeats)):
            batch.rows[table] = list(rows.shelf_rows(shelf, self._changed[table], now_ms))
            kept = {row[0] for row in batch.rows[table]}
            batch.gone[table] = [key for key in self._changed[table] if key not in kept]
            self._changed[table].clear()
        batch.rows["uses"] = [
            rows.uses_row(key, spent)
            for key in self._changed["uses"]
            if (spent := self._counts.grants.find(key, now_ms)) is not None
        ]
        self._changed["uses"].clear()
        if gone:
            self._gone.clear()
        kept_requests = [one for each in gone if (one := self._requests.written(each)) is not None]
        batch.rows["requests"] = [rows.request_row(one) for one in kept_requests]
        kept_ids = {one.id for one in kept_requests}
        batch.gone["requests"] = [each for each in gone if each not in kept_ids]
        if is_due:
            self._swept_at_ms = now_ms
        return batch

    def _everything(self) -> Batch:
        for keys in self._changed.values():
            keys.clear()
        return self._holding.batch()

    def _mended(self) -> None:
        self._listeners.tell(Changed(""))
