"""Files that are looked at each second: what changes is told, what is broken is told once."""

import asyncio
import contextlib
import logging

import pytest

from mesh7_core import errors
from mesh7_operator import mounted
from mesh7_operator.mounted import Look


class _Steps:
    """Troubles step by step, an empty one for none; tells when there are no more."""

    def __init__(self, *troubles: str) -> None:
        self._troubles = list(troubles)
        self.done = asyncio.Event()

    async def refresh(self) -> bool:
        if not self._troubles:
            self.done.set()
            return False
        if trouble := self._troubles.pop(0):
            raise errors.SettingsError(trouble)
        return True


async def _until(*steps: _Steps) -> None:
    looks = [Look(what=f"file {at}", refresh=one.refresh) for at, one in enumerate(steps)]
    keeping = asyncio.create_task(mounted.keep(looks, every_s=0.001))
    try:
        async with asyncio.timeout(30):
            for one in steps:
                await one.done.wait()
    finally:
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping


async def test_a_trouble_is_told_once_until_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "mesh7_operator.mounted"):
        await _until(_Steps("bad", "bad", "worse", "", "bad"))
    assert [(one.message, getattr(one, "error", "")) for one in caplog.records] == [
        ("a file cannot be taken up", "bad"),
        ("a file cannot be taken up", "worse"),
        ("taken up", ""),
        ("a file cannot be taken up", "bad"),
    ]


async def test_one_that_waits_keeps_none_from_being_looked_at() -> None:
    """The stamp key asks the API server; a certificate must not wait for that."""

    async def never() -> bool:
        await asyncio.Event().wait()
        return False

    other = _Steps("")
    looks = [Look(what="slow", refresh=never), Look(what="quick", refresh=other.refresh)]
    keeping = asyncio.create_task(mounted.keep(looks, every_s=0.001))
    async with asyncio.timeout(30):
        await other.done.wait()
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
