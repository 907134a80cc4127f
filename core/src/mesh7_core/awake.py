"""Patience with others that counts the time in which this process ran, not that which it slept.

A machine that pauses, a process that was stopped, a loop that was busy: what came meanwhile lies
unread in a socket, and nobody is late because we did not look. So time is taken in steps, and a
pause, however long, is at most one of them.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

_STEPS: Final = 8


@contextlib.asynccontextmanager
async def timeout(seconds: float) -> AsyncIterator[None]:
    """Cancel what is inside after so many seconds awake.

    Raises:
        TimeoutError: it did not end in time.
    """
    async with asyncio.timeout(None) as bound:
        steps = _Steps(bound, seconds / _STEPS)
        try:
            yield
        finally:
            steps.stop()


class _Steps:
    """Ends a time limit after its last step."""

    __slots__ = ("_bound", "_left", "_loop", "_step_s", "_timer")

    def __init__(self, bound: asyncio.Timeout, step_s: float) -> None:
        self._bound = bound
        self._left = _STEPS
        self._loop = asyncio.get_running_loop()
        self._step_s = step_s
        self._timer = self._loop.call_later(step_s, self._step)

    def stop(self) -> None:
        """There is nothing to end any more."""
        self._timer.cancel()

    def _step(self) -> None:
        self._left -= 1
        if self._left:
            self._timer = self._loop.call_later(self._step_s, self._step)
        else:
            self._bound.reschedule(self._loop.time())
