"""What was delivered, in force: highest genuine version wins, the last good stays."""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from mesh7_core.delivery.envelopes import MAXIMUM_SEALED_BYTES, Kind, Refusal
from mesh7_core.delivery.reports import Origin
from tests.sidecar.bundles.delivering import (
    BUNDLE,
    CONFIG_MAP,
    NAMESPACE,
    NOON,
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
ASKING = policy("support", "RequireApproval")
PERMISSION = grant("incident", "support")
KILL = kill("stop")


@pytest.mark.promise("P2")
@pytest.mark.parametrize("first", [BUNDLE, OVERLAY])
async def test_nothing_is_in_force_before_both_are_there(tmp_path: Path, first: Kind) -> None:
    """A bundle without its overlay would lift every kill."""
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator)
    await sidecar.delivery.start()
    sealed = {BUNDLE: operator.bundle(1, ALLOWING), OVERLAY: operator.overlay(1, KILL)}
    assert await sidecar.take(first, sealed.pop(first))
    assert (sidecar.says(), sidecar.versions) == ("no-bundle", (0, 0))
    assert not sidecar.delivery.arrived.is_set()

    ((second, data),) = sealed.items()
    assert await sidecar.take(second, data)
    assert (sidecar.says(), sidecar.versions) == ("vetoed", (1, 1))
    assert sidecar.delivery.arrived.is_set()


async def test_a_newer_bundle_and_a_newer_overlay_are_in_force_each(tmp_path: Path) -> None:
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator)
    await sidecar.take_both(operator.overlay(1), operator.bundle(1, DENYING))
    assert sidecar.says() == "denied-by-rule"
    await sidecar.take(BUNDLE, operator.bundle(5, ALLOWING))
    assert (sidecar.says(), sidecar.versions) == ("allowed-by-rule", (5, 1))
    await sidecar.take(OVERLAY, operator.overlay(3, KILL))
    assert (sidecar.says(), sidecar.versions) == ("vetoed", (5, 3))
    await sidecar.take(OVERLAY, operator.overlay(4))
    assert (sidecar.says(), sidecar.versions) == ("allowed-by-rule", (5, 4))


async def test_another_bundle_lays_the_overlay_anew(tmp_path: Path) -> None:
    """A grant relaxes a policy that the next bundle may bring."""
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator)
    other = policy("other", "RequireApproval")
    await sidecar.take_both(operator.overlay(1, PERMISSION, KILL), operator.bundle(1, other))
    assert sidecar.says() == "vetoed"
    await sidecar.take(OVERLAY, operator.overlay(2, PERMISSION))
    assert sidecar.says() == "approval-required"
    await sidecar.take(BUNDLE, operator.bundle(2, ASKING))
    assert sidecar.says() == "granted"


_FORGERIES: dict[str, tuple[Callable[[Operator], bytes], Refusal]] = {
    "nothing": (lambda _: b"", Refusal.MALFORMED),
    "noise": (lambda _: bytes(range(256)) * 40, Refusal.MALFORMED),
    "another operator's": (lambda _: Operator(90).bundle(9, ALLOWING), Refusal.UNSIGNED),
    "changed": (lambda one: one.bundle(9, ALLOWING)[:-9] + b"forgeries", Refusal.UNSIGNED),
    "another namespace's": (
        lambda one: one.bundle(9, policy_elsewhere(), namespace="other"), Refusal.FOREIGN,
    ),
    "an overlay": (lambda one: one.overlay(9), Refusal.FOREIGN),
    "older": (lambda one: one.bundle(4, ALLOWING), Refusal.OLD),
    "the same version saying something else": (lambda one: one.bundle(5, ALLOWING), Refusal.OLD),
    "endless": (lambda _: b"x" * (MAXIMUM_SEALED_BYTES + 1), Refusal.TOO_LARGE),
}  # fmt: skip


def policy_elsewhere() -> dict[str, object]:
    return {**ALLOWING, "metadata": {"name": "support", "namespace": "other"}}


