"""What runs beside the calls: a watcher that fails comes back, and is told of."""

import asyncio

import pytest

from mesh7_sidecar.background import Background
from tests.conftest import Eventually


@pytest.mark.promise("A10")
async def test_a_watcher_that_fails_is_started_anew_and_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A moment without threads ended the watch over the ConfigMap for good."""
    background, starts, back = Background(restart_s=0.0), 0, asyncio.Event()

    async def watch() -> None:
        nonlocal starts
        starts += 1
        if starts < 4:
            raise RuntimeError("can't start new thread")
        back.set()
        await asyncio.Event().wait()

    background.watch("looks at the ConfigMap", watch)
    async with asyncio.timeout(30):
        await back.wait()
    why = "what looks at the ConfigMap failed (RuntimeError) and is started anew"
    assert background.problems == {"looks at the ConfigMap": why}
    assert caplog.text.count(why) == 1
    background.stop()


async def test_a_watcher_that_something_else_cancels_is_started_anew(
    eventually: Eventually,
) -> None:
    background, tasks = Background(restart_s=0.0), list[asyncio.Task[None] | None]()

    async def watch() -> None:
        tasks.append(asyncio.current_task())
        await asyncio.Event().wait()

    background.watch("reports", watch)
    await eventually(lambda: len(tasks) == 1)
    (task,) = tasks
    assert task is not None
    task.cancel()
    await eventually(lambda: len(tasks) == 2)
    background.stop()


async def test_nothing_is_started_anew_once_the_gateway_ends() -> None:
    background, starts = Background(restart_s=0.0), 0

    async def watch() -> None:
        nonlocal starts
        starts += 1
        await asyncio.Event().wait()

    background.watch("reports", watch)
    await asyncio.sleep(0)
    background.stop()
    for _ in range(5):
        await asyncio.sleep(0)
    assert (starts, background.problems) == (1, {})


async def test_a_watcher_that_is_done_is_left_alone() -> None:
    background, starts = Background(restart_s=0.0), 0

    async def watch() -> None:
        nonlocal starts
        starts += 1

    background.watch("begins to use Redis", watch)
    for _ in range(5):
        await asyncio.sleep(0)
    assert (starts, background.problems) == (1, {})
    background.stop()
