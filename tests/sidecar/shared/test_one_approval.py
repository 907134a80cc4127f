"""One approval is one run: for all who repeat the call in its gateway, and in no other gateway."""

import asyncio
from pathlib import Path

import pytest

from tests.peers import redis_servers
from tests.sidecar.doors import parts as doors
from tests.sidecar.doors.shop import POLICY, Told
from tests.sidecar.shared import parts

VALKEY = redis_servers.programs()["valkey"]
REPEATS = 100


@pytest.mark.promise("A2", "A6", "D1", "AG14")
async def test_100_racing_repeats_of_an_approved_call_run_once_and_all_get_the_result(
    tmp_path: Path,
) -> None:
    """Issue 4, shown by: one runs, the others get its one result, marked."""
    async with (
        parts.opened_till() as till,
        parts.node(tmp_path / "one", doors.source("shop", till.source.url), POLICY) as served,
    ):
        calling = asyncio.create_task(served.pay())
        (asked,) = await served.people.asked()
        calling.cancel()
        await served.people.look_twice()
        await served.people.approve(asked["id"])
        told = await asyncio.gather(*(served.pay() for _ in range(REPEATS)))
        replayed = Told(text="receipt 1", replay_of=str(asked["id"]))
        assert till.calls("pay") == 1
        assert sorted(told, key=lambda one: one.replay_of) == [
            Told(text="receipt 1"),
            *[replayed] * (REPEATS - 1),
        ]
        assert await served.pay() == replayed
        request = await served.ended(str(asked["id"]))
        assert (request["state"], request["outcome"]) == ("used", "ok")


@pytest.mark.promise("A2", "D1", "AG25")
async def test_the_same_call_in_a_second_gateway_asks_for_itself(tmp_path: Path) -> None:
    """Issue 4, shown by: an approval is of one pod's call, and spent by nobody else."""
    with redis_servers.running(VALKEY, tmp_path / "store") as server:
        async with (
            parts.opened_till() as till,
            parts.node(
                tmp_path / "one", doors.source("shop", till.source.url), POLICY,
                arguments=parts.AT_ONCE, redis_port=server.port,
            ) as one,
            parts.node(
                tmp_path / "two", doors.source("shop", till.source.url), POLICY,
                arguments=parts.AT_ONCE, redis_port=server.port,
            ) as two,
        ):  # fmt: skip
            first, second = await asyncio.gather(one.pay(), two.pay())
            assert first.reason == second.reason == "approval-required"
            assert first.request_id != second.request_id
            # Whoever decides may do so at any gateway: here at the one that did not ask.
            await two.people.approve(first.request_id)
            repeats = await asyncio.gather(*(two.pay() for _ in range(REPEATS)))
            assert {told.request_id for told in repeats} == {second.request_id}
            assert till.calls("pay") == 0
            assert await one.pay() == Told(text="receipt 1")
            assert (await two.pay()).request_id == second.request_id
            assert till.calls("pay") == 1
            states = {each["id"]: each["state"] for each in await one.requests("all")}
            assert states == {first.request_id: "used", second.request_id: "pending"}
