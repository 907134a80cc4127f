"""Held calls at every door: what people decide is what happens, once."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from mesh7_core.ledger.protocol import Caps
from tests.conftest import Eventually
from tests.sidecar.doors import parts, shop
from tests.sidecar.doors.scripted_source import Talk, text_result
from tests.sidecar.doors.shop import DONE, PAID, WAYS, Pay, Told

every_way = pytest.mark.parametrize("pay", WAYS.values(), ids=list(WAYS))


def spoken(place: Path) -> list[tuple[object, object, object]]:
    """Decision, reason and outcome of every call on record, in order."""
    return [
        (each["decision"], each["reason"], each["outcome"])
        for each in parts.audited(place)
        if "decision" in each
    ]


@pytest.mark.promise("L7")
@pytest.mark.promise("A3")
@every_way
async def test_a_call_that_is_approved_while_it_is_held_gets_its_answer(
    tmp_path: Path, pay: Pay
) -> None:
    """Design 6.2: the answer is the tool's own, without a word of ours."""
    async with shop.serving_shop(tmp_path) as served:
        calling = asyncio.create_task(pay(served, 5))
        (request,) = await served.people.asked()
        assert served.runs == 0
        await served.people.approve(request["id"])
        assert await calling == DONE
        assert served.runs == 1

    assert spoken(tmp_path) == [("Allow", "approved", "ok")]


@pytest.mark.promise("L7")
@pytest.mark.promise("A3")
@every_way
async def test_a_call_that_is_denied_gets_the_persons_words_and_not_their_name(
    tmp_path: Path, pay: Pay
) -> None:
    """A3; repeats are refused as long as the denial holds."""
    async with shop.serving_shop(tmp_path) as served:
        calling = asyncio.create_task(pay(served, 5))
        (request,) = await served.people.asked()
        await served.people.deny(request["id"], "not this month")
        told = await calling
        again = await pay(served, 5)

    assert (told.reason, told.request_id) == ("denied-by-person", request["id"])
    assert "a person" in told.text
    assert "not this month" in told.text
    assert (again.reason, again.request_id) == (told.reason, told.request_id)
    assert served.runs == 0


@pytest.mark.promise("D5")
@pytest.mark.promise("A4")
@every_way
async def test_a_repeat_joins_the_pending_request_and_runs_once_when_approved(
    tmp_path: Path, pay: Pay
) -> None:
    """D5: approved while nobody waits; the repeat runs, and no new request is opened."""
    async with shop.serving_shop(tmp_path, hold_s=0.0) as served:
        held, again = await pay(served, 5), await pay(served, 5)
        (request,) = await served.people.asked()
        await served.people.approve(request["id"])
        done, repeated = await pay(served, 5), await pay(served, 5)
        other = await pay(served, 6)

    assert (held.reason, held.request_id) == ("approval-required", request["id"])
    assert again == held
    assert done == DONE
    assert repeated == Told(text=PAID, replay_of=str(request["id"]))
    assert served.runs == 1
    assert other.reason == "approval-required"
    assert other.request_id != request["id"]


@pytest.mark.promise("A2")
@pytest.mark.promise("AG14")
@every_way
async def test_a_source_that_is_edited_while_people_decide_uses_up_no_approval(
    tmp_path: Path, pay: Pay, eventually: Eventually
) -> None:
    """Its bounds are edited: the call that waits is for a source that is closed by now."""
    async with shop.serving_shop(tmp_path) as served:
        calling = asyncio.create_task(pay(served, 5))
        (request,) = await served.people.asked()
        before, folder = _digest(served), served.gateway.folder
        edited = (folder / "all.yaml").read_text(encoding="utf-8")
        parts.write(folder, edited.replace("\nspec:\n", "\nspec:\n  bounds: {timeout: 30s}\n", 2))
        await eventually(lambda: _digest(served) != before)
        await served.people.approve(request["id"])
        told, done = await calling, await pay(served, 5)

    assert told.reason == "source-unavailable"
    assert done == DONE
    assert served.runs == 1


@pytest.mark.promise("A1", "A11")
@every_way
async def test_a_yes_is_not_used_for_a_source_that_leads_elsewhere_by_now(
    tmp_path: Path, pay: Pay, eventually: Eventually
) -> None:
    """A header picks another account: the call asks again, at every door."""
    async with shop.serving_shop(tmp_path, hold_s=0.0) as served:
        folder = served.gateway.folder
        written = (folder / "all.yaml").read_text(encoding="utf-8")

        async def rewrite(text: str) -> None:
            before = _digest(served)
            parts.write(folder, text)
            await eventually(lambda: _digest(served) != before)

        first = await pay(served, 5)
        await served.people.approve(first.request_id)
        headers = "headers: [{name: x-account, value: savings}]"
        await rewrite(written.replace("\nspec:\n", f"\nspec:\n  {headers}\n", 2))
        other = await pay(served, 5)
        runs = served.runs
        await rewrite(written)
        done = await pay(served, 5)

    assert (other.reason, runs) == ("approval-required", 0)
    assert other.request_id != first.request_id
    assert done == DONE
    assert served.runs == 1


