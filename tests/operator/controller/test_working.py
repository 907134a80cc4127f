"""Workers: what is marked is reconciled; what fails, or crashes, costs the others nothing."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from mesh7_operator import metrics
from mesh7_operator.clock import Clock
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.cluster.signing import Keyring, new_keyring
from mesh7_operator.controller import seen
from mesh7_operator.controller.applying import Applier
from mesh7_operator.controller.board import Board
from mesh7_operator.controller.gathering import Gatherer
from mesh7_operator.controller.posting import Poster
from mesh7_operator.controller.seams import NoStore
from mesh7_operator.controller.working import Workers
from mesh7_operator.reconciling.plan import DeleteConfigMap, Plan
from mesh7_operator.reconciling.world import Keys, World
from tests.conftest import Eventually
from tests.fakes import api_server as fakes

CLOCK = Clock(wall_ns=time.monotonic_ns, monotonic_s=time.monotonic)


class _FixedKeys:
    """Keys that nobody rotates."""

    def __init__(self) -> None:
        ring: Keyring = new_keyring(bytes)
        self.keys = Keys(signer=ring.current, links=ring.links)


class _Working:
    def __init__(
        self, server: fakes.ApiServer, api: ApiServer, reconcile: Callable[[World], Plan]
    ) -> None:
        self.server = server
        self.settled: list[Plan] = []
        self.metrics = metrics.ControllerMetrics(metrics.registry())
        self.board = Board("mesh7-system", lambda _: None)
        self.workers = Workers(
            gatherer=Gatherer(self.board, NoStore(), _FixedKeys(), "mesh7-system", CLOCK),
            reconcile=reconcile,
            applier=Applier(
                api=api,
                store=NoStore(),
                board=self.board,
                poster=Poster(api, CLOCK),
                may_write=lambda: True,
            ),
            settled=self.settled.append,
            clock=CLOCK,
            metrics=self.metrics,
        )

    def count(self, outcome: str) -> float:
        name, labels = "mesh7_reconcile_seconds_count", {"outcome": outcome}
        samples = [s for one in self.metrics.reconciles.collect() for s in one.samples]
        return sum(s.value for s in samples if s.name == name and s.labels == labels)


@asynccontextmanager
async def _working(reconcile: Callable[[World], Plan]) -> AsyncIterator[_Working]:
    measured = metrics.ApiMetrics(metrics.registry())
    async with fakes.serving() as server, ApiServer(server.connection, measured) as api:
        working = _Working(server, api, reconcile)
        task = asyncio.ensure_future(working.workers.run())
        try:
            yield working
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_a_world_is_what_is_known_of_its_namespace(eventually: Eventually) -> None:
    worlds: list[World] = []

    def reconcile(world: World) -> Plan:
        worlds.append(world)
        return Plan(namespace=world.namespace)

    async with _working(reconcile) as working:
        working.board.tell(seen.Snapshot(name="shop"))
        working.workers.mark("shop")
        await eventually(lambda: working.settled == [Plan(namespace="shop")])
    assert [(one.namespace, one.is_enrolled, one.delivered) for one in worlds] == [
        ("shop", False, None)
    ]


async def test_one_that_crashes_backs_off_and_the_others_go_on(eventually: Eventually) -> None:
    """A defect that one namespace shows must not cost the others their bundles."""

    def reconcile(world: World) -> Plan:
        if world.namespace == "poison":
            raise ZeroDivisionError
        return Plan(namespace=world.namespace)

    async with _working(reconcile) as working:
        working.workers.mark("poison")
        working.workers.mark("shop")
        await eventually(lambda: len(working.settled) == 1)
        await eventually(lambda: working.count("crashed") > 1)
        working.workers.mark("shop")
        await eventually(lambda: len(working.settled) == 2)


async def test_what_cannot_be_written_is_tried_again(eventually: Eventually) -> None:
    plan = Plan(namespace="shop", config_map=DeleteConfigMap())
    async with _working(lambda _: plan) as working:
        working.server.troubles = [(403, {})]
        working.workers.mark("shop")
        await eventually(lambda: working.settled == [plan])
        assert (working.count("failed"), working.count("done")) == (1, 1)


async def test_a_plan_says_when_to_look_again(eventually: Eventually) -> None:
    """A grant ends by the clock alone."""

    def reconcile(world: World) -> Plan:
        soon = world.now + timedelta(seconds=0.3)
        return Plan(namespace=world.namespace, look_again_at=soon)

    async with _working(reconcile) as working:
        working.workers.mark("shop")
        await eventually(lambda: len(working.settled) >= 2)
