"""When a namespace's held calls are looked at, and how seldom a tenant can have it done."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from functools import partial

import pytest

from mesh7_core import names
from mesh7_operator import metrics
from mesh7_operator.approving.ground import InLedger
from mesh7_operator.approving.steps import Steps
from mesh7_operator.clock import Clock
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.controller.approving import rooming
from mesh7_operator.controller.approving.approvals import Approvals
from mesh7_operator.controller.approving.compiled import CompiledPolicies
from mesh7_operator.controller.approving.grounding import Grounds
from mesh7_operator.controller.approving.living import Pods
from mesh7_operator.controller.approving.settling import Settler
from mesh7_operator.controller.approving.weighing import Weights
from mesh7_operator.controller.informer import seen
from mesh7_operator.controller.informer.board import Board
from mesh7_operator.controller.posting import Poster
from mesh7_operator.reconciling.world import StoreState
from mesh7_operator.store.requests import Held
from tests.conftest import Eventually
from tests.fakes import api_server as fakes
from tests.operator.approving import worlds
from tests.operator.controller.approving.held_calls import FixedKeys
from tests.operator.controller.stores import MemoryStore


class _Slow(MemoryStore):
    """A store whose looks take as long as the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.passes: Callable[[], None] = lambda: None

    async def held(
        self, namespace: str, mirrored: Collection[str], told: Collection[str] = ()
    ) -> Held | None:
        self.passes()
        return await super().held(namespace, mirrored, told)


class _Parts:
    def __init__(self, api: ApiServer) -> None:
        self.now_s = 1_000.0
        self.store = _Slow()
        self.kept: dict[str, int] = {}
        clock = Clock(wall_ns=lambda: int(self.now_s * 1e9), monotonic_s=lambda: self.now_s)
        self.board = Board("mesh7-system", lambda _: None)
        measured = metrics.ControllerMetrics(metrics.registry())
        weights = Weights(measured, clock)
        self.approvals = Approvals(
            board=self.board,
            store=self.store,
            grounds=Grounds(
                board=self.board, store=self.store, keyrings=FixedKeys(), pods=Pods(api, clock),
                policies=CompiledPolicies(lambda _: None), clock=clock,
            ),
            settler=Settler(
                api=api, store=self.store, board=self.board, poster=Poster(api, clock),
                weights=weights, clock=clock, may_write=lambda: True,
            ),
            weights=weights,
            clock=clock,
            plan=lambda ground: Steps(kept_bytes=self.kept.get(ground.namespace, 0)),
            regained=lambda: None,
        )  # fmt: skip
        for name in ("shop", "bank"):
            self.make(name)

    def make(self, name: str) -> None:
        """It is there, and enrolled."""
        there = seen.Namespace(
            revision=1, uid=name, labels={names.INJECTION_LABEL: "enabled"}, annotations={}
        )
        self.board.tell(seen.Snapshot(name=name, namespaces=(there,)))

    def looks(self, namespace: str = "shop") -> int:
        return self.store.looks.count(namespace)

    def has_looked(self, times: int) -> bool:
        # A look may be done only after the time was moved, and the next one rests from then on.
        self.now_s += 0.001
        return self.looks() == times


@asynccontextmanager
async def _working() -> AsyncIterator[_Parts]:
    measured = metrics.ApiMetrics(metrics.registry())
    async with fakes.serving() as server, ApiServer(server.connection, measured) as api:
        parts = _Parts(api)
        task = asyncio.ensure_future(parts.approvals.run())
        try:
            yield parts
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def parts() -> AsyncIterator[_Parts]:
    async with _working() as found:
        yield found


async def test_messages_without_end_come_to_one_look(parts: _Parts, eventually: Eventually) -> None:
    """Issue 7: a tenant that publishes in a loop costs bounded work."""
    for _ in range(10_000):
        parts.approvals.told("shop", "")
    parts.approvals.mark("bank")
    await eventually(lambda: parts.looks("bank") == 1)
    assert parts.looks() == 0
    parts.now_s += 0.05
    parts.approvals.told("shop", "")
    await eventually(lambda: parts.looks() == 1)
    parts.approvals.mark("bank")
    parts.now_s += 0.04
    parts.approvals.told("shop", "")
    await asyncio.sleep(0)
    assert parts.looks() == 1


