"""What people refuse or permit on one gateway holds on all that share its ledger."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.peers import redis_servers, stopwatches
from tests.sidecar.doors import parts as doors
from tests.sidecar.doors.shop import POLICY
from tests.sidecar.lifecycle import parts as lifecycle
from tests.sidecar.shared import parts
from tests.sidecar.shared.parts import Node, Till

VALKEY = redis_servers.programs()["valkey"]
TOLD_S = 5.0
"""Less than the ten seconds after which a gateway asks by itself; idle it takes milliseconds."""


@contextlib.asynccontextmanager
async def two_gateways(place: Path) -> AsyncIterator[tuple[Node, Node, Till, int]]:
    """Two on one store, before one till."""
    with redis_servers.running(VALKEY, place / "store") as server:
        async with parts.opened_till() as till, contextlib.AsyncExitStack() as stack:
            source = doors.source("shop", till.source.url)
            one, two = [
                await stack.enter_async_context(
                    parts.node(
                        place / name, source, POLICY,
                        arguments=parts.AT_ONCE, redis_port=server.port,
                    )
                )
                for name in ("one", "two")
            ]  # fmt: skip
            yield one, two, till, server.port


async def seconds_until(served: Node, reason: str) -> float:
    """How long it takes until a call of a gateway is answered by this reason."""
    with stopwatches.running() as passed_s:
        await parts.until_told(served.look, lambda told: told.reason == reason)
        return passed_s()


@pytest.mark.promise("A10")
async def test_the_other_gateway_is_told_of_a_kill_and_bound_by_it_until_it_is_revoked(
    tmp_path: Path,
) -> None:
    """Design 6.7: by the command that people type; and whoever starts later is bound by it too."""
    async with two_gateways(tmp_path) as (one, two, till, port):
        assert (await two.look()).reason == ""
        done = await lifecycle.mesh7("kill", "--yes", "--state", one.state, "--reason", "stop it")
        assert done.code == 0, done.err
        assert await seconds_until(two, "vetoed") < TOLD_S
        assert (await one.look()).reason == "vetoed"
        told = await two.look()
        assert "stop it" in told.text
        assert (await two.pay()).reason == "vetoed"

        await two.kill()
        reached = till.calls("look")
        async with parts.node(two.place, arguments=parts.AT_ONCE, redis_port=port) as again:
            assert (await again.look()).reason == "vetoed"
            _, found = await again.control("GET", "/grants")
            grants = found["grants"]
            assert isinstance(grants, list)
            (kill,) = grants
            revoked = await lifecycle.mesh7("revoke", kill["name"], "--state", again.state)
            assert revoked.code == 0, revoked.err
            assert await seconds_until(one, "") < TOLD_S
            assert (await again.look()).reason == ""
        assert till.calls("look") == reached + 2


@pytest.mark.promise("A9", "AG25")
async def test_the_uses_of_a_grant_made_on_one_gateway_are_counted_over_both(
    tmp_path: Path,
) -> None:
    """Issue 4: counted atomically: of 60 racing calls over both exactly 20 pass."""
    grant = {
        "tool": "shop.pay", "forSeconds": 600, "uses": 20, "when": None, "reason": "a long day",
        "agent": None, "policy": None,
    }  # fmt: skip
    async with two_gateways(tmp_path) as (one, two, till, _):
        status, made = await one.control("POST", "/grants", grant)
        assert status == 201, made
        # The first call of the other gateway that passes proves that it has heard of the grant.
        await parts.until_told(lambda: two.pay(0), lambda told: told.reason == "")
        racing = [(one, two)[number % 2].pay(number) for number in range(1, 61)]
        reasons = Counter(told.reason for told in await asyncio.gather(*racing))
        assert reasons[""] == 19
        assert till.calls("pay") == 20
        for served in (one, two):
            _, found = await served.control("GET", "/grants")
            grants = found["grants"]
            assert isinstance(grants, list)
            assert [(each["name"], each["used"]) for each in grants] == [(made["name"], 20)]
