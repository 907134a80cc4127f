"""A ledger that forgot that an approval was used: the gateway's journal did not, nothing runs."""

import shutil
from pathlib import Path

import pytest

from tests.peers import redis_servers
from tests.sidecar.doors import parts as doors
from tests.sidecar.doors.shop import POLICY, Told
from tests.sidecar.shared import parts
from tests.sidecar.shared.parts import Node, Till

VALKEY = redis_servers.programs()["valkey"]


async def refuses_the_used_and_asks_anew(served: Node, till: Till, request_id: str) -> None:
    """The ledger says approved; the repeat runs nothing, and the next one asks people."""
    assert (await served.request(request_id))["state"] == "approved"
    told = await served.pay()
    assert (told.reason, told.request_id, told.replay_of) == ("outcome-unknown", request_id, "")
    assert till.calls("pay") == 1
    # The ledger was reminded: with what had become of it.
    used = await served.request(request_id)
    assert (used["state"], used["outcome"]) == ("used", "ok")
    anew = await served.pay()
    assert anew.reason == "approval-required"
    assert anew.request_id != request_id
    await served.people.approve(anew.request_id)
    assert await served.pay() == Told(text="receipt 2")
    assert till.calls("pay") == 2


@pytest.mark.promise("A2")
async def test_an_older_ledger_file_does_not_run_an_approved_call_again(tmp_path: Path) -> None:
    """Issue 4, shown by: a backup of `ledger.db` from before the call ran is put back."""
    place = tmp_path / "one"
    ledger, backup = place / "state" / "ledger.db", tmp_path / "backup.db"
    async with parts.opened_till() as till:
        source = doors.source("shop", till.source.url)
        async with parts.node(place, source, POLICY, arguments=parts.AT_ONCE) as served:
            held = await served.pay()
            await served.people.approve(held.request_id)
            assert await parts.stopped(served) == 0
        shutil.copy(ledger, backup)
        async with parts.node(place, arguments=parts.AT_ONCE) as served:
            assert await served.pay() == Told(text="receipt 1")
            assert await parts.stopped(served) == 0
        for left in place.glob("state/ledger.db*"):
            left.unlink()
        shutil.copy(backup, ledger)
        async with parts.node(place, arguments=parts.AT_ONCE) as served:
            await refuses_the_used_and_asks_anew(served, till, held.request_id)


@pytest.mark.promise("A2", "L8")
async def test_a_fail_over_to_a_replica_that_was_behind_runs_nothing_again(tmp_path: Path) -> None:
    """Issue 4, shown by and faults: the replica knows the approval, and not its use."""
    place = tmp_path / "one"
    with (
        redis_servers.running(VALKEY, tmp_path / "first") as first,
        redis_servers.running(
            VALKEY, tmp_path / "second", [f"replicaof 127.0.0.1 {first.port}"]
        ) as second,
    ):
        async with parts.opened_till() as till, redis_servers.proxying(first.port) as proxy:
            source = doors.source("shop", till.source.url)
            async with parts.node(
                place, source, POLICY, arguments=parts.AT_ONCE, redis_port=proxy.port
            ) as served:
                held = await served.pay()
                await served.people.approve(held.request_id)
                first.tell("SET", "mark", 1)
                await second.eventually("GET", "mark", answers=b"1")
                second.tell("REPLICAOF", "NO", "ONE")
                assert await served.pay() == Told(text="receipt 1")
                first.kill()
                proxy.leads_to = second.port
                proxy.cut()
                await served.until_well()
                assert (await served.request(held.request_id))["state"] == "approved"
                # For a minute the gateway itself has the result, whatever the ledger says.
                assert await served.pay() == Told(text="receipt 1", replay_of=held.request_id)
                assert await parts.stopped(served) == 0
            async with parts.node(place, arguments=parts.AT_ONCE, redis_port=proxy.port) as served:
                await refuses_the_used_and_asks_anew(served, till, held.request_id)
