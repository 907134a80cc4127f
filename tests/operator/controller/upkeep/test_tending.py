"""Redis as an installation has it: who is seen to at once, and what is asked of the API server."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from mesh7_operator import metrics, settings
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import furniture, resources
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.controller.upkeep.tending import Redis
from mesh7_operator.reconciling.world import StoreState
from tests.conftest import Eventually
from tests.fakes import api_server as fakes

CLOCK = Clock(wall_ns=time.monotonic_ns, monotonic_s=time.monotonic)
NAMESPACE = "mesh7-system"


@asynccontextmanager
async def _redis(
    chosen: settings.RedisSettings | None, enrolled: Callable[[], list[str]]
) -> AsyncIterator[tuple[fakes.ApiServer, ApiServer, Redis]]:
    measured = metrics.ApiMetrics(metrics.registry())
    controller = settings.Controller(
        cluster=settings.Cluster(release_namespace=NAMESPACE),
        identity="one",
        redis=chosen,
        is_redis_embedded=chosen is not None,
    )
    async with fakes.serving() as server, ApiServer(server.connection, measured) as api:
        server.put(resources.NAMESPACES, {"metadata": {"name": NAMESPACE}})
        told = metrics.ControllerMetrics(metrics.registry())
        yield server, api, Redis(controller, api, enrolled, clock=CLOCK, metrics=told)


async def test_without_redis_nothing_is_read_and_all_is_well() -> None:
    async with _redis(None, list) as (server, _, redis):
        await redis.read()
        await redis.tend()
        assert (redis.store.state, redis.kept, redis.is_well) == (StoreState.NONE, None, True)
        assert server.asked == []


async def test_a_namespace_that_is_newly_enrolled_is_seen_to_at_once_and_once(
    eventually: Eventually,
) -> None:
    """What it waits for is its users: else its first pods would be without Redis for a round."""
    enrolled, asked = ["shop"], list[list[str]]()

    def tended() -> list[str]:
        asked.append(list(enrolled))
        return enrolled

    async with _redis(None, tended) as (_, _, redis):
        await redis.tend()
        redis.needs("shop")
        running = asyncio.ensure_future(redis.tend_newcomers())
        try:
            enrolled.append("bank")
            redis.needs("bank")
            await eventually(lambda: len(asked) > 1)
            redis.needs("bank")
            redis.regained()
            await eventually(lambda: len(asked) > 2)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    assert asked == [["shop"], ["shop", "bank"], ["shop", "bank"]]


async def test_an_embedded_redis_gets_its_secrets_from_us() -> None:
    chosen = settings.RedisSettings(url="redis://mesh7-redis:6379", nodes=())
    async with _redis(chosen, list) as (server, api, redis):
        assert redis.kept is not None
        await redis.read()
        assert ("POST", f"/api/v1/namespaces/{NAMESPACE}/secrets") in server.asked
        assert await furniture.redis_password(api, NAMESPACE)