async def test_a_look_that_takes_long_is_not_asked_for_by_messages_soon(
    parts: _Parts, eventually: Eventually
) -> None:
    """Issue 7: long texts, read again and again, would cost the other namespaces their turn."""

    def passes() -> None:
        parts.now_s += 1.0

    parts.store.passes = passes
    parts.approvals.mark("shop")
    await eventually(lambda: parts.looks() == 1)
    parts.store.passes = lambda: None
    await eventually(lambda: parts.approvals.age_s == 0)
    parts.approvals.told("shop", "")
    parts.now_s += 3.9
    parts.approvals.mark("bank")
    await eventually(lambda: parts.looks("bank") == 1)
    assert parts.looks() == 1
    # What the API server tells of does not wait for that.
    parts.approvals.mark("shop")
    await eventually(lambda: parts.looks() == 2)


async def test_the_largest_namespace_is_not_looked_at_after_each_look_at_another(
    parts: _Parts, eventually: Eventually
) -> None:
    """Review of issue 7: it was marked at once each time, though all of it was open."""
    asked = InLedger(request=worlds.request(1))
    for name, size in (("bank", 2 * rooming.MOST_BYTES), ("shop", 1)):
        parts.kept[name] = size
        parts.store.held_there[name] = Held(store_ms=1, requests={asked.request.id: asked})
    parts.approvals.mark("bank")
    await eventually(lambda: parts.looks("bank") == 1)
    for look in (1, 2, 3):
        parts.approvals.mark("shop")
        await eventually(partial(parts.has_looked, look))
        parts.now_s += 0.1
        await eventually(lambda: parts.approvals.age_s == 0)
    assert parts.looks("bank") == 1
    parts.now_s += 5
    await eventually(lambda: parts.looks("bank") == 2)


async def test_the_round_asks_at_once_and_marks_where_something_waits(
    parts: _Parts, eventually: Eventually
) -> None:
    await parts.approvals.look_around()
    assert parts.store.followed == {"shop", "bank"}
    assert parts.store.looks == []
    parts.store.state = StoreState.LOST
    await parts.approvals.look_around()
    assert parts.store.looks == []
    parts.store.missed()

    def are_looked_at() -> bool:
        parts.now_s += 0.1
        return set(parts.store.looks) == {"bank", "shop"}

    await eventually(are_looked_at)


async def test_a_namespace_that_is_not_enrolled_is_not_asked_about(
    parts: _Parts, eventually: Eventually
) -> None:
    parts.approvals.mark("elsewhere")
    parts.approvals.mark("bank")
    await eventually(lambda: parts.looks("bank") == 1)
    assert parts.looks("elsewhere") == 0


async def test_a_namespace_that_is_being_deleted_is_left_alone(
    parts: _Parts, eventually: Eventually
) -> None:
    there = seen.Namespace(
        revision=2, uid="shop", labels={names.INJECTION_LABEL: "enabled"}, annotations={},
        is_ending=True,
    )  # fmt: skip
    parts.board.tell(seen.Snapshot(name="shop", namespaces=(there,)))
    parts.approvals.mark("shop")
    parts.approvals.mark("bank")
    await eventually(lambda: parts.looks("bank") == 1)
    assert parts.looks("shop") == 0


async def test_nothing_of_a_look_outlives_a_namespace_that_was_forgotten_meanwhile(
    parts: _Parts, eventually: Eventually
) -> None:
    """Lifecycle review of issue 7: what a look cost was remembered for ever."""

    def passes() -> None:
        parts.now_s += 1.0
        parts.board.tell(seen.Snapshot(name="shop"))
        parts.approvals.forget("shop")

    parts.store.passes = passes
    parts.approvals.mark("shop")
    await eventually(lambda: parts.looks() == 1)
    parts.store.passes = lambda: None
    await eventually(lambda: parts.approvals.age_s == 0)
    parts.make("shop")
    parts.approvals.told("shop", "")
    parts.now_s += 0.06
    await eventually(lambda: parts.looks() == 2)
