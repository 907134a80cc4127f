"""People stop agents while the store is away or the disk is full, and a restart lifts nothing."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from tests.conftest import Eventually
from tests.peers import redis_servers
from tests.sidecar.doors import parts as doors
from tests.sidecar.lifecycle import parts as lifecycle
from tests.sidecar.shared import parts
from tests.sidecar.shared.parts import LOSING, Node
from tests.sidecar.shared.test_full_state_folder import full_disk

VALKEY = redis_servers.programs()["valkey"]


def stored(served: Node) -> list[str]:
    """Names of the grants and vetoes in the ledger's file."""
    with contextlib.closing(sqlite3.connect(served.state / "ledger.db")) as file:
        return [name for (name,) in file.execute("SELECT key FROM standing")]


@pytest.mark.promise("A10")
async def test_a_restart_while_the_store_is_away_lifts_no_kill(tmp_path: Path) -> None:
    """All vetoes were gone, and `mesh7 status` showed none."""
    with redis_servers.running(VALKEY, tmp_path / "store", ["appendonly yes"]) as server:
        async with parts.opened_till() as till:
            source, place = doors.source("shop", till.source.url), tmp_path / "one"
            async with parts.node(
                place, source, LOSING, arguments=parts.AT_ONCE, redis_port=server.port
            ) as served:
                killed = await lifecycle.mesh7("kill", "--yes", "--state", served.state)
                assert (killed.code, killed.err) == (0, "")
                await served.kill()
            server.kill()
            async with parts.node(place, arguments=parts.AT_ONCE, redis_port=server.port) as served:
                assert (await served.call("peek")).reason == "vetoed"
                assert (await lifecycle.status(served.state))["standing"]["vetoes"] == 1
                server.start()
                await served.until_well()
                assert (await served.call("peek")).reason == "vetoed"
                name = killed.out.split("mesh7 revoke ")[1].strip("`\n")
                lifted = await lifecycle.mesh7("revoke", name, "--state", served.state)
                assert lifted.code == 0, lifted.err
                assert (await served.call("peek")).reason == ""
            assert till.calls("peek") == 1


@pytest.mark.promise("A10")
async def test_a_gateway_that_never_saw_its_store_lets_nothing_pass(
    tmp_path: Path, eventually: Eventually
) -> None:
    """A fresh state folder knows no veto; until they are read each call is refused."""
    with redis_servers.running(VALKEY, tmp_path / "store") as server:
        server.kill()
        async with (
            parts.opened_till() as till,
            parts.node(
                tmp_path / "one", doors.source("shop", till.source.url), LOSING,
                arguments=parts.AT_ONCE, redis_port=server.port,
            ) as served,
        ):  # fmt: skip
            told = await served.call("peek")
            assert told.reason == "vetoed"
            assert "the vetoes in force cannot be read yet" in told.text
            # A kill needs no store, and stands when what was not known is.
            killed = await lifecycle.mesh7("kill", "--yes", "--state", served.state)
            assert killed.code == 0, killed.err
            assert "in force in this gateway alone" in killed.err
            server.start()
            await served.until_well()
            await eventually(lambda: server.tell("HLEN", "m7:{default}:standing") == 1)
            assert (await served.call("peek")).reason == "vetoed"
            assert till.calls("peek") == 0


@pytest.mark.promise("A10")
async def test_a_kill_on_a_full_disk_holds_at_once_and_is_stored_when_there_is_room(
    tmp_path: Path, eventually: Eventually
) -> None:
    """Issue 4, faults: it was answered 503, and the agent went on."""
    place = tmp_path / "one"
    async with parts.opened_till() as till:
        source = doors.source("shop", till.source.url)
        async with parts.node(place, source, LOSING, arguments=parts.AT_ONCE) as served:
            with full_disk(served):
                status, made = await served.control("POST", "/kill", {"reason": "stop"})
                assert status == 201, made
                assert "it is in force in this gateway alone" in str(made["note"])
                assert (await served.call("peek")).reason == "vetoed"
            await served.until_well()
            await eventually(lambda: stored(served) == [made["name"]])
            assert await parts.stopped(served) == 0
        async with parts.node(place, arguments=parts.AT_ONCE) as served:
            assert (await served.call("peek")).reason == "vetoed"
        assert till.calls("peek") == 0
