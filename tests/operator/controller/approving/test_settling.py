"""Steps of held calls, carried out: what one request spoils costs the others nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from mesh7_core.ledger.asked import State
from mesh7_operator import metrics
from mesh7_operator.approving.steps import Settle, Steps
from mesh7_operator.clock import Clock
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.controller.approving.settling import Result, Settler
from mesh7_operator.controller.approving.weighing import Weights
from mesh7_operator.controller.informer.board import Board
from mesh7_operator.controller.posting import Poster
from mesh7_operator.reconciling.plan import Event, EventType
from tests.fakes import api_server as fakes
from tests.operator.approving import worlds
from tests.operator.controller.stores import MemoryStore

GROUND = worlds.world().ground()
POISONED, GOOD = worlds.request(1), worlds.request(2)


class _Poisoned(MemoryStore):
    """A store that never exchanges one request: whatever its text says, it has another version."""

    def __init__(self) -> None:
        super().__init__()
        self.refuses = {POISONED.id}

    async def settle(self, namespace: str, settle: Settle, found: bytes) -> bool:
        done = await super().settle(namespace, settle, found)
        return done and settle.after.id not in self.refuses


class _Parts:
    def __init__(self, server: fakes.ApiServer, api: ApiServer) -> None:
        self.now_s = 1_000.0
        self.server = server
        self.store = _Poisoned()
        clock = Clock(wall_ns=lambda: int(self.now_s * 1e9), monotonic_s=lambda: self.now_s)
        self.settler = Settler(
            api=api, store=self.store, board=Board("mesh7-system", lambda _: None),
            poster=Poster(api, clock), clock=clock, may_write=lambda: True,
            weights=Weights(metrics.ControllerMetrics(metrics.registry()), clock),
        )  # fmt: skip

    def posted(self) -> int:
        """How many Events were asked for."""
        return sum(
            path.endswith("/events") for method, path in self.server.asked if method == "POST"
        )

    async def apply(self) -> tuple[Result, list[str]]:
        """What came of it, and whose exchange was tried."""
        self.store.settled.clear()
        settle = [
            Settle(before=one, after=replace(one, state=State.WITHDRAWN, version=2))
            for one in (POISONED, GOOD)
        ]
        result = await self.settler.apply(Steps(settle=tuple(settle)), GROUND)
        return result, [one.after.id for _, one in self.store.settled]


@asynccontextmanager
async def _parts() -> AsyncIterator[_Parts]:
    measured = metrics.ApiMetrics(metrics.registry())
    async with fakes.serving() as server, ApiServer(server.connection, measured) as api:
        yield _Parts(server, api)


@pytest.mark.promise("K9")
async def test_a_request_that_can_never_be_exchanged_is_left_alone_and_the_others_are_not() -> None:
    """Security review of issue 7, F9: its whole namespace was left alone, up to a minute."""
    async with _parts() as parts:
        result, tried = await parts.apply()
        assert tried == [POISONED.id, GOOD.id]
        assert (result.is_overtaken, result.unsettled, result.again_s) == (
            False, {POISONED.id}, 0.25
        )  # fmt: skip
        parts.now_s += 0.2
        result, tried = await parts.apply()
        assert tried == [GOOD.id]
        assert result.unsettled == {POISONED.id}
        assert result.again_s == pytest.approx(0.05)
        parts.now_s += 0.1
        result, tried = await parts.apply()
        assert (tried, result.again_s) == ([POISONED.id, GOOD.id], 0.5)
        for _ in range(10):
            parts.now_s += 60.0
            result, _ = await parts.apply()
        assert result.again_s == 30.0


async def test_when_redis_is_back_what_it_did_not_take_is_tried_at_once() -> None:
    async with _parts() as parts:
        await parts.apply()
        parts.store.refuses.clear()
        parts.settler.try_again()
        result, tried = await parts.apply()
        assert tried == [POISONED.id, GOOD.id]
        assert (result.unsettled, result.again_s) == (set(), None)


@pytest.mark.promise("K10")
async def test_a_namespace_has_so_many_events_written_and_then_few_a_second() -> None:
    """Security review of issue 7, F5: each held call is two or three of them."""
    async with _parts() as parts:
        await parts.settler.apply(Steps(events=_events(0, 405)), GROUND)
        assert parts.posted() == 400
        parts.now_s += 1.0
        await parts.settler.apply(Steps(events=_events(405, 410)), GROUND)
        assert parts.posted() == 402


def _events(begin: int, end: int) -> tuple[Event, ...]:
    return tuple(
        Event(
            kind="Pod", name="support-1", uid=worlds.UID, type=EventType.NORMAL,
            reason="CallHeld", message=f"call {number}", api_version="v1",
        )
        for number in range(begin, end)
    )  # fmt: skip
