"""The disk under the state folder takes nothing any more: what is refused, what goes on.

The kernel refuses the gateway process every further byte of a file (`RLIMIT_FSIZE`), as a full
disk does; that works as any user. It is set on the running process, so the test runs on Linux.
"""

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers import redis_servers
from tests.sidecar.doors import parts as doors
from tests.sidecar.shared import parts
from tests.sidecar.shared.parts import LOSING, Node

VALKEY = redis_servers.programs()["valkey"]
LOST = ("limit-unavailable", "", "", "approval-unavailable")
WELL = ("", "", "", "approval-required")


@contextlib.contextmanager
def full_disk(served: Node) -> Iterator[None]:
    """No file of the gateway can grow while the block runs."""
    pid = served.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.promise("L6", "L8", "A4")
async def test_a_full_state_folder_is_a_lost_ledger_until_there_is_room(tmp_path: Path) -> None:
    """Issue 4, faults: approvals refuse, limits do what they say, and all comes back."""
    place = tmp_path / "one"
    async with parts.opened_till() as till:
        source = doors.source("shop", till.source.url)
        async with parts.node(place, source, LOSING, arguments=parts.AT_ONCE) as served:
            assert await served.each() == WELL
            (asked,) = await served.requests()
            with full_disk(served):
                # Counts are written behind: the first call that cannot be written still passed.
                await parts.until_told(served.look, lambda told: told.reason == "limit-unavailable")
                assert await served.each() == LOST
                assert f"`{served.state}/ledger.db` cannot be written" in await served.trouble()
                status, _ = await served.control(
                    "POST", f"/requests/{asked['id']}/approve", {"reason": ""}
                )
                assert status == 503
            await served.until_well()
            assert [one["id"] for one in await served.requests()] == [asked["id"]]
            await served.people.approve(asked["id"])
            assert (await served.call("pay")).text == "receipt 1"
            await parts.until_told(served.look, lambda told: told.reason == "")
            assert "the ledger is written again" in served.logged
            assert await parts.stopped(served) == 0
        async with parts.node(place, arguments=parts.AT_ONCE) as served:
            assert (await served.request(str(asked["id"])))["state"] == "used"
        assert till.calls("pay") == 1


@pytest.mark.promise("A2", "L6")
async def test_without_room_for_the_journal_nothing_approved_runs_and_limits_count_in_redis(
    tmp_path: Path,
) -> None:
    """Issue 4, faults: what cannot be claimed on disk first is not run; the approval stays."""
    with redis_servers.running(VALKEY, tmp_path / "store") as server:
        async with (
            parts.opened_till() as till,
            parts.node(
                tmp_path / "one", doors.source("shop", till.source.url), LOSING,
                arguments=parts.AT_ONCE, redis_port=server.port,
            ) as served,
        ):  # fmt: skip
            assert await served.each() == WELL
            (asked,) = await served.requests()
            await served.people.approve(asked["id"])
            with full_disk(served):
                refused = await served.call("pay")
                assert refused.reason == "approval-unavailable"
                assert (await served.call("stare")).reason == ""
                assert (await served.request(str(asked["id"])))["state"] == "approved"
            assert till.calls("pay") == 0
            assert (await served.call("pay")).text == "receipt 1"
            assert (await served.ended(str(asked["id"])))["outcome"] == "ok"
