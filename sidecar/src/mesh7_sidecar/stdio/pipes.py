"""Our own stdin and stdout, without ever blocking the event loop.

A thread reads and another writes: they may be pipes, terminals or files, and a terminal must not
be made non-blocking, for it is shared with the shell that started us.
"""

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import AsyncIterator, Callable
from typing import Final

from mesh7_sidecar.wire import jsonrpc
from mesh7_sidecar.wire.lines import Lines, Overlong

MAXIMUM_LINE_BYTES: Final = jsonrpc.MAXIMUM_BYTES
_CHUNK_BYTES: Final = 65_536
_CHUNKS_AHEAD: Final = 16
_HIGH_WATER: Final = 4 * 1024 * 1024


async def read_lines(
    descriptor: int, maximum_bytes: int = MAXIMUM_LINE_BYTES
) -> AsyncIterator[bytes | Overlong]:
    """The lines that come in, blank ones left out; a last one without a line feed counts."""
    lines = Lines(maximum_bytes)
    async for chunk in _chunks(descriptor):
        for line in lines.feed(chunk):
            yield line
    rest = lines.rest()
    if rest:
        yield rest


async def _chunks(descriptor: int) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[bytes] = asyncio.Queue()
    ahead = threading.BoundedSemaphore(_CHUNKS_AHEAD)

    def read() -> None:
        chunk = b"."
        while chunk:
            ahead.acquire()
            try:
                chunk = os.read(descriptor, _CHUNK_BYTES)
            except OSError:
                chunk = b""
            try:
                loop.call_soon_threadsafe(arrived.put_nowait, chunk)
            except RuntimeError:
                return  # the loop is closed: nobody wants it any more

    # A daemon: it may wait in a read for ever, which must not keep the process.
    threading.Thread(target=read, name="stdin", daemon=True).start()
    while chunk := await arrived.get():
        ahead.release()
        yield chunk


class Output:
    """Lines on their way out, in order.

    Attributes:
        is_full: more waits than a reader should be behind; see `when_drained`.
        is_broken: set when nobody reads any more.
    """

    def __init__(self, descriptor: int) -> None:
        self.is_broken = asyncio.Event()
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._size = 0
        self._waiters: list[Callable[[], None]] = []
        self._flushed = asyncio.Event()
        threading.Thread(target=self._write_all, name="stdout", daemon=True).start()

    @property
    def is_full(self) -> bool:
        """Whether to stop giving more."""
        return self._size > _HIGH_WATER

    def write(self, message: bytes) -> None:
        """Send one message as one line. Line ends in it are blanks between JSON tokens."""
        line = message.replace(b"\r", b" ").replace(b"\n", b" ").strip() + b"\n"
        self._size += len(line)
        self._lines.put(line)

    def when_drained(self, told: Callable[[], None]) -> None:
        """Call `told` once when there is room again."""
        self._waiters.append(told)

    async def close(self, seconds: float) -> None:
        """Write what waits, at most that long."""
        self._lines.put(b"")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._flushed.wait()

    def _write_all(self) -> None:
        is_broken = False
        while line := self._lines.get():
            rest = line
            while rest and not is_broken:
                try:
                    rest = rest[os.write(self._descriptor, rest) :]
                except OSError:
                    is_broken = True
            self._tell(self._written, len(line), is_broken)
        self._tell(self._flushed.set)

    def _tell(self, callback: Callable[..., object], *arguments: object) -> None:
        # A closed loop wants to know nothing.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _written(self, size: int, is_broken: bool) -> None:  # noqa: FBT001 - from the thread
        self._size -= size
        if is_broken:
            self.is_broken.set()
        if not self.is_full:
            waiters, self._waiters = self._waiters, []
            for told in waiters:
                told()
