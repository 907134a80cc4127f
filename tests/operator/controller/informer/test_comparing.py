"""What the watch does not tell: found by lists of our own, or a reason to begin anew."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mesh7_operator import metrics
from mesh7_operator.cluster import resources
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.controller.informer import seen
from mesh7_operator.controller.informer.board import Board
from mesh7_operator.controller.informer.comparing import StaleError
from mesh7_operator.controller.informer.listing import Ear
from mesh7_operator.reconciling.world import Delivered
from tests.conftest import Eventually
from tests.fakes import api_server as fakes

LONG_S = 3600.0
GRANT: dict[str, Any] = {"metadata": {"namespace": "shop", "name": "stop"}, "spec": {}}


class _Compared:
    """A board whose watch is deaf.

    Attributes:
        ear: doubts for a moment alone.
    """

    def __init__(self, server: fakes.ApiServer, api: ApiServer) -> None:
        self.server = server
        self.board = Board("mesh7-system", lambda _: None)
        self.ear = Ear(api, self.board, doubt_s=1.0)

    def tell(self, *values: dict[str, Any]) -> None:
        grants = tuple(seen.object_of(one) for one in values)
        self.ear.tell(seen.Snapshot(name="shop", grants=grants))

    def doubts_for(self, seconds: float) -> None:
        """Whatever takes longer begins anew: so long, that no pause of a machine counts."""
        self.ear._doubt_s = seconds  # noqa: SLF001

    def doubts_since(self) -> float | None:
        """When the grants that are listed were first found not to be told."""
        doubt = self.ear._doubts.get(resources.GRANTS.kind)  # noqa: SLF001
        return None if doubt is None else doubt.since_s

    @contextmanager
    def running(self) -> Iterator[asyncio.Task[None]]:
        task = asyncio.ensure_future(self.ear.run())
        try:
            yield task
        finally:
            task.cancel()


@pytest.fixture
async def compared() -> AsyncIterator[_Compared]:
    measured = metrics.ApiMetrics(metrics.registry())
    async with fakes.serving() as server, ApiServer(server.connection, measured) as api:
        yield _Compared(server, api)


async def _ends(task: asyncio.Task[None]) -> None:
    async with asyncio.timeout(30):
        await task


@pytest.mark.promise("K8")
async def test_what_is_listed_and_never_told_of_has_all_begin_anew(compared: _Compared) -> None:
    """Found in review: after an etcd restore the old world was served, and all looked well."""
    compared.server.put(resources.GRANTS, GRANT)
    compared.ear.look_everywhere()
    with compared.running() as task, pytest.raises(StaleError, match="watch Grant: 1 objects"):
        await _ends(task)


@pytest.mark.promise("K8")
async def test_what_is_listed_in_another_version_for_long_has_all_begin_anew(
    compared: _Compared,
) -> None:
    compared.tell(compared.server.put(resources.GRANTS, GRANT))
    compared.server.put(resources.GRANTS, {**GRANT, "spec": {"effect": "Deny"}})
    compared.ear.look_everywhere()
    with compared.running() as task, pytest.raises(StaleError, match="does not tell"):
        await _ends(task)


async def test_what_is_on_its_way_is_waited_for(
    compared: _Compared, eventually: Eventually
) -> None:
    made = compared.server.put(resources.GRANTS, GRANT)
    compared.doubts_for(LONG_S)
    compared.ear.look_everywhere()
    with compared.running() as task:
        await eventually(lambda: compared.doubts_since() is not None)
        compared.tell(made)
        compared.doubts_for(0.0)
        compared.ear.look_everywhere()
        await eventually(lambda: compared.doubts_since() is None)
        assert not task.done()


async def test_an_object_that_changes_all_the_time_is_no_doubt(
    compared: _Compared, eventually: Eventually
) -> None:
    """Whoever writes an object again and again must not end the leader."""
    compared.tell(compared.server.put(resources.GRANTS, GRANT))
    compared.doubts_for(LONG_S)
    with compared.running() as task:
        begun: list[float | None] = [None]
        for number in range(4):
            compared.server.put(resources.GRANTS, {**GRANT, "spec": {"reason": str(number)}})
            compared.ear.look_everywhere()
            # Each version's doubt begins anew: none is ever old enough.
            await eventually(lambda: compared.doubts_since() not in begun)
            begun.append(compared.doubts_since())
        assert not task.done()


async def test_what_we_deleted_and_a_finalizer_holds_is_no_doubt(
    compared: _Compared, eventually: Eventually
) -> None:
    """Found while fixing: a tenant with a finalizer must not end the leader every few minutes."""
    held = {
        "namespace": "shop",
        "name": "mesh7-bundle",
        "deletionTimestamp": "2026-11-21T10:00:00Z",
    }
    made = compared.server.put(resources.CONFIG_MAPS, {"metadata": held})
    compared.board.tell(seen.Snapshot(name="shop", config_maps=(seen.config_map_of(made),)))
    compared.board.deleted_config_map("shop")
    compared.ear.look_everywhere()
    with compared.running() as task:
        for _ in range(3):
            compared.ear.look_everywhere()
            before = len(compared.server.asked)
            await eventually(lambda before=before: len(compared.server.asked) > before + 9)  # type: ignore[misc]
        assert not task.done()


@pytest.mark.promise("K8")
async def test_a_watch_that_goes_on_from_the_future_has_all_begin_anew(
    compared: _Compared,
) -> None:
    """An API server that was restored counts from an earlier version on."""
    compared.tell(compared.server.put(resources.GRANTS, GRANT))
    compared.ear.resumed(resources.GRANTS, 5_000)
    with compared.running() as task, pytest.raises(StaleError, match="restored from a backup"):
        await _ends(task)


@pytest.mark.promise("K9")
async def test_a_config_map_of_ours_that_nobody_told_of_is_found_to_be_gone(
    compared: _Compared, eventually: Eventually
) -> None:
    own = seen.ConfigMap(revision=9, uid="x", delivered=Delivered(bundle=b"b", overlay=None))
    compared.board.wrote_config_map("shop", own)
    compared.ear.look_everywhere()
    with compared.running():
        await eventually(lambda: compared.board.known("shop").config_map is None)
    assert list(compared.ear.vanished()) == ["x"]
