"""A restarted container: it neither forgets the chain of keys nor goes back, and starts alone."""

import asyncio
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from mesh7_core.delivery.envelopes import Kind, Refusal
from mesh7_core.delivery.reports import Origin
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
ASKING = policy("support", "RequireApproval")
PERMISSION = grant("incident", "support")
KILL = kill("stop")


@pytest.mark.promise("K8")
async def test_the_last_good_is_in_force_at_once_with_nothing_else_there(tmp_path: Path) -> None:
    """Operator, Redis and API server down, and the container is started anew."""
    operator = Operator()
    before = Sidecar(tmp_path, operator)
    await before.take_both(operator.overlay(4, KILL), operator.bundle(3, ALLOWING))
    assert before.delivery.origin is REDIS

    after = await before.restarted(operator)
    assert (after.says(), after.versions) == ("vetoed", (3, 4))
    assert after.delivery.arrived.is_set()
    assert (after.delivery.origin, after.delivery.confirmed_at) == (Origin.NONE, None)


@pytest.mark.promise("K8")
async def test_grants_are_not_honoured_until_redis_confirms_them(tmp_path: Path) -> None:
    """They may have been revoked while the container was away; a mount may be as old as it is."""
    operator = Operator()
    before = Sidecar(tmp_path, operator)
    overlay = operator.overlay(4, PERMISSION)
    await before.take_both(overlay, operator.bundle(3, ASKING))
    assert before.says() == "granted"

    after = await before.restarted(operator)
    assert after.says() == "approval-required"
    await after.take(OVERLAY, overlay, CONFIG_MAP)
    assert after.says() == "approval-required"
    after.delivery.confirm(OVERLAY, 4)
    after.delivery.confirm(BUNDLE, 3)
    assert (after.says(), after.delivery.origin) == ("granted", REDIS)


async def test_the_way_that_brings_what_is_in_force_again_is_named(tmp_path: Path) -> None:
    operator = Operator()
    before = Sidecar(tmp_path, operator)
    sealed = operator.bundle(3, ALLOWING)
    await before.take_both(operator.overlay(4), sealed)
    after = await before.restarted(operator)
    assert await after.take(BUNDLE, sealed, CONFIG_MAP)
    assert (after.delivery.origin, after.refused) == (CONFIG_MAP, {})


@pytest.mark.promise("K9")
async def test_a_config_map_that_was_put_back_is_ignored_after_a_restart(tmp_path: Path) -> None:
    """Issue 5, faults: replaced by a validly signed older one."""
    operator = Operator()
    before = Sidecar(tmp_path, operator)
    old = {"overlay": operator.overlay(1), "bundle": operator.bundle(1, ALLOWING)}
    before.config_map.write(**old)
    await before.look()
    assert before.says() == "allowed-by-rule"
    before.config_map.write(overlay=operator.overlay(2, KILL), bundle=operator.bundle(2, DENYING))
    await before.look()
    assert before.says() == "vetoed"
    before.config_map.write(**old)

    after = await before.restarted(operator)
    await after.look()
    assert (after.says(), after.versions) == ("vetoed", (2, 2))
    assert after.refused == {Refusal.OLD: 2}


@pytest.mark.promise("K9")
async def test_the_chain_of_keys_outlives_the_container(tmp_path: Path) -> None:
    """A retired key, known to the pod spec for ever, must not sign anything after a restart."""
    operator = Operator()
    before = Sidecar(tmp_path, operator)
    await before.take_both(operator.overlay(1), operator.bundle(1, DENYING))
    retired = operator.signer
    operator.rotate()
    await before.take_both(operator.overlay(2), operator.bundle(2, DENYING))

    after = await before.restarted(operator)
    assert after.versions == (2, 2), "what the new key signed is believed without any other way"
    current, operator.signer = operator.signer, retired
    await after.take(BUNDLE, operator.bundle(3, ALLOWING))
    assert (after.versions, after.refused) == ((2, 2), {Refusal.UNSIGNED: 1})
    operator.signer = current
    operator.rotate()
    await after.take(BUNDLE, operator.bundle(3, ASKING))
    assert (after.says(), after.versions) == ("approval-required", (3, 2))


async def test_what_was_of_no_use_is_not_what_a_restart_begins_with(tmp_path: Path) -> None:
    operator = Operator()
    before = Sidecar(tmp_path, operator)
    await before.take_both(operator.overlay(1), operator.bundle(1, DENYING))
    await before.take(BUNDLE, operator.seal(BUNDLE, 5, b"{}"))

    after = await before.restarted(operator)
    assert (after.says(), after.versions) == ("denied-by-rule", (1, 1))
    await after.take(BUNDLE, operator.bundle(4, ALLOWING))
    assert (after.versions, after.refused) == ((1, 1), {Refusal.OLD: 1}), "5 was genuine"
    await after.take(BUNDLE, operator.bundle(6, ALLOWING))
    assert after.versions == (6, 1)


