"""Patience that a pause of this process does not use up."""

import asyncio
from collections.abc import Coroutine

import pytest
from typing_extensions import override

from mesh7_core import awake

PATIENCE_S = 3600.0
"""More than any test takes: only what it passes by itself counts."""


class Passing(asyncio.SelectorEventLoop):
    """A loop whose time a test lets pass."""

    passed_s = 0.0

    @override
    def time(self) -> float:
        return super().time() + self.passed_s


async def passing(seconds: float) -> None:
    """At once, as if the process had not run meanwhile; then whatever is due is done."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Passing)
    loop.passed_s += seconds
    for _ in range(3):
        await asyncio.sleep(0)


def run(work: Coroutine[None, None, None]) -> None:
    with asyncio.Runner(loop_factory=Passing) as runner:
        runner.run(work)


def test_what_takes_too_long_is_cancelled() -> None:
    async def too_long() -> None:
        async with awake.timeout(PATIENCE_S):
            for _ in range(16):
                await passing(PATIENCE_S / 8)

    with pytest.raises(TimeoutError):
        run(too_long())


def test_a_pause_of_this_process_uses_up_no_patience_with_others() -> None:
    """A gateway that had been stopped for seconds gave up servers whose answers lay there."""

    async def paused() -> None:
        async with awake.timeout(PATIENCE_S):
            await passing(2 * PATIENCE_S)

    run(paused())


def test_what_ends_in_time_leaves_nothing_behind() -> None:
    async def in_time() -> None:
        async with awake.timeout(PATIENCE_S):
            pass
        for _ in range(16):
            await passing(PATIENCE_S)

    run(in_time())


def test_a_failure_inside_is_handed_on() -> None:
    async def failing() -> None:
        async with awake.timeout(PATIENCE_S):
            raise LookupError

    with pytest.raises(LookupError):
        run(failing())
