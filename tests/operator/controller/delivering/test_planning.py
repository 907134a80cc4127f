"""Plans: what stops calls goes first, and compiling holds up nobody but the namespace itself."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from mesh7_core import names
from mesh7_core.delivery.envelopes import Kind
from mesh7_operator import metrics
from mesh7_operator.clock import Clock
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.controller.delivering.applying import Applier
from mesh7_operator.controller.delivering.gathering import Gatherer
from mesh7_operator.controller.delivering.planning import Planner
from mesh7_operator.controller.informer import seen
from mesh7_operator.controller.informer.board import Board
from mesh7_operator.controller.posting import Poster
from mesh7_operator.reconciling.compilation import Compilation, compilation_of
from mesh7_operator.reconciling.plan import Plan
from mesh7_operator.reconciling.reconcile import reconcile
from mesh7_operator.reconciling.world import Keys, Published, World, Written
from tests.conftest import Eventually
from tests.fakes import api_server as fakes
from tests.operator.controller.stores import MemoryStore
from tests.operator.reconciling import worlds

CLOCK = Clock(wall_ns=lambda: worlds.NOON_MS * 10**6, monotonic_s=lambda: 100.0)
LARGE = "large"


class _FixedKeys:
    keys: Keys = worlds.KEYS


class _Parts:
    def __init__(self, api: ApiServer) -> None:
        self.store = MemoryStore()
        self.board = Board(worlds.RELEASE, lambda _: None)
        self.may_compile = threading.Event()
        self.may_compile.set()
        self.compiled: list[World] = []
        self.gatherer = Gatherer(self.board, self.store, _FixedKeys(), worlds.RELEASE, CLOCK)
        self.planner = Planner(
            gatherer=self.gatherer,
            applier=Applier(
                api=api,
                store=self.store,
                board=self.board,
                poster=Poster(api, CLOCK),
                may_write=lambda: True,
            ),
            compile_world=self._compile,
            reconcile=reconcile,
        )
        self.aside = 0

    def _compile(self, world: World) -> Compilation:
        self.compiled.append(world)
        if world.namespace == LARGE:
            self.may_compile.wait(10)
        return compilation_of(world)

    @contextmanager
    def step_aside(self) -> Iterator[None]:
        self.aside += 1
        yield
        self.aside -= 1

    def tell(self, namespace: str, *grants: Written, policies: tuple[Written, ...] = ()) -> None:
        there = seen.Namespace(
            revision=1,
            uid=f"n-{namespace}",
            labels={names.INJECTION_LABEL: "enabled"},
            annotations={},
        )
        self.board.tell(
            seen.Snapshot(
                name=namespace,
                namespaces=(there,),
                policies=tuple(_seen(one, namespace) for one in policies),
                grants=tuple(_seen(one, namespace) for one in grants),
            )
        )

    async def plan(self, namespace: str) -> Plan:
        return await self.planner.plan(namespace, self.step_aside)

    def overlay(self, namespace: str) -> int:
        return self.store.kept.get(namespace, Published()).overlay


def _seen(written: Written, namespace: str) -> seen.Object:
    metadata = written.value["metadata"]
    assert isinstance(metadata, dict)
    value = {**written.value, "metadata": {**metadata, "namespace": namespace}}
    return seen.Object(revision=1, written=replace(written, namespace=namespace, value=value))


@pytest.fixture(name="parts")
async def make_parts() -> AsyncIterator[_Parts]:
    measured = metrics.ApiMetrics(metrics.registry())
    async with fakes.serving() as server, ApiServer(server.connection, measured) as api:
        parts = _Parts(api)
        try:
            yield parts
        finally:
            parts.may_compile.set()
            parts.planner.close()


@pytest.mark.promise("K12")
async def test_kills_go_out_while_a_large_namespace_is_compiled(
    parts: _Parts, eventually: Eventually
) -> None:
    """R1, 2: its own, and that of another namespace, which was published 43 s later."""
    parts.may_compile.clear()
    parts.tell(LARGE, worlds.veto())
    parts.tell("shop", worlds.veto())
    large = asyncio.ensure_future(parts.plan(LARGE))
    await eventually(lambda: len(parts.compiled) == 1)
    shop = asyncio.ensure_future(parts.plan("shop"))
    await eventually(lambda: bool(parts.overlay("shop")))
    assert parts.overlay(LARGE)
    assert [one.done() for one in (large, shop)] == [False, False]
    assert parts.aside
    parts.may_compile.set()
    assert [(await one).namespace for one in (large, shop)] == [LARGE, "shop"]


async def test_what_was_compiled_is_kept_though_its_plan_is_not_applied(parts: _Parts) -> None:
    """R1, 2: each attempt began again."""
    parts.tell("shop", policies=(worlds.policy(),))
    await parts.plan("shop")
    await parts.plan("shop")
    assert len(parts.compiled) == 1
    parts.tell("shop", policies=(worlds.policy(mode="Audit"),))
    await parts.plan("shop")
    parts.planner.forget("shop")
    await parts.plan("shop")
    assert len(parts.compiled) == 3


async def test_an_answer_to_one_held_call_compiles_nothing(parts: _Parts) -> None:
    """Issue 7: exact Grants come and go all day; a bundle is what all calls are judged by."""
    exact = worlds.written("Grant", "yes", {"effect": "Allow", "requestRef": {"name": "r"}})
    parts.tell("shop", policies=(worlds.policy(),))
    await parts.plan("shop")
    parts.tell("shop", exact, policies=(worlds.policy(),))
    plan = await parts.plan("shop")
    assert len(parts.compiled) == 1
    # Its status is `approving`'s.
    assert "yes" not in {one.name for one in plan.statuses}
    assert (await parts.gatherer.gather("shop")).grants == ()


async def test_an_envelope_is_asked_for_only_when_its_version_cannot_be(parts: _Parts) -> None:
    """R1, 11: what a leader with a fast clock signed counts, whoever leads now."""
    parts.tell("shop")
    soon, late = worlds.NOON_MS + 60_000, worlds.NOON_MS + 5 * 3_600_000
    parts.store.envelopes = {("shop", Kind.BUNDLE): b"theirs"}
    for bundle, doubted in ((soon, {}), (late, {Kind.BUNDLE: b"theirs"})):
        parts.store.kept["shop"] = Published(bundle=bundle)
        world = await parts.gatherer.gather("shop")
        assert world.published is not None
        assert world.published.doubted == doubted


async def test_a_world_holds_what_was_written_as_the_config_map_last(parts: _Parts) -> None:
    """R1, 13: also when somebody put an older one back, or deleted it."""
    parts.tell("shop")
    delivered = worlds.settled(worlds.world()).delivered
    assert delivered is not None
    parts.board.wrote_config_map("shop", seen.ConfigMap(revision=5, uid="m", delivered=delivered))
    parts.board.tell(seen.Snapshot(name="shop", deleted_revision=6))
    world = await parts.gatherer.gather("shop")
    assert (world.delivered, world.sealed) == (None, delivered)
    parts.board.deleted_config_map("shop")
    assert (await parts.gatherer.gather("shop")).sealed is None
