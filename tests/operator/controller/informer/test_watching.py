"""The watch through an API server's troubles; the real one's behaviour is in e2e/api."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mesh7_core import errors
from mesh7_operator import metrics
from mesh7_operator.cluster import resources
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.controller.informer import listing
from mesh7_operator.controller.informer.board import Board
from mesh7_operator.controller.informer.watching import Watch
from tests.conftest import Eventually
from tests.fakes import api_server as fakes


@pytest.fixture
async def server() -> AsyncIterator[fakes.ApiServer]:
    async with fakes.serving() as fake:
        fake.put(resources.NAMESPACES, {"metadata": {"name": "shop"}})
        yield fake


class _Watching:
    def __init__(self, server: fakes.ApiServer, api: ApiServer) -> None:
        self.api = api
        self.marked: list[str] = []
        self.metrics = metrics.ControllerMetrics(metrics.registry())
        self.board = Board("mesh7-system", self.marked.append)
        self.ended: asyncio.Future[None]
        self.ear = listing.Ear(api, self.board)
        self.watch = Watch(server.connection, self.ear, self.metrics, patience_s=0.3)

    def names(self, kind: str) -> list[str]:
        known = self.board.known("shop")
        return [one.name for one in (*known.policies, *known.grants) if one.kind == kind]


@asynccontextmanager
async def _watching(server: fakes.ApiServer) -> AsyncIterator[_Watching]:
    measured = metrics.ApiMetrics(metrics.registry())
    async with ApiServer(server.connection, measured) as api:
        watching = _Watching(server, api)
        tasks = [asyncio.ensure_future(one) for one in (watching.watch.run(), watching.ear.run())]
        watching.ended = tasks[0]
        try:
            yield watching
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _grant(name: str) -> dict[str, Any]:
    return {"metadata": {"namespace": "shop", "name": name}, "spec": {"effect": "Allow"}}


async def test_what_changes_is_told_with_all_that_is_in_its_namespace(
    server: fakes.ApiServer, eventually: Eventually
) -> None:
    server.put(resources.GRANTS, _grant("first"))
    async with _watching(server) as watching:
        await eventually(lambda: watching.names("Grant") == ["first"])
        server.put(resources.GRANTS, _grant("second"))
        await eventually(lambda: watching.names("Grant") == ["first", "second"])
        server.remove(resources.GRANTS, "shop", "first")
        await eventually(lambda: watching.names("Grant") == ["second"])


async def test_a_grant_that_was_revoked_while_the_watch_was_lost_is_gone(
    server: fakes.ApiServer, eventually: Eventually
) -> None:
    """Issue 5: 410. kopf lists anew then, and does not notice what is no longer there."""
    server.put(resources.GRANTS, _grant("revoked"))
    server.put(resources.GRANTS, _grant("standing"))
    async with _watching(server) as watching:
        await eventually(lambda: watching.names("Grant") == ["revoked", "standing"])
        await eventually(lambda: server.is_watched(resources.GRANTS))
        watching.marked.clear()
        server.forget_watches(resources.GRANTS, ("shop", "revoked"))
        await eventually(lambda: watching.names("Grant") == ["standing"])
        assert "shop" in watching.marked
        # What it is told of the namespace later on brings nothing back.
        server.put(resources.GRANTS, _grant("third"))
        await eventually(lambda: watching.names("Grant") == ["standing", "third"])


async def test_watches_that_end_are_begun_anew_and_counted(
    server: fakes.ApiServer, eventually: Eventually
) -> None:
    """Issue 5: watch dropped."""
    async with _watching(server) as watching:
        await eventually(lambda: server.is_watched(resources.GRANTS))
        server.cut_watches()
        restarts = watching.metrics.watch_restarts.labels("Grant")
        await eventually(lambda: restarts._value.get() > 0)  # noqa: SLF001
        server.put(resources.GRANTS, _grant("late"))
        await eventually(lambda: watching.names("Grant") == ["late"])


@pytest.mark.promise("K8")
@pytest.mark.parametrize("status", [403, 429, 500, 503])
async def test_a_running_watch_that_is_put_off_goes_on(
    server: fakes.ApiServer, eventually: Eventually, status: int
) -> None:
    """Issue 5: storms of 429 and 500; an API server that starts knows no rights for a moment."""
    async with _watching(server) as watching:
        await eventually(lambda: server.is_watched(resources.GRANTS))
        server.troubled_path, server.troubles = "/grants", [(status, {})]
        server.cut_watches()
        await eventually(lambda: not server.troubles)
        server.put(resources.GRANTS, _grant("late"))
        await eventually(lambda: watching.names("Grant") == ["late"])
        assert not watching.watch.has_ended


@pytest.mark.parametrize(("status", "times"), [(401, 1), (403, 1_000)])
async def test_a_running_watch_that_is_refused_for_long_ends_with_the_servers_words(
    server: fakes.ApiServer, eventually: Eventually, status: int, times: int
) -> None:
    """Found in review: vetoes that were written since never arrived, and all looked well."""
    async with _watching(server) as watching:
        await eventually(lambda: server.is_watched(resources.GRANTS))
        server.troubled_path, server.troubles = "/grants", [(status, {})] * times
        server.cut_watches()
        with pytest.raises(errors.ClusterError, match="watch Grant: in trouble"):
            await watching.ended
        counted = watching.metrics.api.errors.labels("watch", "Grant", "forbidden")
        assert counted._value.get() > 0  # noqa: SLF001


async def test_a_watch_that_is_refused_from_the_first_ends_at_once(
    server: fakes.ApiServer,
) -> None:
    """A verb is missing in the role."""
    server.troubled_path, server.troubles = "/grants", [(403, {})]
    async with _watching(server) as watching:
        with pytest.raises(errors.ClusterError, match="watch Grant: in trouble"):
            await watching.ended


async def test_a_watch_that_got_stuck_would_not_keep_the_process(
    server: fakes.ApiServer, eventually: Eventually
) -> None:
    """Found in review: the interpreter waits for an executor's threads before it exits."""
    before = set(threading.enumerate())
    async with _watching(server):
        await eventually(lambda: server.is_watched(resources.GRANTS))
        ours = [one for one in set(threading.enumerate()) - before if one.name == "watch"]
        assert [one.daemon for one in ours] == [True]
    # And one that is not stuck ends, with whatever thread kopf had waiting for the end.
    await eventually(lambda: not (set(threading.enumerate()) - before))


async def test_nothing_is_complete_while_a_kind_cannot_be_listed(
    server: fakes.ApiServer,
) -> None:
    """Issue 5: a storm of 500 delays the start; it does not make it half of one."""
    server.put(resources.GRANTS, _grant("standing"))
    server.troubled_path, server.troubles = "/grants", [(500, {})] * 3
    async with _watching(server) as watching:
        await listing.complete(watching.api, watching.board)
        assert watching.names("Grant") == ["standing"]
        assert not watching.watch.has_ended
