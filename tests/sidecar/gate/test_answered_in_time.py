"""Whoever waits is answered in time and truly, whatever is changed or slow in the meantime."""

import asyncio
from pathlib import Path

import pytest
from typing_extensions import override

from mesh7_core.policy import calls, view
from mesh7_core.policy.decision import Verdict
from mesh7_core.policy.reasons import Reason
from mesh7_sidecar.bundles.current import Current
from mesh7_sidecar.gate.terms import HoldTerms
from tests.sidecar.gate.parts import Caller, World, held, in_a_pod_too, in_told_time, policy, refund

AT_ONCE = HoldTerms(hold_s=0.0)
FOUR_SECONDS = HoldTerms(hold_s=4.0)
ALLOWED = policy(
    "\n  - {name: rest, tools: ['*'], action: Allow, limits: [few]}\n",
    "  limits: [{name: few, per: Pod, max: 1}]\n",
)
ASKED = policy(
    "\n  - {name: refunds, tools: ['*'], action: RequireApproval, limits: [few]}\n",
    "  limits: [{name: few, per: Pod, max: 1}]\n",
)


@pytest.mark.promise("A3", "A7")
@in_a_pod_too
async def test_a_repeat_whose_patience_ends_while_the_call_runs_is_told_that_it_runs(
    world: World,
) -> None:
    """docs/reference/reasons.md, `running`: "it has not run" would make an agent call again."""
    gate = world.gate()
    runner = Caller(world, gate, is_slow=True)
    await world.until(lambda: runner.request_id != "")
    await world.vote(runner.request_id)
    await world.until(lambda: runner.decision is not None)
    stopped = Caller(world, gate)
    await world.until(lambda: stopped.request_id != "")
    gate.stop_holding()

    assert stopped.decision is not None
    assert (stopped.decision.verdict, stopped.reason) == (Verdict.HOLD, Reason.RUNNING)
    assert stopped.request_id == runner.request_id


@pytest.mark.promise("A3")
@in_a_pod_too
async def test_a_slow_source_keeps_nobody_past_its_patience(world: World) -> None:
    """`--hold 4s` is for clients that wait five seconds; a list may take ten."""
    world.listing = asyncio.Event()
    caller = Caller(world, world.gate(FOUR_SECONDS))
    await world.until(lambda: world.relisted == 1)
    world.pass_by(4.5)
    await world.until(lambda: caller.decision is not None)
    world.listing.set()
    await world.quiet()

    assert caller.reason is Reason.SOURCE_UNAVAILABLE
    assert await world.requests() == ()


@pytest.mark.promise("A3", "AG14")
@in_a_pod_too
async def test_a_slow_source_leaves_an_approval_for_the_next_repeat(world: World) -> None:
    """Who is answered in time has used nothing."""
    gate = world.gate(AT_ONCE)
    first = Caller(world, gate)
    await world.until(lambda: first.decision is not None)
    await world.vote(first.request_id)
    world.listing = asyncio.Event()
    early = Caller(world, gate)
    await world.until(lambda: world.relisted == 2)
    world.pass_by(4.5)
    await world.until(lambda: early.decision is not None)
    world.listing.set()
    await world.quiet()
    repeat = Caller(world, gate)
    await world.until(lambda: repeat.decision is not None)

    assert (early.reason, early.request_id) == (Reason.APPROVAL_REQUIRED, first.request_id)
    assert repeat.reason is Reason.APPROVED
    assert world.ran == [repeat.call]


@pytest.mark.promise("A1", "A2")
@in_a_pod_too
async def test_a_source_that_is_replaced_uses_no_approval(world: World) -> None:
    """The URL is edited on the same host: the call would go to a closed door."""
    gate = world.gate()
    caller = await held(world, gate)
    request_id = caller.request_id
    caller.is_served = False
    await world.vote(request_id)
    await world.until(lambda: caller.decision is not None)
    await world.quiet()
    repeat = Caller(world, gate)
    await world.until(lambda: repeat.decision is not None)

    assert caller.reason is Reason.SOURCE_UNAVAILABLE
    assert (repeat.reason, repeat.request_id) == (Reason.APPROVED, request_id)
    assert world.ran == [repeat.call]


@pytest.mark.promise("A1", "A2")
@in_a_pod_too
async def test_a_source_that_is_replaced_while_it_lists_uses_no_approval(world: World) -> None:
    """The last look at the tool may take seconds."""
    gate = world.gate()
    caller = await held(world, gate)
    world.listing = asyncio.Event()
    await world.vote(caller.request_id)
    await world.until(lambda: world.relisted == 2)
    caller.is_served = False
    world.listing.set()
    await world.until(lambda: caller.decision is not None)

    assert caller.reason is Reason.SOURCE_UNAVAILABLE
    assert world.ran == []


@pytest.mark.promise("L3", "L5")
@in_a_pod_too
async def test_a_rule_that_asks_no_more_lets_the_caller_have_its_own_place(world: World) -> None:
    """`max: 1`: its own reservation stood against it."""
    world.apply(ASKED)
    caller = await held(world, world.gate())
    world.apply(ALLOWED)
    world.pass_by(1)
    await world.until(lambda: caller.decision is not None)

    assert caller.reason is Reason.ALLOWED_BY_RULE


class Brittle(Current):
    """A bundle in force with a defect of ours: one look at it fails.

    Attributes:
        sound: how many looks go well before that one; None = all.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sound: int | None = None

    @override
    def view(self, agent: calls.Agent) -> view.AgentView | None:
        if self.sound is not None:
            self.sound -= 1
            if self.sound == -1:
                raise RuntimeError("a defect")
        return super().view(agent)


@pytest.mark.promise("A3", "P2")
def test_a_defect_in_judging_one_anew_keeps_nobody_else_from_an_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The house style: the gate's edge denies, and others go on."""

    @in_told_time
    async def scenario(world: World) -> None:
        world.current = current = Brittle()
        world.apply(policy())
        gate = world.gate()
        callers = [await held(world, gate) for _ in range(3)]
        world.apply(policy("\n  - {name: rest, tools: ['*'], action: Allow}\n"))
        current.sound = 1
        world.pass_by(1)
        await world.until(lambda: all(one.decision is not None for one in callers))
        assert [one.reason for one in callers] == [
            Reason.MALFORMED,
            Reason.ALLOWED_BY_RULE,
            Reason.ALLOWED_BY_RULE,
        ]

    scenario(tmp_path)
    assert [one.exc_info is not None for one in caplog.records] == [True]


@pytest.mark.promise("A8", "X11")
@in_a_pod_too
async def test_large_calls_that_wait_are_bounded_together(world: World) -> None:
    """docs/reference/limits.md: 256 MiB; 32 calls of 4 MiB took more than a gigabyte."""
    many = "[" + ",".join(["1"] * 2_000_000) + "]"
    gate = world.gate()
    first = Caller(world, gate, refund(many))
    second = Caller(world, gate, refund(many, pod="pod-2"))
    small = Caller(world, gate, refund(pod="pod-2"))
    await world.until(lambda: first.request_id != "" and small.request_id != "")
    first.leave()
    third = Caller(world, gate, refund(many, pod="pod-2"))
    await world.until(lambda: third.request_id != "")

    assert second.reason is Reason.TOO_MANY_PENDING
    assert third.decision is None
