"""Three gateways on one store count as one: whoever asks whichever of them, `max` calls pass."""

import asyncio
import contextlib
from collections import Counter
from pathlib import Path

import pytest

from tests.peers import redis_servers
from tests.sidecar.doors import parts as doors
from tests.sidecar.shared import parts
from tests.sidecar.shared.parts import Node

VALKEY = redis_servers.programs()["valkey"]
HUNDRED = parts.limited("name: looks, per: Agent, max: 100, window: 1h")
MORE = parts.limited("name: looks, per: Agent, max: 200, window: 1h")
FEWER = parts.limited("name: looks, per: Agent, max: 40, window: 1h")


async def raced(nodes: list[Node], calls: int) -> Counter[str]:
    """That many calls at once, dealt to the gateways in turn: how often each reason came."""
    asking = [nodes[number % len(nodes)].look(number) for number in range(calls)]
    return Counter(told.reason for told in await asyncio.gather(*asking))


@pytest.mark.promise("L1", "L5", "D26", "AG24", "AG25")
async def test_500_racing_calls_over_three_gateways_pass_exactly_max(tmp_path: Path) -> None:
    """Issue 4, shown by; and a changed `max` holds from the next call, up and down."""
    async with parts.opened_till() as till, contextlib.AsyncExitStack() as stack:
        server = stack.enter_context(redis_servers.running(VALKEY, tmp_path / "store"))
        source = doors.source("shop", till.source.url)
        nodes = [
            await stack.enter_async_context(
                parts.node(tmp_path / name, source, HUNDRED, redis_port=server.port)
            )
            for name in ("one", "two", "three")
        ]
        assert await raced(nodes, 500) == {"": 100, "limit-exceeded": 400}
        assert till.calls("look") == 100

        await changed(nodes, source, MORE, "")
        passed = till.calls("look")
        assert await raced(nodes, 30) == {"": 30}
        await changed(nodes, source, FEWER, "limit-exceeded")
        passed += 30
        assert await raced(nodes, 30) == {"limit-exceeded": 30}
        assert passed <= till.calls("look") < 200


async def changed(nodes: list[Node], source: str, policy: str, reason: str) -> None:
    """Write another policy for all, and wait until each answers by it."""
    for served in nodes:
        doors.write(served.place / "folder", source, policy)
    for served in nodes:
        await parts.until_told(served.look, lambda told: told.reason == reason)