@pytest.mark.promise("K9")
@pytest.mark.parametrize("kind", [OVERLAY, BUNDLE])
async def test_what_is_older_than_what_was_in_force_is_not_begun_with(
    tmp_path: Path, kind: Kind
) -> None:
    """What was known of versions was written, the envelope was not: a kill must not be lifted."""
    operator = Operator()
    before = Sidecar(tmp_path, operator)
    await before.take_both(operator.overlay(1), operator.bundle(1, ALLOWING))
    await before.delivery.close()
    kept = (tmp_path / "state" / kind).read_bytes()
    newest = operator.overlay(2, KILL) if kind is OVERLAY else operator.bundle(2, DENYING)
    await before.take(kind, newest)
    await before.delivery.close()
    (tmp_path / "state" / kind).write_bytes(kept)

    after = await before.restarted(operator)
    assert (after.says(), after.versions) == ("no-bundle", (0, 0))
    assert "2 was in force before the restart" in after.delivery.problems[kind]
    await after.take(kind, kept, CONFIG_MAP)
    assert after.says() == "no-bundle", "a ConfigMap that lags brings it again"
    after.deliveries.entries = {kind: (2, newest)}
    await after.look()
    assert after.says() == ("vetoed" if kind is OVERLAY else "denied-by-rule")
    assert after.delivery.problems == {}


@pytest.mark.promise("K9")
@pytest.mark.parametrize("failing", ["overlay", "trust"])
async def test_a_kill_outlives_the_container_whichever_write_fails(
    tmp_path: Path, failing: str
) -> None:
    """A full disk, Redis and ConfigMap away, and the container is started anew."""
    operator = Operator()
    before = Sidecar(tmp_path, operator)
    await before.take_both(operator.overlay(1), operator.bundle(1, ALLOWING))
    await before.delivery.close()
    operator.rotate()
    in_the_way = tmp_path / "state" / f".{failing}.new"
    in_the_way.mkdir()
    await before.take(OVERLAY, operator.overlay(2, KILL))
    assert before.says() == "vetoed"

    after = await before.restarted(operator)
    assert after.says() == ("no-bundle" if failing == "overlay" else "vetoed")
    assert list(after.delivery.problems) == ([OVERLAY] if failing == "overlay" else [])
    await after.take(OVERLAY, operator.overlay(1), CONFIG_MAP)
    assert after.says() == ("no-bundle" if failing == "overlay" else "vetoed")


async def test_what_could_not_be_written_is_written_once_it_can_be(tmp_path: Path) -> None:
    operator = Operator()
    before = Sidecar(tmp_path, operator)
    await before.take_both(operator.overlay(1), operator.bundle(1, ALLOWING))
    await before.delivery.close()
    in_the_way = tmp_path / "state" / ".overlay.new"
    in_the_way.mkdir()
    await before.take(OVERLAY, operator.overlay(2, KILL))
    await before.delivery.close()
    assert not (tmp_path / "state" / "overlay").exists(), "what was replaced is not kept"
    in_the_way.rmdir()

    before.delivery.review()
    after = await before.restarted(operator)
    assert (after.says(), after.versions) == ("vetoed", (1, 2))


@pytest.mark.parametrize("broken", ["trust", "bundle", "overlay", "all"])
@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"{}", b"x" * (1 << 20)])
async def test_a_damaged_memory_is_as_if_there_were_none(
    tmp_path: Path, broken: str, content: bytes
) -> None:
    """What is missing is delivered anew; nothing passes before."""
    operator = Operator()
    before = Sidecar(tmp_path, operator)
    await before.take_both(operator.overlay(1, KILL), operator.bundle(1, ALLOWING))
    await before.delivery.close()
    for name in ("trust", "bundle", "overlay"):
        if broken in {name, "all"}:
            (tmp_path / "state" / name).write_bytes(content)

    after = await before.restarted(operator)
    assert after.says() == ("vetoed" if broken == "trust" else "no-bundle")
    after.deliveries.entries = {
        BUNDLE: (2, operator.bundle(2, DENYING)), OVERLAY: (2, operator.overlay(2)),
    }  # fmt: skip
    await after.look()
    assert (after.says(), after.versions) == ("denied-by-rule", (2, 2))


@pytest.mark.promise("K9")
async def test_another_pods_memory_is_not_believed(tmp_path: Path) -> None:
    """A volume that came from elsewhere, or was written by somebody else."""
    other = Operator(90)
    theirs = Sidecar(tmp_path, other)
    await theirs.take_both(other.overlay(9), other.bundle(9, ALLOWING))

    ours = await theirs.restarted(Operator())
    assert (ours.says(), ours.refused) == ("no-bundle", {Refusal.UNSIGNED: 2})


async def test_files_are_private_and_written_whole(tmp_path: Path) -> None:
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator)
    for version in range(1, 4):
        await sidecar.take_both(operator.overlay(version), operator.bundle(version, ALLOWING))
    await sidecar.delivery.close()
    folder = tmp_path / "state"
    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in folder.iterdir()}
    assert modes == {"trust": 0o600, "bundle": 0o600, "overlay": 0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert (folder / "bundle").read_bytes() == operator.bundle(3, ALLOWING)


async def test_a_disk_that_takes_nothing_stops_nothing_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    operator = Operator()
    sidecar = Sidecar(tmp_path, operator)
    (tmp_path / "state").write_bytes(b"a file where the folder should be")
    for version in range(1, 4):
        await sidecar.take_both(operator.overlay(version), operator.bundle(version, ALLOWING))
        sidecar.time.pass_by(timedelta(minutes=1))
    await sidecar.delivery.close()
    assert sidecar.versions == (3, 3)
    assert caplog.text.count("cannot be written") == 1
    (tmp_path / "state").unlink()
    await sidecar.take_both(operator.overlay(4), operator.bundle(4, ALLOWING))
    await sidecar.delivery.close()
    assert (tmp_path / "state" / "overlay").read_bytes() == operator.overlay(4)
    await asyncio.sleep(0)
