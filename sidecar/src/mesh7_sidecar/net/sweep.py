"""One timer for all deadlines of a process, instead of one timer per call (design 13)."""

import asyncio
import math
from collections.abc import Callable
from typing import Final

INTERVAL_S: Final = 0.25
_LONGEST_TURNS: Final = 2  # of intervals; whatever took longer was a pause


class Sweep:
    """Calls its watchers at an interval, and keeps the time they go by.

    Deadlines are taken from `now` and looked at once an interval, so they are late by up to one
    interval and never early by more than that. While this process is paused its time stands still:
    what peers sent meanwhile is read before they are called late.

    Attributes:
        now: monotonic time awake, at the last turn; reading it costs nothing.
        interval_s: time between two turns.
    """

    __slots__ = ("_looked_s", "_loop", "_timer", "_watchers", "interval_s", "now")

    def __init__(self, interval_s: float = INTERVAL_S) -> None:
        """Start at once; needs a running loop."""
        self._loop = asyncio.get_running_loop()
        self._watchers: list[Callable[[float], None]] = []
        self.interval_s = interval_s
        self.now = self._looked_s = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, watcher: Callable[[float], None]) -> None:
        """Call `watcher(now)` each turn until `unwatch`; the timer runs while anybody watches."""
        self._watchers.append(watcher)
        if self._timer is None:
            # Nobody's time was taken meanwhile; but rests have gone by.
            self._pass(math.inf)
            self._timer = self._loop.call_later(self.interval_s, self._turn)

    def unwatch(self, watcher: Callable[[float], None]) -> None:
        """Stop calling `watcher`; an unknown one is ignored."""
        if watcher in self._watchers:
            self._watchers.remove(watcher)
        if not self._watchers and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _turn(self) -> None:
        self._pass(_LONGEST_TURNS * self.interval_s)
        self._timer = self._loop.call_later(self.interval_s, self._turn)
        for watcher in tuple(self._watchers):
            watcher(self.now)

    def _pass(self, longest_s: float) -> None:
        before_s, self._looked_s = self._looked_s, self._loop.time()
        self.now += min(self._looked_s - before_s, longest_s)
