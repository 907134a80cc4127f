"""Writing behind: batches go to the database's thread, at once or within 50 ms.

One timer for all that changed meanwhile, none for a call. After a failure the ledger is lost: the
file is opened anew each second and everything that memory holds is written to it. What was
answered before stands, and nothing is answered in between.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from mesh7_core import awake, errors
from mesh7_core.ledger.database import Batch, Database

log = logging.getLogger("mesh7.ledger")

FLUSH_S = 0.05
RETRY_S = 1.0
CLOSE_S = 5.0


class Writer:
    """The way to the disk.

    Args:
        database: opened.
        thread: the one that owns its connection.
        changed: takes what changed since it was last asked; None = nothing.
        everything: all there is, for a file that has to be filled anew.
        mended: told when writing works again.

    Attributes:
        trouble: why nothing can be written, for people; empty when it can.
        lock: held by whoever writes a decision down and then acts by it.
    """

    def __init__(
        self,
        database: Database,
        thread: ThreadPoolExecutor,
        changed: Callable[[], Batch | None],
        everything: Callable[[], Batch],
        mended: Callable[[], None],
    ) -> None:
        self.trouble = ""
        self.lock = asyncio.Lock()
        self._database = database
        self._thread = thread
        self._changed = changed
        self._everything = everything
        self._mended = mended
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_flushing = False
        self._is_closed = False

    def soon(self) -> None:
        """Something changed: write it within `FLUSH_S`."""
        if self._timer is None and not self._is_flushing:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self._begin)

    async def write(self, batch: Batch) -> bool:
        """Write a decision; whether it is on the disk. The caller holds the lock."""
        return await self._written(batch, is_durable=True)

    async def close(self) -> None:
        """Write what is not written, for `CLOSE_S` at most, and let the file go."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            async with awake.timeout(CLOSE_S):
                async with self.lock:
                    if not self.trouble:
                        await self._flush()
                    self._stop()
                if self._tasks:
                    await asyncio.wait(self._tasks)
                await self._run(self._database.close)
        except TimeoutError:
            log.error("the ledger was left unfinished: the disk does not answer")  # noqa: TRY400
        self.trouble = self.trouble or "it is closed"
        self._thread.shutdown(wait=False)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self) -> None:
        self._timer = None
        task = asyncio.ensure_future(self._retry() if self.trouble else self._flush())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _flush(self) -> None:
        batch = self._changed()
        if batch is None:
            return
        self._is_flushing = True
        try:
            is_written = await self._written(batch, is_durable=False)
        finally:
            self._is_flushing = False
        if is_written and not self._is_closed:
            self.soon()  # what changed meanwhile; when nothing did, the next time ends it

    async def _retry(self) -> None:
        async with self.lock:
            try:
                await self._run(self._database.open)
            except (sqlite3.Error, OSError, errors.SettingsError) as error:
                self._fail(error)
                return
            if not await self._written(self._everything(), is_durable=True):
                return
            self.trouble = ""
        log.info("the ledger is written again")
        self._mended()

    async def _written(self, batch: Batch, *, is_durable: bool) -> bool:
        try:
            await self._run(lambda: self._database.write(batch, is_durable=is_durable))
        except (sqlite3.Error, OSError) as error:
            self._fail(error)
            return False
        return True

    def _fail(self, error: Exception) -> None:
        """Remember why, say it once, and try again in a while."""
        why = error.strerror if isinstance(error, OSError) else str(error)
        trouble = f"`{self._database.path}` cannot be written: {why}"
        if trouble != self.trouble:
            log.error("the ledger is lost until it can be written: %s", trouble)
        self.trouble = trouble
        self._stop()
        if not self._is_closed:
            self._timer = asyncio.get_running_loop().call_later(RETRY_S, self._begin)

    async def _run(self, work: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, work)
