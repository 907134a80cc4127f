"""Rounds of upkeep: one that fails, or shows a defect, is done again with the next one."""

import asyncio

import pytest

from mesh7_core import errors
from mesh7_operator import metrics
from mesh7_operator.controller import rounds
from tests.conftest import Eventually


@pytest.mark.promise("K12")
async def test_a_defect_in_a_round_does_not_end_the_leader(eventually: Eventually) -> None:
    """R1, 18."""
    registry = metrics.registry()
    outcomes = iter([ZeroDivisionError(), errors.ClusterError("no")])
    done = 0

    async def do() -> None:
        nonlocal done
        for outcome in outcomes:
            raise outcome
        done += 1

    again = rounds.every(0.001, "users", do, metrics.ControllerMetrics(registry))
    task = asyncio.ensure_future(again)
    await eventually(lambda: done > 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    for outcome in ("failed", "crashed"):
        labels = {"round": "users", "outcome": outcome}
        assert registry.get_sample_value("mesh7_failed_rounds_total", labels) == 1
