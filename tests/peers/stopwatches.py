"""Seconds that this machine let us run: for claims that something takes less than so long.

A machine of CI stops for seconds at times, and what was measured meanwhile says nothing of us.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Final

_TICK_S: Final = 0.02


@contextlib.contextmanager
def running() -> Iterator[Callable[[], float]]:
    """Ticks while the block runs; a pause, however long, is one tick."""
    over, ticks = threading.Event(), 0

    def tick() -> None:
        nonlocal ticks
        while not over.wait(_TICK_S):
            ticks += 1

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        yield lambda: ticks * _TICK_S
    finally:
        over.set()
        thread.join()
