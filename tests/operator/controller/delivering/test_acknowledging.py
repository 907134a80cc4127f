"""Reports: whom they concern, who is behind, and how long a bundle travelled."""

from dataclasses import replace

import pytest

from mesh7_core import names
from mesh7_core.delivery.reports import Origin, Report
from mesh7_operator import metrics
from mesh7_operator.clock import Clock
from mesh7_operator.controller.delivering.acknowledging import Acknowledgements
from mesh7_operator.controller.informer import seen
from mesh7_operator.controller.informer.board import Board
from mesh7_operator.reconciling.plan import Plan
from mesh7_operator.reconciling.world import Published, StoreState
from tests.operator.controller.stores import MemoryStore

VERSION = 1_795_258_936_000
NOW_NS = (VERSION + 1_500) * 10**6


def _report(uid: str, bundle: int) -> Report:
    return Report(
        pod=f"pod-{uid}", uid=uid, agent="default", labels={}, release="0.1.0",
        bundle=bundle, overlay=bundle, origin=Origin.REDIS,
    )  # fmt: skip


class _Parts:
    def __init__(self) -> None:
        self.registry = metrics.registry()
        self.marked: list[str] = []
        self.regained: list[str] = []
        self.store = MemoryStore()
        board = Board("mesh7-system", lambda _: None)
        there = seen.Namespace(
            revision=1, uid="n1", labels={names.INJECTION_LABEL: "enabled"}, annotations={}
        )
        board.tell(seen.Snapshot(name="shop", namespaces=(there,)))
        self.acknowledgements = Acknowledgements(
            board=board,
            store=self.store,
            mark=self.marked.append,
            clock=Clock(wall_ns=lambda: NOW_NS, monotonic_s=lambda: 0.0),
            metrics=metrics.ControllerMetrics(self.registry),
            regained=lambda: self.regained.append("store"),
        )

    async def look(self, *reports: Report) -> list[str]:
        """A round with these reports; whom it marked."""
        self.store.kept["shop"] = Published(
            bundle=VERSION, reports={report.uid: report for report in reports}
        )
        self.marked.clear()
        await self.acknowledgements.look()
        return list(self.marked)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


PLAN = Plan(namespace="shop", bundle_version=VERSION, bundle_bytes=900)


async def test_only_what_changed_is_reconciled() -> None:
    parts = _Parts()
    assert "shop" in await parts.look(_report("a", VERSION))
    assert await parts.look(_report("a", VERSION)) == []
    assert await parts.look(_report("a", VERSION), _report("b", VERSION)) == ["shop"]


async def test_a_lost_store_concerns_everybody_and_is_shown() -> None:
    parts = _Parts()
    await parts.look()
    parts.store.state = StoreState.LOST
    assert await parts.look() == ["shop"]
    assert parts.value("mesh7_store_state", state="lost") == 1
    assert parts.value("mesh7_store_state", state="connected") == 0
    assert await parts.look() == []


async def test_a_store_that_comes_back_is_looked_at_at_once() -> None:
    """docs/administrator/redis.md: its users may have gone with what it knew."""
    parts = _Parts()
    await parts.look()
    parts.store.state = StoreState.LOST
    await parts.look()
    assert parts.regained == []
    parts.store.state = StoreState.CONNECTED
    await parts.look()
    await parts.look()
    assert parts.regained == ["store"]


async def test_the_way_of_a_bundle_is_measured_once_for_each_sidecar() -> None:
    """From its version, which is a time, to the first report of it."""
    parts = _Parts()
    parts.acknowledgements.settled(PLAN)
    await parts.look(_report("a", VERSION), _report("b", VERSION - 1))
    await parts.look(_report("a", VERSION), _report("b", VERSION - 1))
    assert parts.value("mesh7_propagation_seconds_count") == 1
    assert parts.value("mesh7_propagation_seconds_sum") == 1.5
    assert parts.value("mesh7_stale_sidecars", namespace="shop") == 1
    await parts.look(_report("a", VERSION), _report("b", VERSION))
    assert parts.value("mesh7_propagation_seconds_count") == 2
    assert parts.value("mesh7_stale_sidecars", namespace="shop") == 0


async def test_a_namespace_that_left_leaves_no_series() -> None:
    parts = _Parts()
    parts.acknowledgements.settled(PLAN)
    await parts.look(_report("a", VERSION))
    assert parts.value("mesh7_bundle_version", namespace="shop") == VERSION
    parts.acknowledgements.settled(replace(PLAN, bundle_version=0, bundle_bytes=0))
    for name in ("mesh7_bundle_version", "mesh7_bundle_bytes", "mesh7_stale_sidecars"):
        assert parts.value(name, namespace="shop") is None


@pytest.mark.promise("K12")
async def test_made_up_sidecars_are_forgotten_when_they_no_longer_report() -> None:
    """R1, 14: each round brought thousands of other uids, and all were remembered."""
    parts = _Parts()
    parts.acknowledgements.settled(PLAN)
    for turn in range(3):
        made_up = [_report(f"{turn}-{at}", VERSION) for at in range(50)]
        await parts.look(_report("real", VERSION), *made_up)
        assert parts.acknowledgements.remembered == 51
    assert parts.value("mesh7_propagation_seconds_count") == 151


async def test_what_sidecars_report_is_compared_whatever_its_order() -> None:
    parts = _Parts()
    await parts.look(_report("a", VERSION), _report("b", VERSION))
    assert await parts.look(_report("b", VERSION), _report("a", VERSION)) == []
    assert await parts.look(_report("b", VERSION), _report("a", VERSION - 1)) == ["shop"]
