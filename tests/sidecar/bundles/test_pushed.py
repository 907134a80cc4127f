"""Deliveries by Redis: told, asked for as a net, fetched when newer, and by anybody written."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from mesh7_core.delivery.envelopes import MAXIMUM_SEALED_BYTES, Refusal
from mesh7_sidecar.bundles import pushed
from tests.sidecar.bundles.delivering import (
    BUNDLE,
    NOON,
    OVERLAY,
    REDIS,
    Operator,
    Sidecar,
    grant,
    kill,
    policy,
)
from tests.told_time import ToldTime

PATIENCE_S = 30.0
ALLOWING = policy("support")
KILL = kill("stop")


@asynccontextmanager
async def watching(sidecar: Sidecar) -> AsyncIterator[None]:
    """What comes by Redis is taken while the block runs."""
    task = asyncio.create_task(sidecar.pushed.watch())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        await sidecar.delivery.close()


async def brought(sidecar: Sidecar, versions: tuple[int, int]) -> None:
    """Wait until these are in force, told by the sidecar itself."""
    turn = asyncio.Event()
    sidecar.delivery.on_change.append(turn.set)
    async with asyncio.timeout(PATIENCE_S):
        while sidecar.versions != versions:
            turn.clear()
            await turn.wait()


def delivered(operator: Operator, sidecar: Sidecar, version: int = 1) -> None:
    sidecar.deliveries.deliver(OVERLAY, version, operator.overlay(version))
    sidecar.deliveries.deliver(BUNDLE, version, operator.bundle(version, ALLOWING))


async def test_only_what_is_newer_is_fetched_and_revocations_first(tmp_path: Path) -> None:
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator)
    delivered(operator, sidecar)
    await sidecar.look()
    await sidecar.look()
    assert (sidecar.versions, sidecar.delivery.origin) == ((1, 1), REDIS)
    assert sidecar.deliveries.fetched == [OVERLAY, BUNDLE]
    sidecar.deliveries.deliver(OVERLAY, 2, operator.overlay(2, KILL))
    await sidecar.look()
    assert sidecar.says() == "vetoed"
    assert sidecar.deliveries.fetched == [OVERLAY, BUNDLE, OVERLAY]


@pytest.mark.promise("A10")
@pytest.mark.promise("K4")
def test_a_published_kill_is_in_force_without_any_poll(tmp_path: Path) -> None:
    """Design 6.7: at once by publish; the poll is a net. Loop time passes by a test's word only."""
    loop = ToldTime()

    async def lived() -> None:
        operator = Operator()
        sidecar = Sidecar(tmp_path, operator)
        delivered(operator, sidecar)
        async with watching(sidecar):
            await _turns()
            loop.pass_by(pushed.REST_S + 0.01)
            await _turns()
            assert sidecar.versions == (1, 1)
            sidecar.deliveries.deliver(OVERLAY, 2, operator.overlay(2, KILL))
            await _turns()
            assert sidecar.says() == "vetoed"

    try:
        loop.run_until_complete(lived())
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


@pytest.mark.promise("K4")
def test_what_nobody_tells_of_is_found_by_the_poll(tmp_path: Path) -> None:
    """Messages get lost; each second, give or take a fifth, is asked for."""
    loop = ToldTime()

    async def lived() -> None:
        operator = Operator()
        sidecar = Sidecar(tmp_path, operator)
        delivered(operator, sidecar)
        async with watching(sidecar):
            await _turns()
            before = sidecar.deliveries.looks
            sidecar.deliveries.entries[OVERLAY] = 2, operator.overlay(2, KILL)
            loop.pass_by(pushed.REST_S + 0.01)
            await _turns()
            assert sidecar.says() == "allowed-by-rule"
            loop.pass_by(pushed.POLL_S * (1 + pushed.JITTER))
            await _turns()
            assert sidecar.says() == "vetoed"
            assert sidecar.deliveries.looks == before + 1

    try:
        loop.run_until_complete(lived())
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


@pytest.mark.promise("K9")
def test_a_flood_of_messages_costs_one_look_at_a_time(tmp_path: Path) -> None:
    """Whoever may publish must not make every sidecar read all day."""
    loop = ToldTime()

    async def lived() -> None:
        operator = Operator()
        sidecar = Sidecar(tmp_path, operator)
        delivered(operator, sidecar)
        async with watching(sidecar):
            await _turns()
            looks, fetched = sidecar.deliveries.looks, list(sidecar.deliveries.fetched)
            for _ in range(1000):
                sidecar.deliveries.tell()
                await asyncio.sleep(0)
            assert sidecar.deliveries.looks == looks
            loop.pass_by(pushed.REST_S + 0.01)
            await _turns()
            assert sidecar.deliveries.looks == looks + 1
            assert sidecar.deliveries.fetched == fetched

    try:
        loop.run_until_complete(lived())
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


async def _turns() -> None:
    """Let everything run that needs no time."""
    for _ in range(50):
        await asyncio.sleep(0)


