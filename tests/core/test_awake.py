"""Patience that a pause of this process does not use up."""

import asyncio
import time

import pytest

from mesh7_core import awake


async def test_what_takes_too_long_is_cancelled() -> None:
    with pytest.raises(TimeoutError):
        async with awake.timeout(0.01):
            await asyncio.Event().wait()


async def test_a_pause_of_this_process_uses_up_no_patience_with_others() -> None:
    """A gateway that had been stopped for seconds gave up servers whose answers lay there."""
    async with awake.timeout(2.0):
        time.sleep(2.5)  # noqa: ASYNC251 - nothing of this process runs
        for _ in range(3):
            await asyncio.sleep(0)


async def test_what_ends_in_time_leaves_nothing_behind() -> None:
    async with awake.timeout(0.01):
        pass
    await asyncio.sleep(0.02)


async def test_a_failure_inside_is_handed_on() -> None:
    with pytest.raises(LookupError):
        async with awake.timeout(30):
            raise LookupError
