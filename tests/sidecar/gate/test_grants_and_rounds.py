"""Standing grants, vetoes and kills in a running gate; approved calls that ask back."""

import asyncio
import json

import pytest

from mesh7_core.compiling import drafting
from mesh7_core.policy.decision import Verdict as Decided
from mesh7_core.policy.reasons import Reason
from mesh7_core.telemetry.records import Outcome
from mesh7_sidecar.gate import rounds
from mesh7_sidecar.gate.standing import StandingGrants
from mesh7_sidecar.gate.terms import HoldTerms
from tests.sidecar.gate.parts import NOON, Caller, World, held, in_a_pod_too, policy, refund


def document(name: str, **spec: object) -> str:
    return json.dumps(
        {
            "apiVersion": "mesh7.dev/v1alpha1",
            "kind": "Grant",
            "metadata": {"name": name, "creationTimestamp": "2026-11-21T12:00:00Z"},
            "spec": {"reason": "INC-1", **spec},
        }
    )


GRANT = document(
    "g",
    effect="Allow",
    subject={"serviceAccount": "support"},
    tools=["billing.create_refund"],
    policyRef={"namespace": "default", "name": "shop"},
    expiresAt="2026-11-21T12:30:00Z",
    maxUses=2,
)
KILL = json.dumps(drafting.veto(None, "stop", namespace="default", suffix="0000", now=NOON))


@pytest.mark.promise("A1")
@in_a_pod_too
async def test_a_standing_grant_lets_calls_pass_as_often_as_it_says(world: World) -> None:
    """Issue 4: bounded by the rule's `grantable`, counted atomically."""
    world.store_ms = world.wall_ns // 1_000_000
    standing = StandingGrants(world.ledger, world.current)
    await world.home.stand("g", GRANT, "ann")
    await standing.refresh()
    gate = world.gate(HoldTerms(hold_s=0.0))
    callers = [Caller(world, gate, refund(str(amount))) for amount in range(3)]
    await world.until(lambda: all(one.decision is not None for one in callers))
    standing.close()

    assert [one.reason for one in callers[:2]] == [Reason.GRANTED] * 2
    assert callers[0].decision is not None
    assert callers[0].decision.grants == ("default/g",)
    assert callers[2].decision is not None
    assert callers[2].decision.verdict is Decided.HOLD
    assert len(world.ran) == 2


@pytest.mark.promise("A1")
@in_a_pod_too
async def test_a_grant_made_while_people_are_asked_lets_the_call_go_on(world: World) -> None:
    """Design 3: decide again with fresh facts and the bundle of that moment."""
    world.store_ms = world.wall_ns // 1_000_000
    standing = StandingGrants(world.ledger, world.current)
    watching = asyncio.create_task(standing.watch())
    gate = world.gate()
    one, other = await held(world, gate), await held(world, gate)
    await world.home.stand("g", GRANT, "ann")
    await world.quiet()
    world.pass_by(1)
    await world.until(lambda: other.decision is not None)
    watching.cancel()
    standing.close()

    assert (one.reason, other.reason) == (Reason.GRANTED, Reason.GRANTED)
    assert len(world.ran) == 2


@pytest.mark.promise("D28")
@in_a_pod_too
async def test_a_kill_holds_from_the_next_call_and_for_those_who_wait(world: World) -> None:
    """Design 6.7: a kill refuses everything from the next call until it is revoked."""
    standing = StandingGrants(world.ledger, world.current)
    watching = asyncio.create_task(standing.watch())
    gate = world.gate()
    waiting = await held(world, gate)
    await world.home.stand("k", KILL, "ann")
    await world.quiet()
    free = Caller(world, gate, refund(tool="list"))
    world.pass_by(1)
    await world.until(lambda: waiting.decision is not None)
    world.ledger.lost.add("standing")
    await world.home.fall("k")
    await world.quiet()
    during = Caller(world, gate, refund(tool="list"))
    world.ledger.lost.clear()
    world.pass_by(1)
    await world.quiet()
    after = Caller(world, gate, refund(tool="list"))
    watching.cancel()
    standing.close()

    assert (free.reason, waiting.reason) == (Reason.VETOED, Reason.VETOED)
    assert during.reason is Reason.VETOED
    assert after.reason is Reason.ALLOWED_BY_RULE
    assert world.ran == [after.call]


@in_a_pod_too
async def test_a_forged_document_is_left_out_and_told_of(world: World) -> None:
    """Issue 4: forged or truncated ledger entries."""
    standing = StandingGrants(world.ledger, world.current)
    await world.home.stand("bad", GRANT[:40], "ann")
    await world.home.stand("k", KILL, "ann")
    await standing.refresh()
    standing.close()

    assert Caller(world, world.gate()).reason is Reason.VETOED


@in_a_pod_too
async def test_a_veto_survives_a_new_bundle(world: World) -> None:
    """Design 6.7: vetoes travel as the bundle's overlay."""
    standing = StandingGrants(world.ledger, world.current)
    await world.home.stand("k", KILL, "ann")
    await standing.refresh()
    world.apply(policy("\n  - {name: all, tools: ['*'], action: Allow}\n"))
    at_once = Caller(world, world.gate()).reason
    await standing.refresh()
    standing.close()

    assert (at_once, Caller(world, world.gate()).reason) == (Reason.VETOED, Reason.VETOED)


