"""What was delivered and makes us fail: tried again, told, and nothing passes meanwhile."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from tests.fakes.threads import NoThreads
from tests.sidecar.bundles.delivering import (
    BUNDLE,
    CONFIG_MAP,
    OVERLAY,
    REDIS,
    Operator,
    Sidecar,
    grant,
    kill,
    policy,
)

ALLOWING = policy("support")
DENYING = policy("support", "Deny")
KILL = kill("stop")
SECOND = timedelta(seconds=1)
_Answer = TypeVar("_Answer")


class Work:
    """Runs what may take long, at once; fails as often as it is told to."""

    def __init__(self) -> None:
        self.failures = 0
        self.runs = 0

    async def __call__(self, size_bytes: int, work: Callable[[], _Answer]) -> _Answer:
        del size_bytes
        self.runs += 1
        if self.failures:
            self.failures -= 1
            raise MemoryError
        return work()


async def _reviewed(sidecar: Sidecar, span: timedelta = SECOND) -> None:
    sidecar.time.pass_by(span)
    sidecar.delivery.review()
    await sidecar.delivery.settled()


@pytest.mark.promise("A10")
async def test_a_kill_that_made_us_fail_is_in_force_a_second_later(tmp_path: Path) -> None:
    """A moment without memory must not leave a kill out of force for ever."""
    work, operator = Work(), Operator()
    sidecar = Sidecar(tmp_path, operator, work=work)
    await sidecar.take_both(operator.overlay(1), operator.bundle(1, ALLOWING))
    work.failures = 1
    await sidecar.take(OVERLAY, operator.overlay(2, KILL))
    assert (sidecar.says(), sidecar.versions) == ("allowed-by-rule", (1, 1))
    assert sidecar.delivery.problems[OVERLAY].startswith("overlay 2 makes mesh7 fail (MemoryError)")

    await _reviewed(sidecar)
    assert (sidecar.says(), sidecar.versions) == ("vetoed", (1, 2))
    assert sidecar.delivery.problems == {}


@pytest.mark.promise("A10")
async def test_nothing_passes_while_an_overlay_cannot_be_laid(tmp_path: Path) -> None:
    """It may hold a kill; only a moment is given."""
    work, operator = Work(), Operator()
    sidecar = Sidecar(tmp_path, operator, work=work)
    await sidecar.take_both(operator.overlay(1), operator.bundle(1, ALLOWING))
    told: list[str] = []
    sidecar.delivery.on_change.append(lambda: told.append(sidecar.says()))
    work.failures = 100
    await sidecar.take(OVERLAY, operator.overlay(2, grant("incident", "support")))
    for _ in range(4):
        await _reviewed(sidecar)
    assert sidecar.says() == "allowed-by-rule"
    await _reviewed(sidecar)
    assert (sidecar.says(), sidecar.versions, told) == ("vetoed", (1, 1), ["vetoed"])

    work.failures = 0
    await _reviewed(sidecar)
    assert (sidecar.says(), sidecar.versions) == ("allowed-by-rule", (1, 2))


async def test_a_newer_overlay_ends_the_veto_of_everything(tmp_path: Path) -> None:
    work, operator = Work(), Operator()
    sidecar = Sidecar(tmp_path, operator, work=work)
    await sidecar.take_both(operator.overlay(1), operator.bundle(1, ALLOWING))
    work.failures = 1
    await sidecar.take(OVERLAY, operator.overlay(2, KILL))
    work.failures = 1
    await _reviewed(sidecar, timedelta(seconds=6))
    assert sidecar.says() == "vetoed"
    await sidecar.take(OVERLAY, operator.overlay(3, grant("incident", "support")))
    assert (sidecar.says(), sidecar.versions) == ("allowed-by-rule", (1, 3))


async def test_a_bundle_that_makes_us_fail_is_tried_ever_more_seldom(tmp_path: Path) -> None:
    """It is tried again, and does not take the time of calls."""
    work, operator = Work(), Operator()
    sidecar = Sidecar(tmp_path, operator, work=work)
    await sidecar.take_both(operator.overlay(1), operator.bundle(1, DENYING))
    work.runs, work.failures = 0, 7
    await sidecar.take(BUNDLE, operator.bundle(2, ALLOWING))
    assert sidecar.delivery.problems[BUNDLE].startswith("bundle 2 makes mesh7 fail (MemoryError)")
    for _ in range(40):
        await _reviewed(sidecar)
    assert (sidecar.says(), work.runs) == ("denied-by-rule", 6)
    await sidecar.take(OVERLAY, operator.overlay(2, KILL))
    assert sidecar.versions == (1, 1), "the seventh failure"
    await _reviewed(sidecar)
    assert sidecar.versions == (1, 2), "an overlay does not wait for it"
    for _ in range(30):
        await _reviewed(sidecar)
    assert sidecar.versions == (2, 2)


@pytest.mark.promise("A10")
@pytest.mark.parametrize("origin", [REDIS, CONFIG_MAP])
async def test_an_agent_that_takes_all_threads_holds_up_no_kill(
    tmp_path: Path, origin: object
) -> None:
    """The bound on processes is the pod's, and the agent is in it."""
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator)
    await sidecar.take_both(operator.overlay(1), operator.bundle(1, ALLOWING))
    asyncio.get_running_loop().set_default_executor(NoThreads())
    # Enough to be given to a thread.
    overlay = operator.overlay(2, KILL, *(kill(f"k{number}" * 20) for number in range(400)))
    if origin is REDIS:
        sidecar.deliveries.entries = {OVERLAY: (2, overlay)}
    else:
        sidecar.config_map.write(overlay=overlay)
    await sidecar.look()
    assert (sidecar.says(), sidecar.versions) == ("vetoed", (1, 2))


