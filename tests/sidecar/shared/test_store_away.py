"""The store of a gateway's limits and approvals is away: what callers and people are told."""

import time
from pathlib import Path

import pytest

from tests.peers import redis_servers
from tests.sidecar.doors import parts as doors
from tests.sidecar.lifecycle import parts as lifecycle
from tests.sidecar.shared import parts
from tests.sidecar.shared.parts import LOSING, Node

VALKEY = redis_servers.programs()["valkey"]
ON_DISK = ["appendonly yes", "appendfsync always"]
PASSWORD = "correct-horse"  # noqa: S105 - of a server that lives for one test
WRONG = "wrong-horse"
LOST = ("limit-unavailable", "", "", "approval-unavailable")
"""Deny, Allow, Local with a share left, and a call that people have to be asked about."""
WELL = ("", "", "", "approval-required")


async def people_are_told(served: Node, request_id: str) -> None:
    """Nobody can decide, and the answer says why."""
    for path in (f"/requests/{request_id}/approve", f"/requests/{request_id}/deny"):
        status, found = await served.control("POST", path, {"reason": ""})
        assert status == 503
        assert "redis at 127.0.0.1:" in str(found["detail"])
    status, _ = await served.control("GET", "/requests")
    assert status == 503


@pytest.mark.promise("L6", "L8")
async def test_while_the_store_is_killed_each_limit_does_what_it_says_and_then_all_goes_on(
    tmp_path: Path,
) -> None:
    """Issue 4, faults: Redis killed; the gateway needs no restart, and counts were kept."""
    with redis_servers.running(VALKEY, tmp_path / "store", ON_DISK) as server:
        async with (
            parts.opened_till() as till,
            parts.node(
                tmp_path / "one", doors.source("shop", till.source.url), LOSING,
                arguments=parts.TWO_REPLICAS, redis_port=server.port,
            ) as served,
        ):  # fmt: skip
            assert await served.each() == WELL
            for _ in range(8):
                assert (await served.call("stare")).reason == ""
            (asked,) = await served.requests()
            server.kill()
            assert await served.each() == LOST
            assert "redis at 127.0.0.1:" in await served.trouble()
            # Half of ten is this gateway's share, whatever was counted together before.
            assert [(await served.call("stare")).reason for _ in range(4)] == [""] * 4
            spent = await served.call("stare")
            assert (spent.reason, spent.retry_after > 3500) == ("limit-exceeded", True)
            await people_are_told(served, str(asked["id"]))

            server.start()
            await served.until_well()
            assert (await served.call("stare")).reason == ""
            assert (await served.call("stare")).reason == "limit-exceeded", "ten in all, as before"
            pending = await served.call("pay")
            assert pending.request_id == asked["id"]
            await served.people.approve(pending.request_id)
            assert (await served.call("pay")).text == "receipt 1"
            assert till.calls("pay") == 1


@pytest.mark.promise("L6", "A2")
async def test_a_store_that_came_back_empty_is_a_loss_for_one_window(tmp_path: Path) -> None:
    """Issue 4, faults: restarted empty. What was approved there is asked about anew."""
    with redis_servers.running(VALKEY, tmp_path / "store") as server:
        async with (
            parts.opened_till() as till,
            parts.node(
                tmp_path / "one", doors.source("shop", till.source.url), LOSING,
                arguments=parts.AT_ONCE, redis_port=server.port,
            ) as served,
        ):  # fmt: skip
            held = await served.pay(6)
            await served.people.approve(held.request_id)
            assert (await served.each())[:3] == ("", "", "")
            emptied_s = time.monotonic()
            server.kill()
            server.start()
            await served.until_well()
            anew = await served.pay(6)
            assert anew.reason == "approval-required"
            assert anew.request_id != held.request_id
            told = await served.look()
            # A machine may be so slow that the window is over before the first look.
            assert told.reason == "limit-unavailable" or time.monotonic() - emptied_s > 5.0
            assert (await served.call("peek")).reason == ""
            # How many gateways share it nobody has said, so there is no share.
            assert (await served.call("stare")).reason == "limit-unavailable"
            await parts.until_told(served.look, lambda told: told.reason == "")
            assert time.monotonic() - emptied_s > 5.0, "the window of the limit"
            await parts.until_told(served.look, lambda told: told.reason == "limit-exceeded")
            assert (await served.call("stare")).reason == "limit-unavailable", (
                "its hour is not over"
            )
            assert till.calls("pay") == 0


@pytest.mark.promise("L6")
async def test_with_a_wrong_password_a_gateway_starts_and_says_what_is_wrong(
    tmp_path: Path,
) -> None:
    """Issue 4, faults: it lets nothing pass before it has read the vetoes, then all goes on."""
    with redis_servers.running(VALKEY, tmp_path / "store", [f"requirepass {PASSWORD}"]) as server:
        async with (
            parts.opened_till() as till,
            parts.node(
                tmp_path / "one", doors.source("shop", till.source.url), LOSING,
                arguments=parts.AT_ONCE, redis_port=server.port,
                environment={"MESH7_REDIS_PASSWORD": WRONG},
            ) as served,
        ):  # fmt: skip
            assert await served.each() == ("vetoed",) * 4
            shown = await lifecycle.mesh7("status", "--state", served.state)
            for said in (shown.out, served.logged):
                assert "refuses the user or the password" in said
                assert WRONG not in said
            with redis_servers.Link(server.port) as link:
                link.ask("AUTH", PASSWORD)
                link.ask("CONFIG", "SET", "requirepass", WRONG)
            await served.until_well()
            await parts.until_told(
                lambda: served.call("peek"), lambda told: told.reason != "vetoed"
            )
            assert await served.each() == WELL


@pytest.mark.promise("L6")
async def test_a_deleted_function_library_is_loaded_again(tmp_path: Path) -> None:
    """Issue 4, faults: wrong version of the function library; counts are not touched by it."""
    with redis_servers.running(VALKEY, tmp_path / "store") as server:
        async with (
            parts.opened_till() as till,
            parts.node(
                tmp_path / "one", doors.source("shop", till.source.url), LOSING,
                arguments=parts.TWO_REPLICAS, redis_port=server.port,
            ) as served,
        ):  # fmt: skip
            assert await served.each() == WELL
            server.tell("FUNCTION", "FLUSH")
            assert (await served.look()).reason == "limit-unavailable"
            await parts.until_told(served.look, lambda told: told.reason == "")
            assert await served.each() == WELL
            assert "function library" in served.logged
