"""What was approved is changed, forgotten or lost: nothing runs that people did not approve."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from typing_extensions import override

from mesh7_core.ledger.asked import Request, State
from mesh7_core.ledger.protocol import Caps, Opened
from mesh7_core.policy.decision import Decision
from mesh7_core.policy.decision import Verdict as Decided
from mesh7_core.policy.reasons import Reason
from mesh7_core.telemetry.passage import Passage
from mesh7_core.telemetry.records import Outcome
from mesh7_sidecar.gate.terms import HoldTerms
from tests.sidecar.gate.parts import (
    REFUNDS,
    Caller,
    FaultyLedger,
    World,
    held,
    in_a_pod_too,
    in_told_time,
    policy,
    refund,
)

AT_ONCE = HoldTerms(hold_s=0.0)


async def approved(world: World, terms: HoldTerms = AT_ONCE) -> Caller:
    """A caller that got the pending answer and whose request is approved by now."""
    caller = Caller(world, world.gate(terms))
    await world.until(lambda: caller.decision is not None)
    await world.vote(caller.request_id)
    return caller


async def repeated(world: World, caller: Caller, **changes: str) -> Caller:
    """The call once more, or another one."""
    repeat = Caller(world, caller.gate, refund(**changes) if changes else None)
    await world.until(lambda: repeat.decision is not None)
    return repeat


@pytest.mark.promise("A1", "AG5")
@pytest.mark.parametrize(
    "changes",
    [
        {"amount": "501"},
        {"amount": "500.0"},
        {"amount": '{"cents": 50000}'},
        {"more": ',"task": {"ttl": 5}'},
        {"pod": "pod-2"},
    ],
    ids=str,
)
def test_a_changed_call_asks_again(changes: dict[str, str], tmp_path: Path) -> None:
    """AgentGuard 5: an approval is bound to every argument, cost and nested value."""

    @in_told_time
    async def scenario(world: World) -> None:
        before = await approved(world)
        repeat = await repeated(world, before, **changes)
        assert repeat.decision is not None
        assert repeat.decision.verdict is Decided.HOLD
        assert repeat.request_id != before.request_id
        assert world.ran == []

    scenario(tmp_path)


@pytest.mark.promise("A1")
@in_a_pod_too
async def test_a_changed_definition_asks_again(world: World) -> None:
    """Issue 4: approval of a call whose tool definition changed."""
    before = await approved(world)
    world.definition = "sha256:two"
    repeat = await repeated(world, before)

    assert repeat.decision is not None
    assert repeat.decision.verdict is Decided.HOLD
    assert repeat.request_id != before.request_id
    assert (await world.request(repeat.request_id)).definition == "sha256:two"
    assert world.ran == []


@pytest.mark.promise("A1")
@in_a_pod_too
async def test_a_definition_that_changes_while_people_decide_asks_again(world: World) -> None:
    """Design 6.1: listed again before an approved call acts."""
    caller = await held(world, world.gate())
    first = caller.request_id
    world.definition = "sha256:two"
    await world.vote(first)
    await world.until(lambda: caller.request_id != first)
    await world.quiet()

    assert caller.decision is None
    assert world.ran == []
    await world.vote(caller.request_id)
    await world.until(lambda: caller.decision is not None)
    assert world.ran == [caller.call]


@pytest.mark.promise("A1")
@in_a_pod_too
async def test_a_tool_that_cannot_be_listed_is_not_asked_about(world: World) -> None:
    """Brief: gone or unreadable denies source-unavailable."""
    world.definition = None
    caller = Caller(world, world.gate())
    await world.until(lambda: caller.decision is not None)

    assert caller.reason is Reason.SOURCE_UNAVAILABLE
    assert await world.requests() == ()


@pytest.mark.promise("A1")
@in_a_pod_too
async def test_a_changed_rule_asks_again(world: World) -> None:
    """Issue 4: approval of a call whose rule changed."""
    before = await approved(world)
    world.apply(policy(REFUNDS.replace("count: 1", "count: 2")))
    repeat = await repeated(world, before)

    assert repeat.decision is not None
    assert repeat.decision.verdict is Decided.HOLD
    assert repeat.request_id != before.request_id


@pytest.mark.promise("A1")
@in_a_pod_too
async def test_an_edit_elsewhere_voids_nothing(world: World) -> None:
    """Design 6.1: unrelated policy edits void nothing."""
    before = await approved(world)
    world.apply(policy(f"\n  - {{name: no, tools: ['x.*'], action: Deny}}{REFUNDS}"))
    repeat = await repeated(world, before)

    assert repeat.reason is Reason.APPROVED


@pytest.mark.promise("D28")
@in_a_pod_too
async def test_a_policy_that_denies_by_now_beats_an_approval(world: World) -> None:
    """Issue 4: decide again before acting."""
    caller = await held(world, world.gate())
    request_id = caller.request_id
    world.apply(policy("\n  - {name: no, tools: ['*'], action: Deny}\n"))
    await world.vote(request_id)
    await world.until(lambda: caller.decision is not None)

    assert caller.reason is Reason.DENIED_BY_RULE
    assert world.ran == []


@pytest.mark.promise("D28")
@in_a_pod_too
async def test_a_call_that_nobody_asks_about_any_more_runs_and_withdraws_its_request(
    world: World,
) -> None:
    """Design 6.3: withdrawn = the rule no longer asks."""
    caller = await held(world, world.gate())
    request_id = caller.request_id
    world.apply(policy("\n  - {name: yes, tools: ['*'], action: Allow}\n"))
    world.pass_by(1)
    await world.until(lambda: caller.decision is not None)
    await world.quiet()

    assert caller.reason is Reason.ALLOWED_BY_RULE
    assert (await world.request(request_id)).state is State.WITHDRAWN


@pytest.mark.promise("A2")
@in_a_pod_too
async def test_a_ledger_that_forgets_the_claim_runs_nothing_twice(world: World) -> None:
    """Issue 4: a ledger that forgot the claim runs nothing twice."""
    caller = await approved(world)
    older = await world.request(caller.request_id)
    repeat = await repeated(world, caller)
    await world.quiet()
    assert repeat.reason is Reason.APPROVED
    world.pass_by(61)

    world.home = world.ledger.home = world.fresh_home()
    await world.home.open(older, HoldTerms().caps)
    await world.vote(older.id)
    again = await repeated(world, caller)
    after = await repeated(world, caller)

    assert again.reason is Reason.OUTCOME_UNKNOWN
    assert after.decision is not None
    assert after.decision.verdict is Decided.HOLD
    assert after.request_id != older.id
    assert len(world.ran) == 1


@pytest.mark.promise("A2")
@in_a_pod_too
async def test_a_claim_outlives_its_process(world: World) -> None:
    """Issue 4: SIGKILL between claim and result: used, outcome unknown, never run again."""
    caller = await approved(world)
    journal = world.gates[0][1]
    await journal.claim(caller.request_id, 300)
    await world.gates[0][0].close()
    await journal.close()
    world.gates.clear()
    gate = world.gate(AT_ONCE)
    repeat = Caller(world, gate)
    await world.until(lambda: repeat.decision is not None)

    assert repeat.reason is Reason.OUTCOME_UNKNOWN
    assert world.ran == []


@pytest.mark.promise("A2")
@in_a_pod_too
async def test_without_a_journal_nothing_approved_runs(world: World) -> None:
    """Issue 4: state folder full or read-only; the approval is not lost by that."""
    caller = await approved(world)
    other = sqlite3.connect(world.folder / "claims-0.db", isolation_level=None)
    other.execute("begin exclusive")
    refused = await repeated(world, caller)
    other.execute("rollback")
    other.close()
    repeat = await repeated(world, caller)

    assert refused.reason is Reason.APPROVAL_UNAVAILABLE
    assert repeat.reason is Reason.APPROVED
    assert world.ran == [repeat.call]


@pytest.mark.promise("D1")
@pytest.mark.parametrize("operation", ["observe", "open"])
def test_people_who_cannot_be_asked_are_told_of(operation: str, tmp_path: Path) -> None:
    """Design 5: approvals then answer `approval-unavailable`."""

    @in_told_time
    async def scenario(world: World) -> None:
        world.ledger.lost.add(operation)
        caller = Caller(world, world.gate())
        await world.until(lambda: caller.decision is not None)
        await world.quiet()
        assert caller.reason is Reason.APPROVAL_UNAVAILABLE
        assert await world.requests() == ()

    scenario(tmp_path)


@pytest.mark.promise("D1")
@in_a_pod_too
async def test_a_ledger_lost_while_people_decide_denies_and_the_request_stays(world: World) -> None:
    """Design 5: a lost store is a fact."""
    caller = await held(world, world.gate())
    request_id = caller.request_id
    world.ledger.lost.add("observe")
    world.pass_by(1)
    await world.until(lambda: caller.decision is not None)
    world.ledger.lost.clear()
    repeat = await held(world, caller.gate)

    assert caller.reason is Reason.APPROVAL_UNAVAILABLE
    assert repeat.request_id == request_id


@pytest.mark.promise("A2", "D1")
@in_a_pod_too
async def test_a_ledger_lost_at_the_claim_runs_nothing_and_the_approval_stays(
    world: World,
) -> None:
    """Design 6.5: runs only if both say first."""
    caller = await approved(world)
    world.ledger.lost.add("claim")
    refused = await repeated(world, caller)
    world.ledger.lost.clear()
    repeat = await repeated(world, caller)

    assert refused.reason is Reason.APPROVAL_UNAVAILABLE
    assert repeat.reason is Reason.APPROVED
    assert world.ran == [repeat.call]


@pytest.mark.promise("A2")
@in_a_pod_too
async def test_a_claim_whose_answer_is_lost_runs_nothing(world: World) -> None:
    """Design 5: a lost reply counts as reserved: the approval is used, and nothing ran."""
    caller = await approved(world)
    world.ledger.unanswered.add("claim")
    refused = await repeated(world, caller)
    world.ledger.unanswered.clear()
    repeat = await repeated(world, caller)

    assert refused.reason is Reason.APPROVAL_UNAVAILABLE
    assert repeat.decision is not None
    assert repeat.decision.verdict is Decided.HOLD
    assert repeat.request_id != caller.request_id
    assert world.ran == []


@pytest.mark.promise("A7", "D41")
@in_a_pod_too
async def test_a_caller_that_leaves_during_the_claim_runs_nothing(world: World) -> None:
    """Design 6.2: caller gone = nothing runs."""
    caller = await held(world, world.gate())
    request_id = caller.request_id
    world.ledger.pause = asyncio.Event()
    await world.vote(request_id)
    await world.quiet()
    caller.leave()
    world.ledger.pause.set()
    await world.quiet()

    assert caller.answers == 0
    assert world.ran == []
    found = await world.request(request_id)
    assert (found.state, found.outcome) == (State.USED, "gone")


@pytest.mark.promise("A1")
@in_a_pod_too
async def test_an_emptied_ledger_is_asked_anew(world: World) -> None:
    """Issue 4: Redis restarted empty."""
    caller = await held(world, world.gate())
    first = caller.request_id
    world.home = world.ledger.home = world.fresh_home()
    world.pass_by(1)
    await world.until(lambda: caller.request_id != first)

    assert [request.id for request in await world.requests()] == [caller.request_id]
    assert caller.decision is None


@in_a_pod_too
async def test_a_door_that_fails_at_its_answer_keeps_nobody_from_theirs(world: World) -> None:
    """Brief: a cancelled or raised coroutine answers all its waiters."""
    gate = world.gate()

    def fail(_: object) -> None:
        raise RuntimeError("a defect")

    gate.judge(refund(), Passage("mcp", 0), fail)
    other = Caller(world, gate)
    await world.until(lambda: other.request_id != "")
    await world.vote(other.request_id)
    await world.quiet()
    world.pass_by(1)
    gate.record(
        refund(),
        _approved_as(other.request_id),
        Outcome.FAILED,
        Passage("mcp", 0),
    )
    await world.until(lambda: other.decision is not None)

    assert other.reason is Reason.OUTCOME_UNKNOWN


def _approved_as(request_id: str) -> Decision:
    return Decision(Decided.ALLOW, Reason.APPROVED, request_id=request_id)


@pytest.mark.promise("A4")
@in_a_pod_too
async def test_a_large_call_is_held_like_any_other(world: World) -> None:
    """Bodies of up to 4 MiB; they are spelled by a thread, so that other calls go on."""
    many = "[" + ",".join(["1"] * 50_000) + "]"
    gate = world.gate(AT_ONCE)
    first = Caller(world, gate, refund(many))
    await world.until(lambda: first.decision is not None)
    await world.vote(first.request_id)
    repeat = Caller(world, gate, refund(many))
    await world.until(lambda: repeat.decision is not None)
    dry = await gate.dry_run(refund(many))

    assert repeat.reason is Reason.APPROVED
    assert dry.verdict is Decided.HOLD


@pytest.mark.promise("P2")
@pytest.mark.parametrize("body", [b'{"params": []}', b'{"params": [' + b" " * 70_000 + b"]}"])
def test_a_call_without_an_exact_form_is_denied(
    body: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Fail closed: no digest, no approval."""

    @in_told_time
    async def scenario(world: World) -> None:
        call = refund()
        call.body = body
        caller = Caller(world, world.gate(), call)
        await world.until(lambda: caller.decision is not None)
        assert caller.reason is Reason.MALFORMED
        assert await world.requests() == ()

    scenario(tmp_path)
    assert len(caplog.records) == 1


@pytest.mark.promise("P2")
def test_a_defect_while_people_are_asked_denies_everybody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Brief: a raised coroutine answers all its waiters with a deny."""

    @in_told_time
    async def scenario(world: World) -> None:
        ledger = OpensNothing(world.home)
        gate = world.gate(ledger=ledger)
        callers = [Caller(world, gate) for _ in range(3)]
        await world.until(lambda: all(one.decision is not None for one in callers))
        assert {one.reason for one in callers} == {Reason.MALFORMED}

    scenario(tmp_path)
    assert [one.exc_info is not None for one in caplog.records] == [True]


class OpensNothing(FaultyLedger):
    """A home with a defect of ours."""

    @override
    async def open(self, _: Request, __: Caps) -> Opened:
        raise RuntimeError("a defect")