@pytest.mark.promise("K9")
@pytest.mark.parametrize("origin", [REDIS, CONFIG_MAP])
@pytest.mark.parametrize("forgery", _FORGERIES)
async def test_what_is_not_genuine_or_older_is_ignored_and_counted(
    tmp_path: Path, forgery: str, origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    """Design 7: older, unsigned or foreign is ignored and counted."""
    operator = Operator()
    forged, why = _FORGERIES[forgery]
    sidecar = Sidecar(tmp_path, operator)
    await sidecar.take_both(operator.overlay(5), operator.bundle(5, DENYING))
    caplog.clear()

    assert not await sidecar.take(BUNDLE, forged(operator), origin)

    assert (sidecar.says(), sidecar.versions) == ("denied-by-rule", (5, 5))
    assert sidecar.refused == {why: 1}
    assert f"is ignored ({why.value}, 1 since" in caplog.text

    assert await sidecar.take(BUNDLE, operator.bundle(10, ALLOWING), origin)
    assert (sidecar.says(), sidecar.versions) == ("allowed-by-rule", (10, 5))


@pytest.mark.promise("K9")
async def test_what_lies_there_unchanged_is_counted_once(tmp_path: Path) -> None:
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator)
    for _ in range(3):
        await sidecar.take(BUNDLE, b"forged", CONFIG_MAP)
    assert sidecar.refused == {Refusal.MALFORMED: 1}
    await sidecar.take(BUNDLE, b"forged", REDIS)
    await sidecar.take(BUNDLE, b"forged otherwise", REDIS)
    await sidecar.take(BUNDLE, b"forged", REDIS)
    assert sidecar.refused == {Refusal.MALFORMED: 4}


async def test_a_config_map_that_lags_is_no_refusal(tmp_path: Path) -> None:
    """The kubelet is up to two minutes late; what it still has was believed when it came."""
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator)
    first = operator.bundle(1, DENYING)
    await sidecar.take_both(operator.overlay(1), first, CONFIG_MAP)
    await sidecar.take(BUNDLE, operator.bundle(2, ALLOWING), REDIS)
    await sidecar.take(BUNDLE, first, CONFIG_MAP)
    assert (sidecar.versions, sidecar.refused) == ((2, 1), {})


async def test_each_kind_of_refusal_is_told_at_most_once_a_minute(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Anybody may write there; a log that can be filled hides what matters."""
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator)
    for number in range(50):
        await sidecar.take(BUNDLE, b"forged %d" % number)
    await sidecar.take(BUNDLE, Operator(90).bundle(1, ALLOWING))
    assert [one.levelno for one in caplog.records] == [logging.WARNING] * 2
    caplog.clear()
    sidecar.time.pass_by(timedelta(seconds=60))
    await sidecar.take(BUNDLE, b"forged once more")
    (line,) = [one.getMessage() for one in caplog.records]
    assert line == (
        "the `bundle` in Redis is ignored (malformed, 50 since this was last said): no header line "
        "within 65536 bytes – somebody else wrote it, or the operator is of another release"
    )


@pytest.mark.promise("K9")
@pytest.mark.parametrize("broken", ["payload", "policy", "source"])
async def test_what_does_not_compile_leaves_the_last_good_and_stops_no_later_one(
    tmp_path: Path, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Design 7: the last good one stays."""
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator)
    await sidecar.take_both(operator.overlay(1), operator.bundle(1, DENYING))
    bad = {
        "payload": operator.seal(BUNDLE, 2, b'{"format":2}'),
        "policy": operator.bundle(2, policy("support", "Maybe")),
        "source": operator.bundle(2, ALLOWING),
    }[broken]
    sidecar.refuses = "source `billing` cannot be made" if broken == "source" else ""
    assert await sidecar.take(BUNDLE, bad)
    assert (sidecar.says(), sidecar.versions) == ("denied-by-rule", (1, 1))
    assert sidecar.delivery.problems[BUNDLE].startswith("bundle 2 cannot be used: ")
    assert caplog.text.count("what is in force stays") == 1
    await sidecar.take(OVERLAY, operator.overlay(2, KILL))
    assert (sidecar.says(), sidecar.versions) == ("vetoed", (1, 2))
    await sidecar.take(OVERLAY, operator.overlay(3))

    sidecar.refuses = ""
    await sidecar.take(BUNDLE, operator.bundle(3, ALLOWING))
    assert (sidecar.says(), sidecar.versions) == ("allowed-by-rule", (3, 3))
    assert sidecar.delivery.problems == {}


async def test_an_overlay_that_cannot_be_read_leaves_the_last_good(tmp_path: Path) -> None:
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator)
    await sidecar.take_both(operator.overlay(1, KILL), operator.bundle(1, ALLOWING))
    await sidecar.take(OVERLAY, operator.seal(OVERLAY, 2, b"{}"))
    assert (sidecar.says(), sidecar.versions) == ("vetoed", (1, 1))
    await sidecar.take(BUNDLE, operator.bundle(2, ASKING))
    assert (sidecar.says(), sidecar.versions) == ("vetoed", (2, 1))
    assert list(sidecar.delivery.problems) == [OVERLAY]
    await sidecar.take(OVERLAY, operator.overlay(3))
    assert (sidecar.says(), sidecar.versions) == ("approval-required", (2, 3))
    assert sidecar.delivery.problems == {}