async def test_the_same_content_under_a_higher_version_is_not_compiled(tmp_path: Path) -> None:
    """Whoever may delete a ConfigMap makes versions grow, and must not make sidecars work."""
    work, operator = Work(), Operator()
    sidecar = Sidecar(tmp_path, operator, work=work)
    await sidecar.take_both(operator.overlay(1, KILL), operator.bundle(1, ALLOWING))
    work.runs, newest = 0, operator.bundle(5, ALLOWING)
    await sidecar.take_both(operator.overlay(4, KILL), newest)
    assert (sidecar.says(), sidecar.versions, work.runs) == ("vetoed", (5, 4), 0)
    assert sidecar.applied == ["shop/support"]
    await sidecar.delivery.close()
    assert (tmp_path / "state" / "bundle").read_bytes() == newest


async def test_a_failure_after_the_swap_parts_no_bundle_from_its_overlay(tmp_path: Path) -> None:
    """The old overlay over the new bundle would be a set that nobody wrote."""
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator)
    asking, other = policy("other", "RequireApproval"), grant("incident", "other")
    await sidecar.take_both(operator.overlay(1, other), operator.bundle(1, ALLOWING))

    def fail() -> None:
        raise LookupError

    sidecar.after_swap = fail
    await sidecar.take(BUNDLE, operator.bundle(2, asking))
    assert (sidecar.says(), sidecar.versions) == ("granted", (2, 1))
    sidecar.after_swap = lambda: None
    await _reviewed(sidecar)
    assert (sidecar.versions, len(sidecar.applied)) == ((2, 1), 2)


async def test_a_listener_that_fails_keeps_no_other_from_hearing(tmp_path: Path) -> None:
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator)
    told: list[tuple[int, int]] = []

    def fail() -> None:
        raise LookupError

    sidecar.delivery.on_change += [fail, lambda: told.append(sidecar.versions)]
    await sidecar.take_both(operator.overlay(1), operator.bundle(1, ALLOWING))
    assert told == [(1, 1)]
    assert sidecar.delivery.problems == {}
