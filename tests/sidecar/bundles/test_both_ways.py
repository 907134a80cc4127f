"""A ConfigMap and a real Redis beside each other: the higher version wins, whichever is away."""

import asyncio
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mesh7_core.delivery.envelopes import Refusal
from mesh7_sidecar.bundles import pushed
from tests.peers import redis_servers
from tests.sidecar.bundles.delivering import (
    BUNDLE,
    CONFIG_MAP,
    NAMESPACE,
    OVERLAY,
    REDIS,
    Operator,
    Sidecar,
    kill,
    policy,
)
from tests.sidecar.bundles.test_deliveries_contract import RedisHome, on_redis

PATIENCE_S = 30.0
ALLOWING = policy("support")
DENYING = policy("support", "Deny")
KILL = kill("stop")
VALKEY = redis_servers.programs()["valkey"]


class Pod:
    """A sidecar on a real server, fed both ways in the background."""

    def __init__(self, sidecar: Sidecar, store: RedisHome) -> None:
        self.sidecar = sidecar
        self.store = store
        self._turn = asyncio.Event()
        sidecar.delivery.on_change.append(self._turn.set)

    async def brought(self, bundle: int, overlay: int) -> None:
        """Wait until these versions are in force; the sidecar itself tells."""
        async with asyncio.timeout(PATIENCE_S):
            while self.sidecar.versions != (bundle, overlay):
                self._turn.clear()
                await self._turn.wait()

    def deliver(self, operator: Operator, version: int, *, is_killed: bool = False) -> None:
        """Overlay first, as the operator does it."""
        vetoes = (KILL,) if is_killed else ()
        self.store.deliver(OVERLAY, version, operator.overlay(version, *vetoes))
        self.store.deliver(BUNDLE, version, operator.bundle(version, ALLOWING))


@asynccontextmanager
async def living(
    folder: Path, operator: Operator, behind: redis_servers.Server
) -> AsyncIterator[Pod]:
    """A container of one pod, from its start to its end."""
    sidecar = Sidecar(folder, operator)
    async with on_redis(behind, NAMESPACE) as (store, ledger):
        by_redis = pushed.Pushed(ledger.deliveries, sidecar.delivery, sidecar.time.monotonic_s)
        await sidecar.delivery.start()
        works = (by_redis.watch(), sidecar.mounted.watch(), sidecar.delivery.watch())
        tasks = [asyncio.create_task(work) for work in works]
        try:
            yield Pod(sidecar, store)
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended
            await sidecar.delivery.close()


@pytest.mark.promise("A10")
@pytest.mark.promise("K4")
async def test_a_published_kill_is_in_force_before_it_is_asked_for(tmp_path: Path) -> None:
    """Most of them, for a busy machine stops for a while now and then."""
    operator, took_s = Operator(), list[float]()
    with redis_servers.running(VALKEY, tmp_path / "redis") as behind:
        async with living(tmp_path, operator, behind) as pod:
            pod.deliver(operator, 1)
            await pod.brought(1, 1)
            for version in range(2, 22):
                began_s = asyncio.get_running_loop().time()
                pod.store.deliver(OVERLAY, version, operator.overlay(version, KILL))
                await pod.brought(1, version)
                took_s.append(asyncio.get_running_loop().time() - began_s)
            assert statistics.median(took_s) < pushed.POLL_S * (1 - pushed.JITTER)
            assert pod.sidecar.says() == "vetoed"
            assert pod.sidecar.delivery.origin is REDIS


@pytest.mark.promise("K9")
async def test_the_higher_version_wins_whichever_way_it_comes(tmp_path: Path) -> None:
    """A ConfigMap lags behind Redis; a Redis that was emptied or restored behind the ConfigMap."""
    operator = Operator()
    with redis_servers.running(VALKEY, tmp_path / "redis") as behind:
        async with living(tmp_path, operator, behind) as pod:
            sidecar = pod.sidecar
            sidecar.config_map.write(
                overlay=operator.overlay(5), bundle=operator.bundle(5, ALLOWING)
            )
            pod.deliver(operator, 3)
            await pod.brought(5, 5)
            assert sidecar.delivery.origin is CONFIG_MAP
            pod.deliver(operator, 8, is_killed=True)
            await pod.brought(8, 8)
            sidecar.config_map.write(
                overlay=operator.overlay(6), bundle=operator.bundle(6, DENYING)
            )
            await sidecar.mounted.look()
            assert (sidecar.says(), sidecar.versions) == ("vetoed", (8, 8))
            # Redis may be asked once more before it has 8, and 3 be refused twice.
            assert set(sidecar.refused) == {Refusal.OLD}
            assert sidecar.refused[Refusal.OLD] >= 2
            behind.tell("FLUSHALL")
            sidecar.config_map.write(
                overlay=operator.overlay(9), bundle=operator.bundle(9, DENYING)
            )
            await pod.brought(9, 9)
            assert sidecar.says() == "denied-by-rule"


@pytest.mark.promise("K8")
async def test_redis_killed_and_back_brings_what_was_delivered_meanwhile(tmp_path: Path) -> None:
    """While it is away the ConfigMap delivers; when it is back it is asked at once."""
    operator = Operator()
    with redis_servers.running(VALKEY, tmp_path / "redis") as behind:
        async with living(tmp_path, operator, behind) as pod:
            pod.deliver(operator, 1)
            await pod.brought(1, 1)
            behind.kill()
            pod.sidecar.config_map.write(overlay=operator.overlay(2, KILL))
            await pod.brought(1, 2)
            assert pod.sidecar.says() == "vetoed"
            behind.start()
            async with on_redis(behind, NAMESPACE):
                pod.deliver(operator, 3)
            await pod.brought(3, 3)
            assert pod.sidecar.says() == "allowed-by-rule"


@pytest.mark.promise("K9")
async def test_a_forged_entry_is_ignored_and_its_repair_taken(tmp_path: Path) -> None:
    operator = Operator()
    with redis_servers.running(VALKEY, tmp_path / "redis") as behind:
        async with living(tmp_path, operator, behind) as pod:
            pod.deliver(operator, 1)
            await pod.brought(1, 1)
            pod.store.forge(OVERLAY, 7, Operator(90).overlay(7))
            for _ in range(200):
                behind.tell("PUBLISH", f"m7b:{{{NAMESPACE}}}:delivered", "999")
            pod.deliver(operator, 9, is_killed=True)
            await pod.brought(9, 9)
            assert pod.sidecar.says() == "vetoed"
            assert set(pod.sidecar.refused) <= {Refusal.UNSIGNED}


@pytest.mark.promise("K8")
async def test_a_new_container_starts_with_what_the_last_one_left(tmp_path: Path) -> None:
    """Redis down, the ConfigMap put back to an older, validly signed one."""
    operator = Operator()
    with redis_servers.running(VALKEY, tmp_path / "redis") as behind:
        async with living(tmp_path, operator, behind) as pod:
            pod.deliver(operator, 4, is_killed=True)
            await pod.brought(4, 4)
        behind.kill()
        pod.sidecar.config_map.write(
            overlay=operator.overlay(2), bundle=operator.bundle(2, ALLOWING)
        )
        async with living(tmp_path, operator, behind) as after:
            assert (after.sidecar.says(), after.sidecar.versions) == ("vetoed", (4, 4))
            await after.sidecar.mounted.look()
            assert (after.sidecar.says(), after.sidecar.versions) == ("vetoed", (4, 4))
            assert after.sidecar.refused == {Refusal.OLD: 2}