async def test_a_bundle_that_nothing_can_be_laid_over_waits_for_an_overlay(tmp_path: Path) -> None:
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator)
    await sidecar.take_both(operator.seal(OVERLAY, 1, b"{}"), operator.bundle(1, ALLOWING))
    assert (sidecar.says(), sidecar.versions) == ("no-bundle", (0, 0))
    await sidecar.take(OVERLAY, operator.overlay(2))
    assert (sidecar.says(), sidecar.versions) == ("allowed-by-rule", (1, 2))


async def test_a_refused_first_bundle_lets_nothing_pass(tmp_path: Path) -> None:
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator)
    sidecar.refuses = "source `billing` cannot be made"
    await sidecar.take_both(operator.overlay(1), operator.bundle(1, ALLOWING))
    assert (sidecar.says(), sidecar.versions) == ("no-bundle", (0, 0))
    sidecar.refuses = ""
    await sidecar.take(BUNDLE, operator.bundle(2, ALLOWING))
    assert (sidecar.says(), sidecar.versions) == ("allowed-by-rule", (2, 1))


@pytest.mark.promise("A10")
async def test_a_kill_waits_for_no_bundle_that_is_being_compiled(tmp_path: Path) -> None:
    """Design 7: revocations travel first; the bundle is compiled by a thread meanwhile."""
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator)
    await sidecar.take_both(operator.overlay(1), operator.bundle(1, ALLOWING))
    large = operator.bundle(2, *(policy(f"p{number}") for number in range(600)))
    assert await sidecar.delivery.take(BUNDLE, large, REDIS)
    for _ in range(3):
        await asyncio.sleep(0)  # the thread begins
    assert await sidecar.delivery.take(OVERLAY, operator.overlay(2, KILL), REDIS)
    assert (sidecar.says(), sidecar.versions) == ("vetoed", (1, 2)), "the bundle still compiles"
    await sidecar.delivery.settled()
    assert (sidecar.says(), sidecar.versions) == ("vetoed", (2, 2))


async def test_of_many_bundles_at_once_the_newest_is_compiled(tmp_path: Path) -> None:
    """A flood costs as many compiler runs as there is time for, and the last one counts."""
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator)
    await sidecar.take(OVERLAY, operator.overlay(1))
    ahead = [operator.bundle(at, policy(f"p{at}")) for at in range(1, 41)]
    await asyncio.gather(*(sidecar.delivery.take(BUNDLE, one, REDIS) for one in ahead))
    await sidecar.delivery.settled()
    assert sidecar.versions == (40, 1)
    assert sidecar.applied[-1] == f"{NAMESPACE}/p40"
    assert len(sidecar.applied) < 10


async def test_whoever_wants_to_know_is_told_of_what_is_in_force(tmp_path: Path) -> None:
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator)
    told: list[tuple[int, int]] = []
    sidecar.delivery.on_change.append(lambda: told.append(sidecar.versions))
    await sidecar.take_both(operator.overlay(1), operator.bundle(1, ALLOWING))
    await sidecar.take(OVERLAY, operator.overlay(2, KILL))
    await sidecar.take(OVERLAY, b"forged")
    assert told == [(1, 1), (1, 2)]