def _digest(served: shop.Shop) -> object:
    found = served.gateway.status["bundle"]
    assert isinstance(found, dict)
    return found["digest"]


@pytest.mark.promise("A7")
@pytest.mark.promise("D41")
@every_way
async def test_nothing_runs_for_a_caller_that_is_gone(tmp_path: Path, pay: Pay) -> None:
    """D41: approved after the caller left; whoever repeats the call later gets it run."""
    async with shop.serving_shop(tmp_path) as served:
        calling = asyncio.create_task(pay(served, 5))
        (request,) = await served.people.asked()
        calling.cancel()
        await asyncio.wait([calling])
        await served.people.look_twice()
        await served.people.approve(request["id"])
        assert served.runs == 0
        assert await pay(served, 5) == DONE
        assert served.runs == 1

    assert spoken(tmp_path) == [("Hold", "approval-required", "gone"), ("Allow", "approved", "ok")]


@pytest.mark.promise("A7")
@pytest.mark.promise("D1")
@every_way
async def test_racing_repeats_get_the_one_result(tmp_path: Path, pay: Pay) -> None:
    """Design 6.5: one runs, the others get its result, marked."""
    async with shop.serving_shop(tmp_path) as served:
        calling = [asyncio.create_task(pay(served, 5)) for _ in range(5)]
        (request,) = await served.people.asked()
        await served.people.approve(request["id"])
        told = await asyncio.gather(*calling)
        assert served.runs == 1

    replayed = Told(text=PAID, replay_of=str(request["id"]))
    assert sorted(told, key=lambda each: each.replay_of) == [DONE, *[replayed] * 4]


@pytest.mark.promise("L7")
@pytest.mark.promise("D1")
async def test_a_repeat_at_another_door_is_the_same_call(tmp_path: Path) -> None:
    """L7: held at one door, run at the next, replayed at the others, each in its own era."""
    async with shop.serving_shop(tmp_path, hold_s=0.0) as served:
        held = await shop.pay_v1(served, 5)
        assert (await shop.pay_legacy(served, 5)).request_id == held.request_id
        await served.people.approve(held.request_id)
        assert await shop.pay_aggregate(served, 5) == DONE
        replayed = Told(text=PAID, replay_of=held.request_id)
        for pay in (shop.pay_modern, shop.pay_legacy, shop.pay_aggregate_legacy, shop.pay_v1):
            assert await pay(served, 5) == replayed
        assert served.runs == 1


@pytest.mark.promise("L7")
@pytest.mark.promise("D4")
@every_way
async def test_a_spent_limit_says_when_to_come_back(tmp_path: Path, pay: Pay) -> None:
    """D4: limits hold on every path."""
    async with shop.serving_shop(tmp_path, shop.LIMITED) as served:
        assert await pay(served, 5) == DONE
        refused = await pay(served, 6)
        assert served.runs == 1

    assert refused.reason == "limit-exceeded"
    assert 3590 <= refused.retry_after <= 3600


@pytest.mark.promise("L7")
@pytest.mark.promise("D4")
@every_way
async def test_a_loop_is_stopped_and_another_call_is_not(tmp_path: Path, pay: Pay) -> None:
    """D4: the same arguments again are the loop; other ones are not."""
    async with shop.serving_shop(tmp_path, shop.LOOPING) as served:
        assert await pay(served, 5) == DONE
        assert await pay(served, 6) == DONE
        assert (await pay(served, 5)).reason == "loop-detected"
        assert served.runs == 2


@pytest.mark.promise("L7")
@pytest.mark.promise("D4")
@every_way
async def test_a_standing_grant_lets_the_call_through_at_once(tmp_path: Path, pay: Pay) -> None:
    """D4: nobody is asked."""
    async with shop.serving_shop(tmp_path, shop.POLICY, shop.grant(tmp_path)) as served:
        assert await pay(served, 5) == DONE

    assert spoken(tmp_path) == [("Allow", "granted", "ok")]


@pytest.mark.promise("L7")
@every_way
async def test_a_veto_stops_the_call_and_says_what_people_wrote(tmp_path: Path, pay: Pay) -> None:
    """Design 6.7: whatever a rule or a grant allows."""
    async with shop.serving_shop(tmp_path, shop.POLICY, shop.grant(tmp_path), shop.VETO) as served:
        told = await pay(served, 5)
        assert served.runs == 0

    assert told.reason == "vetoed"
    assert "stocktaking" in told.text


