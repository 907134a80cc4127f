"""Audit lines: one JSON line a record, written off the path of calls, to a file or to stdout.

Lines wait in memory for at most `FLUSH_S` and are written as one block by a worker thread, so that
a slow disk stops no call; a SIGKILL loses at most that span. They are rendered as they come: done
by the thread, a block of them would hold the interpreter for milliseconds. What does not fit, or
cannot be written, is dropped and counted, and the count is written as a line of its own.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from mesh7_core import errors
from mesh7_core.telemetry import deeds
from mesh7_core.telemetry.records import Record
from mesh7_sidecar.gate.generations import Generations
from mesh7_sidecar.gate.stream import Loss

log = logging.getLogger("mesh7.audit")

FLUSH_S = 0.05
CLOSE_S = 5.0
MAXIMUM_WAITING_BYTES = 64 * 1024 * 1024
MAXIMUM_FILE_BYTES = 128 * 1024 * 1024


class Sink(Protocol):
    """Where lines go; one thread at a time uses it, and it may block."""

    def write(self, lines: list[bytes], dropped: int) -> Loss | None:
        """Write `lines`, and how many were dropped before unless that is 0; None = all is there."""

    def close(self) -> None:
        """Nothing more will be written."""


class AuditLines:
    """Records on their way to a sink.

    Args:
        sink: where their lines go.
        render: a record → its line without the newline.
        maximum_waiting_bytes: what memory may hold while the sink is slow.
    """

    def __init__(
        self,
        sink: Sink,
        render: Callable[[Record], bytes],
        maximum_waiting_bytes: int = MAXIMUM_WAITING_BYTES,
    ) -> None:
        self._render = render
        self._maximum_waiting_bytes = maximum_waiting_bytes
        self._sink = sink
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._dropped = 0
        self._trouble = ""
        self._flushing: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        # Of its own, and begun now: an agent that takes all processes of the pod hides nothing.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit")
        self._thread.submit(_begin)

    def append(self, record: Record) -> None:
        """Take a record; never blocks, never raises."""
        if self._waiting_bytes >= self._maximum_waiting_bytes:
            self._dropped += 1
            return
        line = self._render(record)
        self._waiting.append(line)
        self._waiting_bytes += len(line)
        if self._timer is None and self._flushing is None:
            self._timer = self._loop.call_later(FLUSH_S, self._flush)

    async def note(self, deed: deeds.Deed) -> None:
        """Take what a person did; when this returns it is written, or the log says why not.

        People are answered after it, so a SIGKILL loses nothing that they were told is done.
        """
        line = deeds.line(deed)
        self._waiting.append(line)
        self._waiting_bytes += len(line)
        is_taken = False
        while not is_taken:
            if self._flushing is None:
                self._flush()
            is_taken = all(each is not line for each in self._waiting)
            if self._flushing is not None:
                await asyncio.wait({self._flushing})

    async def close(self) -> None:
        """Write what waits, for `CLOSE_S` at most, then close the sink."""
        try:
            async with asyncio.timeout(CLOSE_S):
                while self._waiting or self._flushing is not None:
                    await self._flush_now()
                if self._dropped and not self._trouble:
                    await self._flush_now()
        except TimeoutError:
            log.error("audit records were lost: the disk does not answer")  # noqa: TRY400
            return
        finally:
            self._thread.shutdown(wait=False)
        if self._timer is not None:
            self._timer.cancel()
        self._sink.close()

    async def _flush_now(self) -> None:
        if self._flushing is None:
            self._flush()
        if self._flushing is not None:
            await asyncio.wait({self._flushing})

    def _flush(self) -> None:
        lines, self._waiting = self._waiting, []
        self._waiting_bytes = 0
        told, self._dropped = self._dropped, 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        future = self._loop.run_in_executor(self._thread, self._sink.write, lines, told)
        self._flushing = asyncio.ensure_future(self._flushed(future))

    async def _flushed(self, writing: asyncio.Future[Loss | None]) -> None:
        try:
            loss = await writing
        finally:
            self._flushing = None
        if loss is not None:
            self._dropped += loss.records
        self._tell(loss.why if loss is not None else "")
        if self._waiting:
            self._timer = self._loop.call_later(FLUSH_S, self._flush)

    def _tell(self, trouble: str) -> None:
        """Log what is wrong once, not twenty times a second."""
        if trouble and trouble != self._trouble:
            log.error("audit records are lost: they cannot be written: %s", trouble)
        elif self._trouble and not trouble:
            log.info("audit records are written again")
        self._trouble = trouble


def _begin() -> None:
    """The first work of a thread, which is there from then on."""


def audit_file(
    path: Path,
    render: Callable[[Record], bytes],
    *,
    maximum_bytes: int = MAXIMUM_FILE_BYTES,
    maximum_waiting_bytes: int = MAXIMUM_WAITING_BYTES,
) -> AuditLines:
    """An append-only file of JSON lines, readable by its owner alone, rotated by size.

    Args:
        path: `audit.jsonl`; older generations are `audit.jsonl.1` (the newest) to `.4`.
        render: a record → its line without the newline.
        maximum_bytes: a file that reaches it becomes a generation.
        maximum_waiting_bytes: what memory may hold while the disk is slow.

    Raises:
        SettingsError: no records can be written there.
    """
    try:
        files = Generations(path, maximum_bytes)
    except OSError as error:
        message = (
            f"`{path}` cannot be written: {error.strerror} – mend it, or start with `--audit off`"
        )
        raise errors.SettingsError(message) from error
    return AuditLines(files, render, maximum_waiting_bytes)
