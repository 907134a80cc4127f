"""At the start all that is there is waited for, and nothing that comes later."""

import asyncio

import pytest

from mesh7_operator import metrics
from mesh7_operator.cluster import resources, shapes
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.controller.informer import listing, seen
from mesh7_operator.controller.informer.board import Board
from tests.conftest import Eventually
from tests.fakes import api_server as fakes
from tests.operator.reconciling import worlds


def _grant(at: int) -> dict[str, object]:
    written = worlds.veto(f"g{at}")
    return {**written.value, "metadata": {"name": written.name, "namespace": "shop"}}


@pytest.mark.promise("K8")
async def test_somebody_who_makes_objects_all_the_time_keeps_no_leader_from_starting(
    eventually: Eventually,
) -> None:
    """R1, 7: 30 grants a second that live for 0.3 s, and nothing was ever reconciled."""
    measured = metrics.ApiMetrics(metrics.registry())
    async with fakes.serving() as server, ApiServer(server.connection, measured) as api:
        server.put(resources.GRANTS, _grant(0))
        starting = asyncio.ensure_future(
            listing.complete(api, Board("mesh7-system", lambda _: None))
        )
        grants = resources.GRANTS.path()
        for at in range(3):
            seen_before = at + 1
            await eventually(
                lambda least=seen_before: (
                    starting.done()  # type: ignore[misc]
                    or sum(path.startswith(grants) for _, path in server.asked) >= least
                )
            )
            server.put(resources.GRANTS, _grant(at + 1))
            server.remove(resources.GRANTS, "shop", f"g{at}")
        await asyncio.wait_for(starting, 30)


async def test_what_was_there_at_the_start_is_waited_for(eventually: Eventually) -> None:
    measured = metrics.ApiMetrics(metrics.registry())
    async with fakes.serving() as server, ApiServer(server.connection, measured) as api:
        veto = server.put(resources.GRANTS, _grant(0))
        board = Board("mesh7-system", lambda _: None)
        starting = asyncio.ensure_future(listing.complete(api, board))
        grants = resources.GRANTS.path()
        await eventually(lambda: sum(one.startswith(grants) for _, one in server.asked) > 1)
        assert not starting.done()
        written = seen.object_of({**veto, "kind": "Grant"})
        assert written.uid == shapes.text(veto, "metadata", "uid")
        board.tell(seen.Snapshot(name="shop", grants=(written,)))
        await asyncio.wait_for(starting, 30)
