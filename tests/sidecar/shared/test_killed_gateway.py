"""A gateway that is killed in the middle of things, and the one that is started after it."""

import asyncio
import contextlib
import sqlite3
from array import array
from pathlib import Path

import aiohttp
import pytest

from tests.peers import redis_servers
from tests.sidecar.doors import parts as doors
from tests.sidecar.doors.shop import POLICY, Told
from tests.sidecar.lifecycle import parts as lifecycle
from tests.sidecar.shared import parts
from tests.sidecar.shared.parts import Node, Till

VALKEY = redis_servers.programs()["valkey"]


async def killed_while_it_runs(served: Node, till: Till) -> str:
    """SIGKILL between claim and result; the id of the request that was used."""
    held = await served.pay()
    await served.people.approve(held.request_id)
    till.open.clear()
    calling = asyncio.create_task(served.pay())
    async with asyncio.timeout(parts.PATIENCE_S):
        await till.begun.wait()
    await served.kill()
    till.open.set()
    with pytest.raises(aiohttp.ClientError):
        await calling
    return held.request_id


async def is_used_for_ever(served: Node, till: Till, request_id: str) -> None:
    """Its outcome is unknown, it is not run again, and a repeat asks people anew."""
    request = await served.request(request_id)
    assert (request["state"], request["outcome"]) == ("used", "")
    anew = await served.pay()
    assert anew.reason == "approval-required"
    assert anew.request_id != request_id
    assert till.calls("pay") == 1
    # Whoever decides sees that it may have run a moment ago.
    ran = (await served.request(anew.request_id))["ranBefore"]
    assert isinstance(ran, list)
    assert [(each["id"], each["outcome"]) for each in ran] == [(request_id, "")]
    await served.people.approve(anew.request_id)
    assert await served.pay() == Told(text="receipt 2")


@pytest.mark.promise("A2")
@pytest.mark.parametrize("home", ["sqlite", "redis"])
async def test_a_gateway_killed_between_claim_and_result_runs_nothing_a_second_time(
    tmp_path: Path, home: str
) -> None:
    """Issue 4, faults: it counts as used with outcome unknown and never runs again."""
    place = tmp_path / "one"
    with redis_servers.running(VALKEY, tmp_path / "store") as server:
        port = server.port if home == "redis" else 0
        async with parts.opened_till() as till:
            source = doors.source("shop", till.source.url)
            async with parts.node(
                place, source, POLICY, arguments=parts.AT_ONCE, redis_port=port
            ) as served:
                used = await killed_while_it_runs(served, till)
            async with parts.node(place, arguments=parts.AT_ONCE, redis_port=port) as served:
                await is_used_for_ever(served, till, used)


@pytest.mark.promise("A4", "D40", "L3")
@pytest.mark.parametrize("home", ["sqlite", "redis"])
async def test_a_request_outlives_a_killed_gateway_and_its_approval_runs_once(
    tmp_path: Path, home: str
) -> None:
    """Issue 4: restart keeps pending requests, with their trace; the repeat joins the same one."""
    place = tmp_path / "one"
    with redis_servers.running(VALKEY, tmp_path / "store") as server:
        port = server.port if home == "redis" else 0
        async with parts.opened_till() as till:
            source = doors.source("shop", till.source.url)
            async with parts.node(place, source, POLICY, redis_port=port) as served:
                calling = asyncio.create_task(served.pay())
                (asked,) = await served.people.asked()
                await served.kill()
                with pytest.raises(aiohttp.ClientError):
                    await calling
            async with parts.node(place, redis_port=port) as served:
                (kept,) = await served.requests()
                assert kept == asked | {"waiting": 0}
                repeat = asyncio.create_task(served.pay())
                await served.people.look_twice()
                await served.people.approve(asked["id"])
                assert await repeat == Told(text="receipt 1")
                assert (await served.ended(str(asked["id"])))["outcome"] == "ok"
                assert len(await served.requests("all")) == 1
        assert till.calls("pay") == 1


@pytest.mark.promise("L8", "A9", "A10")
async def test_what_people_did_outlives_a_kill_and_so_do_counts_on_the_disk(
    tmp_path: Path,
) -> None:
    """Issue 4: a SIGKILL may lose the last 50 ms of counts, never an approval or a grant."""
    policy = parts.limited("name: looks, per: Agent, max: 5, window: 1h")
    place = tmp_path / "one"
    async with parts.opened_till() as till:
        source = doors.source("shop", till.source.url)
        async with parts.node(place, source, policy, arguments=parts.AT_ONCE) as served:
            for number in range(3):
                assert (await served.look(number)).reason == ""
            await lifecycle.eventually(lambda: counted_on_disk(served.state) == 3)
            held = await served.pay(7)
            await served.people.approve(held.request_id)
            granted, _ = await served.control("POST", "/grants", GRANT)
            killed, kill = await served.control("POST", "/kill", {"agent": "other", "reason": "x"})
            assert (granted, killed) == (201, 201)
            assert await served.pay(8) == Told(text="receipt 1")
            await served.kill()
        async with parts.node(place, arguments=parts.AT_ONCE) as served:
            assert await served.pay(7) == Told(text="receipt 2")
            assert await served.pay(9) == Told(text="receipt 3"), "the grant stands"
            _, found = await served.control("GET", "/grants")
            grants = found["grants"]
            assert isinstance(grants, list)
            assert {each["effect"] for each in grants} == {"Allow", "Deny"}
            assert kill["name"] in {each["name"] for each in grants}
            reasons = [(await served.look(number)).reason for number in range(10, 13)]
            assert reasons == ["", "", "limit-exceeded"]


def counted_on_disk(state: Path) -> int:
    """How many calls stand in the windows of the ledger's file: all stamps, then all counts."""
    with contextlib.closing(sqlite3.connect(state / "ledger.db")) as file:
        windows = [array("q", row[0]) for row in file.execute("select cells from windows")]
    return sum(sum(cells[len(cells) // 2 :]) for cells in windows)


GRANT = {
    "tool": "shop.pay", "forSeconds": 600, "uses": 3, "when": "args.amount > 7",
    "reason": "a long day", "agent": None, "policy": None,
}  # fmt: skip
