"""What runs beside the calls until the gateway ends: a watcher that fails is started anew.

Watchers are how a kill arrives and how grants lapse, so none may be gone for good because of one
bad moment, such as a thread that could not be started.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Final

log = logging.getLogger("mesh7.gateway")

RESTART_S: Final = 1.0
SOUND_S: Final = 30.0
"""A watcher that lasts as long after a failure is well again."""
_Watch = Callable[[], Coroutine[None, None, None]]


class Background:
    """One gateway's; needs a running loop.

    Args:
        restart_s: from the end of a watcher that failed to its next start.

    Attributes:
        problems: which watchers failed and have not lasted since, by name: why.
    """

    def __init__(self, restart_s: float = RESTART_S) -> None:
        self.problems: dict[str, str] = {}
        self._restart_s = restart_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._is_over = False

    def keep(self, work: Coroutine[None, None, None]) -> None:
        """Run something once; a defect of it is told in the log."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def watch(self, name: str, watch: _Watch) -> None:
        """Run something until it returns; when it fails, again and again.

        Args:
            name: what it does, for people, after "what".
            watch: begins it.
        """
        task = asyncio.create_task(watch())
        self._tasks.add(task)
        task.add_done_callback(lambda ended: self._ended(name, watch, ended))

    def stop(self) -> None:
        """End everything."""
        self._is_over = True
        for timer in self._timers.values():
            timer.cancel()
        for task in tuple(self._tasks):
            task.cancel()

    def _ended(self, name: str, watch: _Watch, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._is_over:
            return
        error = None if task.cancelled() else task.exception()
        if error is None and not task.cancelled():
            return
        why = "it was cancelled" if error is None else type(error).__name__
        problem = f"what {name} failed ({why}) and is started anew"
        if problem != self.problems.get(name):
            log.error("%s – if this goes on, please report it", problem, exc_info=error)
        self.problems[name] = problem
        self._after(name, self._restart_s, lambda: self._again(name, watch))

    def _again(self, name: str, watch: _Watch) -> None:
        self._after(name, SOUND_S, lambda: self.problems.pop(name, None))
        self.watch(name, watch)

    def _after(self, name: str, seconds: float, step: Callable[[], object]) -> None:
        before = self._timers.get(name)
        if before is not None:
            before.cancel()
        self._timers[name] = asyncio.get_running_loop().call_later(seconds, step)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            # A defect of ours must be seen; calls go on by what is in force.
            log.error("a task in the background failed", exc_info=task.exception())