@pytest.mark.promise("K8")
async def test_grants_lapse_when_nothing_confirms_them_and_vetoes_do_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A revocation may be on its way; five minutes are the bound."""
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator)
    await sidecar.take_both(operator.overlay(3, PERMISSION), operator.bundle(1, ASKING), CONFIG_MAP)
    assert (sidecar.says(), sidecar.delivery.confirmed_at) == ("granted", NOON)
    sidecar.time.pass_by(timedelta(seconds=299))
    sidecar.delivery.review()
    assert sidecar.says() == "granted"
    sidecar.time.pass_by(timedelta(seconds=1))
    sidecar.delivery.review()
    assert sidecar.says() == "approval-required"
    assert "standing grants are not honoured until Redis confirms them" in caplog.text

    await sidecar.take(OVERLAY, operator.overlay(3, PERMISSION), CONFIG_MAP)
    sidecar.delivery.confirm(OVERLAY, 2)
    assert sidecar.says() == "approval-required", "neither says that it is the newest"
    sidecar.delivery.confirm(OVERLAY, 3)
    assert sidecar.says() == "granted"
    assert sidecar.delivery.confirmed_at == NOON + timedelta(minutes=5)

    await sidecar.take(OVERLAY, operator.overlay(4, PERMISSION, KILL), CONFIG_MAP)
    sidecar.time.pass_by(timedelta(hours=5))
    sidecar.delivery.review()
    assert sidecar.says() == "vetoed"


async def test_a_newer_overlay_that_is_of_no_use_leaves_grants_unconfirmed(tmp_path: Path) -> None:
    """What it revokes is not known; so Redis cannot confirm the one before."""
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator)
    await sidecar.take_both(operator.overlay(3, PERMISSION), operator.bundle(1, ASKING))
    await sidecar.take(OVERLAY, operator.seal(OVERLAY, 4, b"{}"))
    sidecar.time.pass_by(timedelta(minutes=5))
    sidecar.delivery.confirm(OVERLAY, 3)
    sidecar.delivery.confirm(OVERLAY, 4)
    sidecar.delivery.review()
    assert sidecar.says() == "approval-required"


async def test_without_redis_grants_hold_until_they_expire(tmp_path: Path) -> None:
    """The ConfigMap is the only way then, and it confirms nothing."""
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator, lasts=None)
    await sidecar.take_both(operator.overlay(3, PERMISSION), operator.bundle(1, ASKING), CONFIG_MAP)
    sidecar.time.pass_by(timedelta(hours=5, minutes=59))
    sidecar.delivery.review()
    assert sidecar.says() == "granted"
    sidecar.time.pass_by(timedelta(minutes=1))
    assert sidecar.says() == "approval-required"


@pytest.mark.promise("K9")
async def test_nothing_older_than_the_pod_was_made_with_is_taken(tmp_path: Path) -> None:
    """Design 7: the version floor, from an annotation that editors cannot write."""
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator, floors={BUNDLE: 7, OVERLAY: 8})
    assert (sidecar.delivery.known(BUNDLE), sidecar.delivery.known(OVERLAY)) == (6, 7)
    await sidecar.take_both(operator.overlay(7), operator.bundle(6, ALLOWING))
    assert (sidecar.says(), sidecar.refused) == ("no-bundle", {Refusal.OLD: 2})
    await sidecar.take_both(operator.overlay(8), operator.bundle(7, ALLOWING))
    assert sidecar.versions == (7, 8)


@pytest.mark.promise("K9")
async def test_keys_follow_each_other_while_it_runs(tmp_path: Path) -> None:
    """Design 7: a key that was followed by another signs nothing any more."""
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator)
    await sidecar.take_both(operator.overlay(1), operator.bundle(1, DENYING))
    retired = operator.signer
    operator.rotate()
    operator.rotate()
    await sidecar.take_both(operator.overlay(2), operator.bundle(2, ASKING))
    assert (sidecar.says(), sidecar.versions) == ("approval-required", (2, 2))
    operator.signer, current = retired, operator.signer
    await sidecar.take(BUNDLE, operator.bundle(3, ALLOWING))
    assert (sidecar.versions, sidecar.refused) == ((2, 2), {Refusal.UNSIGNED: 1})
    operator.signer = current
    await sidecar.take(BUNDLE, operator.bundle(3, ALLOWING))
    assert sidecar.versions == (3, 2)


@pytest.mark.promise("K9")
async def test_nothing_goes_back_however_deliveries_meet(tmp_path: Path) -> None:
    """Large ones are worked on by threads, so that what came first may be ready last."""
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator)
    many = [grant(f"g{number}", "support") for number in range(120)]
    seen: list[tuple[int, int]] = []
    sidecar.delivery.on_change.append(lambda: seen.append(sidecar.versions))
    ahead = [
        (kind, data, origin)
        for version in range(1, 13)
        for origin in (REDIS, CONFIG_MAP)
        for kind, data in (
            (OVERLAY, operator.overlay(version, *many, *([KILL] if version == 12 else []))),
            (BUNDLE, operator.bundle(version, ASKING, *(policy(f"p{at}") for at in range(120)))),
        )
    ]
    waves = [ahead[at : at + 7] for at in range(0, len(ahead), 7)]
    for wave in waves:
        await asyncio.gather(*(sidecar.delivery.take(*one) for one in wave))
    await sidecar.delivery.settled()
    assert sidecar.versions == (12, 12)
    assert sidecar.says() == "vetoed"
    assert [sorted(one) for one in zip(*seen, strict=True)] == [
        list(one) for one in zip(*seen, strict=True)
    ]
