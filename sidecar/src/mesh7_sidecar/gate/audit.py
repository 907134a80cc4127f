"""The audit file: one JSON line a record, written off the path of calls.

Lines wait in memory for at most `FLUSH_S` and are written as one block by a worker thread, so that
a slow disk stops no call; a SIGKILL loses at most that span. They are rendered as they come: done
by the thread, a block of them would hold the interpreter for milliseconds. What does not fit is
dropped and counted, and the count is written as a line of its own.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from mesh7_core.telemetry.records import Record

log = logging.getLogger("mesh7.audit")

FLUSH_S = 0.05
MAXIMUM_WAITING_BYTES = 64 * 1024 * 1024
MAXIMUM_FILE_BYTES = 128 * 1024 * 1024
KEPT_GENERATIONS = 4


class AuditFile:
    """An append-only file of JSON lines, readable by its owner alone, rotated by size.

    Args:
        path: `audit.jsonl`; older generations are `audit.jsonl.1` (the newest) to `.4`.
        render: a record → its line without the newline.
    """

    def __init__(self, path: Path, render: Callable[[Record], bytes]) -> None:
        self._path = path
        self._render = render
        self._file = _open_private(path)
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._dropped = 0
        self._flushing: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def append(self, record: Record) -> None:
        """Take a record; never blocks, never raises."""
        if self._waiting_bytes >= MAXIMUM_WAITING_BYTES:
            self._dropped += 1
            return
        line = self._render(record)
        self._waiting.append(line)
        self._waiting_bytes += len(line)
        if self._timer is None and self._flushing is None:
            self._timer = self._loop.call_later(FLUSH_S, self._flush)

    async def close(self) -> None:
        """Write what waits, then close the file."""
        while self._waiting or self._flushing is not None:
            if self._flushing is None:
                self._flush()
            if self._flushing is not None:
                await asyncio.wait({self._flushing})
        if self._timer is not None:
            self._timer.cancel()
        self._file.close()

    def _flush(self) -> None:
        lines, self._waiting = self._waiting, []
        self._waiting_bytes = 0
        if self._dropped:
            lines.append(b'{"dropped":%d}' % self._dropped)
            self._dropped = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._flushing = self._loop.run_in_executor(None, self._write, lines)
        self._flushing.add_done_callback(self._flushed)

    def _flushed(self, done: asyncio.Future[None]) -> None:
        self._flushing = None
        failure = done.exception()
        if failure is not None:
            log.error("audit records were lost: %s", failure)
        if self._waiting:
            self._timer = self._loop.call_later(FLUSH_S, self._flush)

    def _write(self, lines: list[bytes]) -> None:
        self._file.write(b"\n".join(lines) + b"\n")
        self._file.flush()
        if self._file.tell() >= MAXIMUM_FILE_BYTES:
            self._file = _rotate(self._path, self._file)


def _open_private(path: Path) -> BinaryIO:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "ab")


def _rotate(path: Path, file: BinaryIO) -> BinaryIO:
    file.close()
    for number in range(KEPT_GENERATIONS - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    path.replace(path.with_name(f"{path.name}.1"))
    return _open_private(path)
