"""Audit lines: one JSON line a record, written off the path of calls, to a file or to stdout.

Records wait in memory for at most `FLUSH_S`, and their lines are sealed and written at once by a
worker thread, so that a slow disk stops no call; a SIGKILL loses at most that span. They become
lines a few at a time: one by one, between calls, that costs the processor's caches twice as much,
and done by the thread it would hold the interpreter for milliseconds. What does not fit, or cannot
be written, is dropped and counted, and the count is written as a line of its own.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from mesh7_core import awake
from mesh7_core.audit import changes, deeds
from mesh7_core.telemetry.records import Record
from mesh7_sidecar import telling
from mesh7_sidecar.audit.sealing import Sealing, Stored
from mesh7_sidecar.audit.segments import Follower

log = logging.getLogger("mesh7.audit")

FLUSH_S: Final = 0.05
SIGN_S: Final = 5.0
"""After the first record that no signed head names, one is signed."""
CLOSE_S: Final = 5.0
MAXIMUM_WAITING_BYTES: Final = 64 * 1024 * 1024
MOST_WRITTEN: Final = 2048
"""Lines of one write."""
_BEHIND: Final = 4 * MOST_WRITTEN
_GIVEN_S: Final = 0.00005
"""To the thread when it is behind: whoever runs on and on takes the interpreter back from a system
call before a thread that waits for it has woken."""
AT_ONCE: Final = 32
"""Records that become lines together; some 0.1 ms."""
_HEAVY_BYTES: Final = 16 * 1024
"""Of a message that a record keeps alive, parsed too; what is heavier becomes a line at once."""
_UNPARSED: Final = "http"
"""The door whose calls have no more than a request line."""
_DEFECT: Final = "audit records are lost by a defect of mesh7; please report it"


class AuditLines:
    """Records on their way to where they are kept.

    Args:
        sealing: stores them; used by one thread alone.
        render: a record → its line without the newline.
        maximum_waiting_bytes: what memory may hold while the sink is slow.
        sign_s: how long records stay unsigned.

    Attributes:
        written: records that were stored, since the start.
        lost: records that were dropped, since the start; each is told in the audit too.
    """

    def __init__(
        self,
        sealing: Sealing,
        render: Callable[[Record], bytes],
        maximum_waiting_bytes: int = MAXIMUM_WAITING_BYTES,
        sign_s: float = SIGN_S,
    ) -> None:
        self.followers: list[Follower] = []
        self.written = 0
        self.lost = 0
        self._render = render
        self._maximum_waiting_bytes = maximum_waiting_bytes
        self._sign_s = sign_s
        self._sealing = sealing
        self._records: list[Record] = []
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._is_urgent = False
        self._dropped = 0
        self._trouble = self._besides = self._unsigned = ""
        self._is_defect_told = False
        self._signed: asyncio.Future[None] | None = None
        self._flushing: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._signing: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        # Of its own, and begun now: an agent that takes all processes of the pod hides nothing.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit")
        self._thread.submit(_begin)

    def append(self, record: Record) -> None:
        """Take a record; never blocks, never raises."""
        records = self._records
        records.append(record)
        if len(records) >= AT_ONCE or _is_heavy(record):
            self._render_all()
        if self._timer is None:
            self._soon()

    def tell(self, change: changes.BundleChange) -> None:
        """Take that another bundle is in force; there is always room for that."""
        self._render_all()
        self._wait(changes.line(change))
        self._soon()

    async def note(self, deed: deeds.Deed) -> None:
        """Take what a person did; when this returns it is on the disk, or the log says why not.

        People are answered after it, so nothing loses what they were told is done.
        """
        line = deeds.line(deed)
        self._render_all()
        self._wait(line)
        self._is_urgent = True
        is_taken = False
        while not is_taken:
            if self._flushing is None:
                self._flush()
            is_taken = all(each is not line for each in self._waiting)
            if self._flushing is not None:
                await asyncio.wait({self._flushing})

    async def close(self) -> None:
        """Write what waits and sign the end, for `CLOSE_S` at most, then close the file."""
        try:
            async with awake.timeout(CLOSE_S):
                while self._records or self._waiting or self._flushing is not None:
                    await self._flush_now()
                if self._dropped and not self._trouble:
                    await self._flush_now()
                closing = self._loop.run_in_executor(self._thread, self._sealing.close)
                self._tell_unsigned(await closing)
        except TimeoutError:
            log.error("audit records were lost: the disk does not answer")  # noqa: TRY400
        finally:
            for timer in (self._timer, self._signing):
                if timer is not None:
                    timer.cancel()
            self._thread.shutdown(wait=False)

    def _render_all(self) -> None:
        records, self._records = self._records, []
        if self._flushing is not None and len(self._waiting) > _BEHIND:
            time.sleep(_GIVEN_S)
        for record in records:
            if self._waiting_bytes >= self._maximum_waiting_bytes:
                self._drop()
                continue
            try:
                line = self._render(record)
            except Exception:
                # A record that is missing has to be counted, whatever our defect is.
                if self._is_first_defect():
                    log.exception(_DEFECT)
                self._drop()
            else:
                self._wait(line)

    def _wait(self, line: bytes) -> None:
        self._waiting.append(line)
        self._waiting_bytes += len(line)

    def _drop(self) -> None:
        self._dropped += 1
        self.lost += 1
        self._soon()

    def _soon(self) -> None:
        if self._timer is None and self._flushing is None:
            self._timer = self._loop.call_later(FLUSH_S, self._flush)

    async def _flush_now(self) -> None:
        if self._flushing is None:
            self._flush()
        if self._flushing is not None:
            await asyncio.wait({self._flushing})

    def _flush(self) -> None:
        self._render_all()
        lines = self._taken()
        told, self._dropped = self._dropped, 0
        write = self._sealing.write_through if self._is_urgent else self._sealing.write
        self._is_urgent = self._is_urgent and bool(self._waiting)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        future = self._loop.run_in_executor(self._thread, write, lines, told)
        self._flushing = asyncio.ensure_future(self._flushed(future, len(lines), told))

    def _taken(self) -> list[bytes]:
        """What is written next, taken off what waits."""
        lines = self._waiting
        if len(lines) <= MOST_WRITTEN:
            self._waiting, self._waiting_bytes = [], 0
            return lines
        lines = lines[:MOST_WRITTEN]
        del self._waiting[:MOST_WRITTEN]
        self._waiting_bytes -= sum(map(len, lines))
        return lines

    async def _flushed(self, writing: asyncio.Future[Stored], given: int, told: int) -> None:
        try:
            stored = await writing
        except Exception:
            if self._is_first_defect():
                log.exception(_DEFECT)
            stored = Stored(segments=(), lost=given + told, why="a defect of mesh7")
        self._flushing = None
        self._dropped += stored.lost
        # What was dropped before was counted then.
        fresh = max(stored.lost - told, 0)
        self.lost += fresh
        self.written += given - fresh
        self._tell(stored)
        telling.tell(partial(follow, one) for one in stored.segments for follow in self.followers)
        if stored.segments and self._signing is None:
            self._signing = self._loop.call_later(self._sign_s, self._sign)
        if self._waiting or self._records:
            pause_s = 0.0 if len(self._waiting) >= MOST_WRITTEN else FLUSH_S
            self._timer = self._loop.call_later(pause_s, self._flush)

    def _sign(self) -> None:
        future = self._loop.run_in_executor(self._thread, self._sealing.sign)
        self._signed = asyncio.ensure_future(self._after_signing(future))

    async def _after_signing(self, signing: asyncio.Future[str]) -> None:
        why = await signing
        self._signing = None
        if why:
            # It is tried again.
            self._signing = self._loop.call_later(self._sign_s, self._sign)
        self._tell_unsigned(why)

    def _tell_unsigned(self, why: str) -> None:
        if why and why != self._unsigned:
            log.error("audit records are not signed: the head cannot be written: %s", why)
        self._unsigned = why

    def _tell(self, stored: Stored) -> None:
        """Log what is wrong once, not twenty times a second."""
        if stored.why and stored.why != self._trouble:
            log.error("audit records are lost: they cannot be written: %s", stored.why)
        elif self._trouble and not stored.why:
            log.info("audit records are written again")
        self._trouble = stored.why
        if stored.besides and stored.besides != self._besides:
            log.error("audit records are written, none is lost, but %s", stored.besides)
        self._besides = stored.besides

    def _is_first_defect(self) -> bool:
        """The next ones are only counted."""
        is_first, self._is_defect_told = not self._is_defect_told, True
        return is_first


def _is_heavy(record: Record) -> bool:
    """Whether it keeps much; what was parsed of a body that is not there may be anything."""
    body, passage = record.call.body, record.passage
    if not body and passage.door != _UNPARSED:
        return True
    return len(body) > _HEAVY_BYTES or len(passage.sent_body) > _HEAVY_BYTES


def _begin() -> None:
    """The first work of a thread, which is there from then on."""
