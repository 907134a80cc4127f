"""A gateway that is told to stop while calls wait for people, or run because people said yes."""

import asyncio
import signal
from pathlib import Path

import pytest

from tests.peers import stopwatches
from tests.sidecar.doors import parts as doors
from tests.sidecar.doors.shop import POLICY, Told
from tests.sidecar.shared import parts

AT_ONCE_S = 9.0
"""Less than the ten seconds that calls in flight get, and the fifty of a held call."""


@pytest.mark.promise("A4", "A7", "D39")
async def test_held_calls_get_the_pending_answer_at_once_when_the_gateway_stops(
    tmp_path: Path,
) -> None:
    """Design 6.2: SIGTERM answers held calls pending; people decide when it is back."""
    place = tmp_path / "one"
    async with parts.opened_till() as till:
        source = doors.source("shop", till.source.url)
        async with parts.node(place, source, POLICY) as served:
            calling = [asyncio.create_task(served.pay(amount)) for amount in (1, 2, 2)]
            asked = await served.people.asked(2)
            with stopwatches.running() as passed_s:
                served.process.process.send_signal(signal.SIGTERM)
                told = await asyncio.gather(*calling)
                assert await served.process.process.wait() == 0
                assert passed_s() < AT_ONCE_S
        assert {one.reason for one in told} == {"approval-required"}
        assert {one.request_id for one in told} == {one["id"] for one in asked}
        assert told[1].request_id == told[2].request_id
        assert "Traceback" not in served.logged
        async with parts.node(place, arguments=parts.AT_ONCE) as served:
            assert {one["id"] for one in await served.requests()} == {one["id"] for one in asked}
            await served.people.approve(told[1].request_id)
            assert await served.pay(2) == Told(text="receipt 1")
        assert till.calls("pay") == 1


@pytest.mark.promise("AG16", "A2", "D39")
async def test_an_approved_call_in_flight_is_finished_and_its_outcome_written_down(
    tmp_path: Path,
) -> None:
    """D39 and AG16: the process ends only when the ledger knows what became of the call."""
    place = tmp_path / "one"
    async with parts.opened_till() as till:
        till.open.clear()
        source = doors.source("shop", till.source.url)
        async with parts.node(place, source, POLICY) as served:
            calling = [asyncio.create_task(served.pay()) for _ in range(2)]
            (asked,) = await served.people.asked()
            await served.people.approve(asked["id"])
            async with asyncio.timeout(parts.PATIENCE_S):
                await till.begun.wait()
            served.process.process.send_signal(signal.SIGTERM)
            # The one who does not run is told at once; the one who runs gets the result.
            (first,), rest = await asyncio.wait(calling, return_when=asyncio.FIRST_COMPLETED)
            till.open.set()
            (last,) = rest
            assert (await last) == Told(text="receipt 1")
            assert (await first).request_id == asked["id"]
            assert await served.process.process.wait() == 0
        assert "Traceback" not in served.logged
        async with parts.node(place, arguments=parts.AT_ONCE) as served:
            request = await served.request(str(asked["id"]))
            assert (request["state"], request["outcome"]) == ("used", "ok")
        assert till.calls("pay") == 1