@pytest.mark.promise("K9")
@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (b"forged", Refusal.MALFORMED),
        (b"", Refusal.MALFORMED),
        (b"x" * (MAXIMUM_SEALED_BYTES + 1), Refusal.MALFORMED),
        (Operator(90).overlay(9), Refusal.UNSIGNED),
        (Operator().overlay(9, namespace="other"), Refusal.FOREIGN),
        (Operator().bundle(9, ALLOWING), Refusal.FOREIGN),
    ],
    ids=["noise", "nothing", "endless", "signed by somebody else", "foreign", "a bundle"],
)
async def test_a_forged_entry_is_counted_once_and_read_ever_more_seldom(
    tmp_path: Path, entry: bytes, why: Refusal
) -> None:
    """Until the operator has repaired it, it must cost next to nothing."""
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator)
    delivered(operator, sidecar)
    await sidecar.look()
    sidecar.deliveries.fetched.clear()
    sidecar.deliveries.entries[OVERLAY] = 999, entry
    for _ in range(120):
        await sidecar.look()
        sidecar.time.pass_by(timedelta(seconds=1))
    assert sidecar.refused == {why: 1}
    assert len(sidecar.deliveries.fetched) == 8, "after 0, 1, 3, 7, 15, 31, 61 and 91 s"
    assert sidecar.versions == (1, 1)

    sidecar.deliveries.entries[OVERLAY] = 1000, operator.overlay(1000, KILL)
    await sidecar.look()
    assert (sidecar.says(), sidecar.versions) == ("vetoed", (1, 1000))


@pytest.mark.promise("K9")
async def test_a_repair_under_the_same_version_is_taken_when_it_is_told_of(tmp_path: Path) -> None:
    """The operator puts back what was there; sidecars that read the forgery must not wait."""
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator)
    delivered(operator, sidecar)
    sidecar.deliveries.entries[OVERLAY] = 2, b"forged"
    async with watching(sidecar):
        await asyncio.sleep(0)
        sidecar.time.pass_by(timedelta(seconds=1))
        sidecar.deliveries.entries[OVERLAY] = 2, operator.overlay(2, KILL)
        sidecar.deliveries.tell()
        await brought(sidecar, (1, 2))


@pytest.mark.promise("K9")
async def test_messages_about_a_forged_entry_cost_one_read_a_second(tmp_path: Path) -> None:
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator)
    delivered(operator, sidecar)
    await sidecar.look()
    sidecar.deliveries.fetched.clear()
    sidecar.deliveries.entries[OVERLAY] = 999, b"forged"
    async with watching(sidecar):
        await asyncio.sleep(0)
        for _ in range(10):
            for _ in range(20):
                sidecar.deliveries.tell()
                await sidecar.pushed.look()
            sidecar.time.pass_by(timedelta(seconds=1))
    assert len(sidecar.deliveries.fetched) == 10


@pytest.mark.promise("K9")
async def test_a_version_that_is_a_lie_is_counted_and_changes_nothing(tmp_path: Path) -> None:
    """A genuine envelope under a higher number than its own."""
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator)
    delivered(operator, sidecar)
    await sidecar.look()
    sidecar.deliveries.entries[OVERLAY] = 77, sidecar.deliveries.entries[OVERLAY][1]
    fresh = operator.overlay(5, KILL)
    for _ in range(3):
        await sidecar.look()
        sidecar.time.pass_by(timedelta(minutes=1))
    assert sidecar.versions == (1, 1)
    sidecar.deliveries.entries[OVERLAY] = 78, fresh
    await sidecar.look()
    assert (sidecar.says(), sidecar.versions) == ("vetoed", (1, 5))
    assert sidecar.refused == {Refusal.MALFORMED: 2}


@pytest.mark.promise("K9")
async def test_a_redis_that_was_put_back_changes_nothing(tmp_path: Path) -> None:
    """Restored from a backup, or by somebody: its versions are older than what is in force."""
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator)
    await sidecar.take_both(operator.overlay(5, KILL), operator.bundle(5, ALLOWING))
    delivered(operator, sidecar, 4)
    await sidecar.look()
    assert (sidecar.says(), sidecar.versions) == ("vetoed", (5, 5))
    assert sidecar.deliveries.fetched == []


@pytest.mark.promise("K8")
async def test_a_redis_that_was_away_is_asked_when_it_is_back(tmp_path: Path) -> None:
    """What was delivered meanwhile is fetched as soon as the connection stands."""
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator)
    delivered(operator, sidecar)
    async with watching(sidecar):
        await brought(sidecar, (1, 1))
        sidecar.deliveries.is_lost = True
        sidecar.deliveries.entries[OVERLAY] = 2, operator.overlay(2, KILL)
        sidecar.deliveries.tell()
        await sidecar.pushed.look()
        assert sidecar.says() == "allowed-by-rule"
        sidecar.deliveries.come_back()
        await brought(sidecar, (1, 2))


@pytest.mark.promise("K8")
async def test_redis_confirms_the_grants_by_naming_the_same_version(tmp_path: Path) -> None:
    """Neither an older nor a newer version says that what is in force is the newest."""
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator)
    asking = policy("support", "RequireApproval")
    sidecar.deliveries.deliver(OVERLAY, 3, operator.overlay(3, grant("incident", "support")))
    sidecar.deliveries.deliver(BUNDLE, 3, operator.bundle(3, asking))
    await sidecar.look()
    sidecar.time.pass_by(timedelta(minutes=4))
    await sidecar.look()
    assert sidecar.delivery.confirmed_at == NOON + timedelta(minutes=4)
    sidecar.deliveries.entries[OVERLAY] = 2, b""
    sidecar.time.pass_by(timedelta(minutes=4))
    await sidecar.look()
    assert sidecar.says() == "granted"
    sidecar.deliveries.entries[OVERLAY] = 4, b"forged"
    sidecar.time.pass_by(timedelta(minutes=1))
    await sidecar.look()
    sidecar.delivery.review()
    assert sidecar.says() == "approval-required"
    sidecar.deliveries.entries[OVERLAY] = 3, b""
    await sidecar.look()
    assert sidecar.says() == "granted"


async def test_nobody_listens_any_more_once_it_is_over(tmp_path: Path) -> None:
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator)
    async with watching(sidecar):
        await asyncio.sleep(0)
    looks = sidecar.deliveries.looks
    sidecar.deliveries.tell()
    await asyncio.sleep(0)
    assert sidecar.deliveries.looks == looks
