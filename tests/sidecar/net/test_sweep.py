"""The one clock of all deadlines: it stands still while this process does."""

import asyncio
import time

from mesh7_sidecar.net.sweep import Sweep


async def test_a_pause_of_this_process_passes_no_deadline_of_others() -> None:
    """After one of seconds every call in flight was called late, its answer unread."""
    sweep, turned = Sweep(interval_s=0.01), asyncio.Event()
    turns = list[float]()

    def turn(now: float) -> None:
        turns.append(now)
        turned.set()

    sweep.watch(turn)
    before = sweep.now
    time.sleep(1.0)  # noqa: ASYNC251 - nothing of this process runs
    await turned.wait()
    assert sweep.now - before < 0.5 * len(turns)
    sweep.unwatch(turn)


async def test_time_in_which_nobody_watched_has_passed() -> None:
    """A rest that a breaker takes ends although there was no call."""
    sweep = Sweep(interval_s=0.01)
    before = sweep.now
    time.sleep(0.2)  # noqa: ASYNC251 - no turn is taken
    sweep.watch(_nothing)
    assert sweep.now - before >= 0.2
    sweep.unwatch(_nothing)


def _nothing(_: float) -> None:
    pass