@pytest.mark.promise("A8")
@every_way
async def test_beyond_the_cap_a_call_is_refused_and_not_queued(tmp_path: Path, pay: Pay) -> None:
    """Design 5: the next is refused; the same call still joins its own request."""
    caps = Caps(per_pod=1, per_namespace=1)
    async with shop.serving_shop(tmp_path, hold_s=0.0, caps=caps) as served:
        held, refused, again = await pay(served, 5), await pay(served, 6), await pay(served, 5)

    assert (held.reason, refused.reason) == ("approval-required", "too-many-pending")
    assert again.request_id == held.request_id


@pytest.mark.promise("A1")
async def test_a_dry_run_says_that_people_would_be_asked_and_asks_nobody(tmp_path: Path) -> None:
    """Design 3: `/v1/decide` reserves nothing and opens nothing."""
    async with shop.serving_shop(tmp_path, hold_s=0.0) as served:
        body: dict[str, object] = {"tool": "shop.pay", "arguments": {"amount": 5}}
        dry = await served.agent.send("/v1/decide", body)
        held = await shop.pay_modern(served, 5)
        (request,) = await served.people.asked()
        await served.people.approve(request["id"])
        approved = await served.agent.send("/v1/decide", body)
        assert served.runs == 0
        assert await shop.pay_modern(served, 5) == DONE

    assert dry.json == {"decision": "Hold", "rule": shop.RULE, "reason": "approval-required"}
    assert approved.json == {"decision": "Allow", "rule": shop.RULE, "reason": "approved"}
    assert held.request_id == request["id"]


@pytest.mark.promise("A1")
async def test_an_approved_call_that_asks_back_keeps_its_approval_for_its_own_retry(
    tmp_path: Path,
) -> None:
    """Design 6.1: known by the `requestState` that the source gave, once."""

    async def ask_back(talk: Talk) -> web.StreamResponse:
        if talk.params.get("requestState") == "s1":
            return talk.answer(text_result(PAID))
        return talk.answer({"resultType": "input_required", "requestState": "s1"})

    params: dict[str, object] = {"name": "pay", "arguments": {"amount": 5}}
    async with shop.serving_shop(tmp_path, hold_s=0.0) as served:
        served.mcp.calls["pay"] = ask_back
        held = await shop.pay_modern(served, 5)
        await served.people.approve(held.request_id)
        first = await served.agent.modern("/mcp/shop", "tools/call", params)
        assert first.result["resultType"] == "input_required"
        forged = await served.agent.modern(
            "/mcp/shop", "tools/call", params | {"requestState": "s2"}
        )
        retry = await served.agent.modern(
            "/mcp/shop", "tools/call", params | {"requestState": "s1"}
        )

    assert forged.meta["mesh7.dev/decision"] == "Hold"
    assert retry.text == PAID


@pytest.mark.promise("A4")
@pytest.mark.promise("D40")
async def test_people_see_the_trace_of_the_call_that_asks(tmp_path: Path) -> None:
    """D40: with its trace id, at every door that a call can come in by."""
    traces = [f"{number:032x}" for number in range(1, 5)]
    headers = [{"traceparent": f"00-{trace}-00000000000000aa-01"} for trace in traces]
    async with shop.serving_shop(tmp_path, hold_s=0.0) as served:
        params: dict[str, object] = {"name": "pay", "arguments": {"amount": 1}}
        await served.agent.modern("/mcp/shop", "tools/call", params, **headers[0])
        params = {"name": "shop_pay", "arguments": {"amount": 2}}
        await served.agent.modern("/mcp", "tools/call", params, **headers[1])
        body: dict[str, object] = {"arguments": {"amount": 3}}
        await served.agent.send("/v1/tools/shop.pay", body, parts.JSON | headers[2])
        await served.agent.send("/http/api/pay", {"amount": 4}, parts.JSON | headers[3])
        requests = await served.people.asked(4)

    assert sorted(str(each["traceId"]) for each in requests) == traces


@pytest.mark.promise("A3")
@pytest.mark.promise("A4")
@every_way
async def test_a_gateway_that_stops_answers_its_held_calls_and_keeps_their_requests(
    tmp_path: Path, pay: Pay
) -> None:
    """Design 6.2: pending at once; after the restart the same call finds its request approved."""
    async with shop.sources() as behind:
        async with shop.serving_shop(tmp_path, behind=behind) as served:
            calling = asyncio.create_task(pay(served, 5))
            (request,) = await served.people.asked()
            await served.gateway.stop()
            told = await calling
        async with shop.serving_shop(tmp_path, behind=behind) as served:
            calling = asyncio.create_task(pay(served, 5))
            assert [each["id"] for each in await served.people.asked()] == [request["id"]]
            await served.people.approve(request["id"])
            assert await calling == DONE

    assert (told.reason, told.request_id) == ("approval-required", request["id"])
