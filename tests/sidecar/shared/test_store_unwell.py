"""The store of a gateway's limits is there and does not do what it should: blocked, slow, full."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from tests.peers import redis_servers
from tests.sidecar.doors import parts as doors
from tests.sidecar.shared import parts
from tests.sidecar.shared.parts import LOSING

VALKEY = redis_servers.programs()["valkey"]
LOST = ("limit-unavailable", "", "", "approval-unavailable")
WELL = ("", "", "", "approval-required")


@pytest.mark.promise("L6")
async def test_callers_of_a_blocked_store_are_answered_while_it_is_blocked(tmp_path: Path) -> None:
    """Issue 4, faults: blocked for seconds; afterwards all is as before."""
    with redis_servers.running(VALKEY, tmp_path / "store") as server:
        async with (
            parts.opened_till() as till,
            parts.node(
                tmp_path / "one", doors.source("shop", till.source.url), LOSING,
                arguments=parts.TWO_REPLICAS, redis_port=server.port,
            ) as served,
        ):  # fmt: skip
            assert await served.each() == WELL
            server.freeze()
            assert await served.each() == LOST
            assert "does not answer within a second" in await served.trouble()
            assert (await served.look()).reason == "limit-unavailable"
            server.thaw()
            await served.until_well()
            assert await served.each() == WELL
            assert len(await served.requests()) == 1


@pytest.mark.promise("L1", "A2")
async def test_a_slow_store_is_waited_for_and_counts_and_asks_as_always(tmp_path: Path) -> None:
    """Issue 4, faults: slow (200 ms added)."""
    policy = parts.limited("name: looks, per: Agent, max: 20, window: 1h")
    with redis_servers.running(VALKEY, tmp_path / "store") as server:
        async with (
            parts.opened_till() as till,
            redis_servers.proxying(server.port) as proxy,
            parts.node(
                tmp_path / "one", doors.source("shop", till.source.url), policy,
                arguments=parts.AT_ONCE, redis_port=proxy.port,
            ) as served,
        ):  # fmt: skip
            proxy.delay_s = 0.2
            asking = [served.look(number) for number in range(50)]
            told = Counter(each.reason for each in await asyncio.gather(*asking))
            assert told == {"": 20, "limit-exceeded": 30}
            held = await served.pay()
            await served.people.approve(held.request_id)
            assert (await served.pay()).text == "receipt 1"
            assert await served.trouble() == ""
            assert till.calls("look") == 20


@pytest.mark.promise("L6", "L8")
async def test_a_read_only_replica_is_lost_until_the_address_leads_to_the_primary(
    tmp_path: Path,
) -> None:
    """Issue 4, faults: read-only, and failed over: what was counted is known at the new place."""
    with (
        redis_servers.running(VALKEY, tmp_path / "first") as first,
        redis_servers.running(VALKEY, tmp_path / "second") as second,
    ):
        async with (
            parts.opened_till() as till,
            redis_servers.proxying(first.port) as proxy,
            parts.node(
                tmp_path / "one", doors.source("shop", till.source.url), LOSING,
                arguments=parts.TWO_REPLICAS, redis_port=proxy.port,
            ) as served,
        ):  # fmt: skip
            assert await served.each() == WELL
            second.tell("REPLICAOF", "127.0.0.1", first.port)
            first.tell("SET", "mark", 1)
            await second.eventually("GET", "mark", answers=b"1")
            second.tell("REPLICAOF", "NO", "ONE")
            first.tell("REPLICAOF", "127.0.0.1", second.port)
            assert await served.each() == LOST
            assert "read-only replica" in served.logged
            proxy.leads_to = second.port
            await served.until_well()
            assert await served.each() == WELL
            assert len(await served.requests()) == 1
            told = [(await served.call("stare")).reason for _ in range(9)]
            assert told == [*[""] * 8, "limit-exceeded"], "ten in all, two of them before"


@pytest.mark.promise("L6")
async def test_a_store_without_memory_takes_nothing_and_loses_nothing(tmp_path: Path) -> None:
    """Issue 4, faults: out of memory (`maxmemory`, `noeviction`)."""
    with redis_servers.running(
        VALKEY, tmp_path / "store", ["maxmemory-policy noeviction"]
    ) as server:
        async with (
            parts.opened_till() as till,
            parts.node(
                tmp_path / "one", doors.source("shop", till.source.url), LOSING,
                arguments=parts.TWO_REPLICAS, redis_port=server.port,
            ) as served,
        ):  # fmt: skip
            assert await served.each() == WELL
            (asked,) = await served.requests()
            server.tell("CONFIG", "SET", "maxmemory", 1)
            assert await served.each() == LOST
            assert "memory is full" in await served.trouble()
            status, _ = await served.control(
                "POST", f"/requests/{asked['id']}/approve", {"reason": ""}
            )
            assert status == 503
            server.tell("CONFIG", "SET", "maxmemory", 0)
            assert await served.each() == WELL
            assert await served.trouble() == ""
            await served.people.approve(asked["id"])
            assert (await served.call("pay")).text == "receipt 1"