async def asked_back(world: World, state: str = "s1") -> Caller:
    """An approved call whose source wants more input."""
    caller = Caller(world, world.gate(), is_slow=True)
    await world.until(lambda: caller.request_id != "")
    await world.vote(caller.request_id)
    await world.until(lambda: caller.decision is not None)
    ask_back(caller, state)
    await world.quiet()
    return caller


def ask_back(caller: Caller, state: str) -> None:
    assert caller.decision is not None
    caller.gate.continues(caller.decision, state)
    caller.finish(keeps=False)


def retry(state: str, amount: str = "500") -> str:
    return f',"requestState": "{state}", "inputResponses": {{"ok": {amount}}}'


@pytest.mark.promise("A1")
@in_a_pod_too
async def test_the_retry_of_an_approved_call_that_asked_back_needs_no_new_yes(
    world: World,
) -> None:
    """Design 6.1: keeps its approval for the retry that carries its own `requestState`."""
    first = await asked_back(world)
    again = Caller(world, first.gate, refund(more=retry("s1")))
    await world.quiet()
    [request] = await world.requests()

    assert (again.reason, again.request_id) == (Reason.APPROVED, first.request_id)
    assert world.ran == [first.call, again.call]
    assert request.outcome == "ok"


@pytest.mark.promise("A1")
@in_a_pod_too
async def test_a_retry_counts_once_and_for_the_same_call_alone(world: World) -> None:
    """Brief: same base digest, single use each."""
    first = await asked_back(world)
    foreign = await held(world, first.gate, refund("501", more=retry("s1")))
    unknown = await held(world, first.gate, refund(more=retry("s2")))
    again = Caller(world, first.gate, refund(more=retry("s1")), is_slow=True)
    twice = await held(world, first.gate, refund(more=retry("s1", "2")))

    assert again.reason is Reason.APPROVED
    assert [one.decision for one in (foreign, unknown, twice)] == [None] * 3


@pytest.mark.promise("A1")
@in_a_pod_too
async def test_a_source_may_ask_back_ten_times(world: World) -> None:
    """Design 6.1: ten rounds at most."""
    caller = await asked_back(world, "s0")
    told = []
    for number in range(rounds.MOST_ROUNDS):
        caller = Caller(world, caller.gate, refund(more=retry(f"s{number}")), is_slow=True)
        told.append(caller.reason)
        ask_back(caller, f"s{number + 1}")
    last = await held(world, caller.gate, refund(more=retry(f"s{rounds.MOST_ROUNDS}")))

    assert told == [Reason.APPROVED] * rounds.MOST_ROUNDS
    assert last.decision is None


@pytest.mark.promise("A1")
@in_a_pod_too
async def test_a_late_retry_asks_people(world: World) -> None:
    """Brief: ten minutes."""
    first = await asked_back(world)
    world.pass_by(rounds.OPEN_S)
    late = await held(world, first.gate, refund(more=retry("s1")))

    assert late.decision is None
    assert late.request_id != first.request_id


@pytest.mark.promise("AG16")
@in_a_pod_too
async def test_a_call_that_asked_back_is_finished_by_its_last_round(world: World) -> None:
    """Until then nobody knows what came of it."""
    first = await asked_back(world)
    before = (await world.request(first.request_id)).outcome
    again = Caller(world, first.gate, refund(more=retry("s1")), is_slow=True)
    again.finish(Outcome.TOOL_ERROR)
    await world.quiet()

    assert (before, (await world.request(first.request_id)).outcome) == ("", "tool-error")


@pytest.mark.promise("A10")
@in_a_pod_too
async def test_a_veto_that_cannot_be_read_stops_everything(world: World) -> None:
    """Fail closed: what a newer version or a damaged store says may be a kill."""
    standing = StandingGrants(world.ledger, world.current)
    await world.home.stand("k", KILL[:-40], "ann")
    await standing.refresh()
    stopped = Caller(world, world.gate(), refund(tool="list"))
    await world.until(lambda: stopped.decision is not None)
    await world.home.fall("k")
    await standing.refresh()
    free = Caller(world, world.gate(), refund(tool="list"))
    await world.until(lambda: free.decision is not None)
    standing.close()

    assert stopped.reason is Reason.VETOED
    assert free.reason is not Reason.VETOED


@pytest.mark.promise("D35")
@in_a_pod_too
async def test_a_grant_that_has_ended_is_removed_an_hour_later(world: World) -> None:
    """Issue 4: nothing grows; people see for an hour what was."""
    world.store_ms = world.wall_ns // 1_000_000
    standing = StandingGrants(world.ledger, world.current)
    await world.home.stand("g", GRANT, "ann")
    await world.home.stand("k", KILL, "ann")
    await standing.refresh()
    world.store_ms += 89 * 60_000
    await standing.remove_ended()
    before = await world.home.standing()
    world.store_ms += 2 * 60_000
    await standing.remove_ended()
    after = await world.home.standing()
    standing.close()

    assert [one.name for one in before] == ["g", "k"]
    assert [one.name for one in after] == ["k"]
