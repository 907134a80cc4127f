"""Calls that nobody is asked about: counted on their way, refused by what is full or lost."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from typing_extensions import override

from mesh7_core.ledger.asked import State
from mesh7_core.ledger.protocol import Observation, Observed, Seen
from mesh7_core.policy.decision import Verdict as Decided
from mesh7_core.policy.reasons import Reason
from mesh7_core.telemetry.passage import Passage
from mesh7_core.telemetry.records import Outcome
from mesh7_sidecar.gate.terms import HoldTerms
from tests.sidecar.gate.parts import Caller, FaultyLedger, World, held, in_told_time, policy, refund

ALLOW = "\n  - {name: all, tools: ['*'], action: Allow, limits: [writes]}\n"
PLAIN = "\n  - {name: all, tools: ['*'], action: Allow}\n"


def limited(limit: str) -> str:
    return policy(ALLOW, f"  limits:\n  - {{name: writes, {limit}}}\n")


def reasons(world: World, count: int, replicas: int = 1) -> list[Reason | None]:
    gate = world.gate(HoldTerms(replicas=lambda _per: replicas))
    return [Caller(world, gate).reason for _ in range(count)]


@pytest.mark.promise("L3")
@in_told_time
async def test_a_full_limit_refuses_with_the_seconds_until_it_admits(world: World) -> None:
    """Issue 4: throttled answers carry a retry-after that is true."""
    world.apply(limited("per: Pod, max: 1, window: 10s"))
    gate = world.gate()
    assert Caller(world, gate).reason is Reason.ALLOWED_BY_RULE
    world.pass_by(0.5)
    refused = Caller(world, gate)
    assert refused.decision is not None
    assert (refused.reason, refused.decision.limit, refused.decision.retry_after_s) == (
        Reason.LIMIT_EXCEEDED,
        "default/shop/writes",
        10,
    )
    world.pass_by(refused.decision.retry_after_s)
    assert Caller(world, gate).reason is Reason.ALLOWED_BY_RULE


@pytest.mark.promise("AG26")
@in_told_time
async def test_a_made_up_session_does_not_reset_what_the_pod_has_used(world: World) -> None:
    """AgentGuard 26: sessions have budgets of their own, and the pod's holds over all of them."""
    limits = (
        "  - {name: session, per: Session, max: 2, window: 1m}\n"
        "  - {name: pod, per: Pod, max: 3, window: 1m}\n"
    )
    world.apply(policy(ALLOW.replace("[writes]", "[session, pod]"), f"  limits:\n{limits}"))
    gate = world.gate()
    told = [Caller(world, gate, refund(session=session)).reason for session in ("a", "b", "c", "d")]

    assert told == [Reason.ALLOWED_BY_RULE] * 3 + [Reason.LIMIT_EXCEEDED]


@pytest.mark.promise("L7")
@in_told_time
async def test_who_shares_a_window_is_said_by_per(world: World) -> None:
    """Issue 4: per Pod, Agent, Session, Namespace."""
    told = {}
    for per in ("Pod", "Agent", "Session", "Namespace"):
        world.home = world.ledger.home = world.fresh_home()
        world.apply(limited(f"per: {per}, max: 1, window: 1m"))
        gate = world.gate()
        Caller(world, gate, refund(session="s1"))
        told[per] = [
            Caller(world, gate, refund(**other)).reason is Reason.ALLOWED_BY_RULE
            for other in ({"session": "s2"}, {"pod": "pod-2", "session": "s1"}, {})
        ]

    assert told == {
        "Pod": [False, True, False],
        "Agent": [False, False, False],
        "Session": [True, True, True],
        "Namespace": [False, False, False],
    }


@pytest.mark.promise("D26")
@in_told_time
async def test_a_loop_is_refused_however_it_is_interleaved(world: World) -> None:
    """flux7 26: interleaving hides no loop."""
    world.apply(policy(PLAIN, "  loops: {identical: 2, window: 10s}\n"))
    gate = world.gate()
    told = [Caller(world, gate, refund(amount)).reason for amount in ("1", "2", "1", "2", "1")]

    assert told == [Reason.ALLOWED_BY_RULE] * 4 + [Reason.LOOP_DETECTED]


@pytest.mark.promise("D26")
@in_told_time
async def test_a_loop_may_ask_people_instead(world: World) -> None:
    """`loops.action: RequireApproval`."""
    world.apply(
        policy(
            PLAIN,
            "  loops: {identical: 1, window: 10s, action: RequireApproval}\n",
        )
    )
    gate = world.gate()
    first = Caller(world, gate)
    repeat = await held(world, gate)
    [request] = await world.requests()
    assert [asking.rule for asking in request.asking] == ["default/shop/loops"]
    await world.vote(request.id)
    await world.until(lambda: repeat.decision is not None)

    assert (first.reason, repeat.reason) == (Reason.ALLOWED_BY_RULE, Reason.APPROVED)
    assert (await world.request(request.id)).state is State.USED


@pytest.mark.promise("L3")
@pytest.mark.parametrize(
    ("loss", "replicas", "told"),
    [
        ("Deny", 1, ["limit-unavailable"] * 4),
        ("Allow", 1, ["allowed-by-rule"] * 4),
        ("Local", 1, ["allowed-by-rule"] * 3 + ["limit-exceeded"]),
        ("Local", 2, ["allowed-by-rule"] + ["limit-exceeded"] * 3),
        ("Local", 4, ["limit-unavailable"] * 4),
        ("Local", 0, ["limit-unavailable"] * 4),
    ],
)
@pytest.mark.parametrize("is_unknown", [False, True])
def test_each_limit_says_what_a_lost_store_means(
    loss: str,
    replicas: int,
    told: list[str],
    is_unknown: bool,
    tmp_path: Path,
) -> None:
    """Design 5: onStoreLoss; an unknown epoch is a store loss."""

    @in_told_time
    async def scenario(world: World) -> None:
        world.apply(limited(f"per: Pod, max: 3, window: 1m, onStoreLoss: {loss}"))
        if is_unknown:
            world.ledger.unknown = (0,)
        else:
            world.ledger.lost.add("observe")
        found = reasons(world, 4, replicas=replicas)
        # What came in since the store was emptied is counted there all the same.
        expected = [*told[:3], "limit-exceeded"] if is_unknown else told
        assert found == [Reason(each) for each in expected]

    scenario(tmp_path)


@pytest.mark.promise("L3")
@in_told_time
async def test_a_limit_without_a_past_denies_a_call_that_people_are_asked_about(
    world: World,
) -> None:
    """Design 5: an unknown epoch is a store loss for one window length."""
    world.apply(
        policy(
            "\n  - {name: all, tools: ['*'], action: RequireApproval, limits: [writes]}\n",
            "  limits:\n  - {name: writes, per: Pod, max: 1, window: 1m}\n",
        )
    )
    gate = world.gate()
    world.ledger.unknown = (0,)
    refused = Caller(world, gate)
    await world.until(lambda: refused.decision is not None)
    await world.quiet()
    world.ledger.unknown = ()
    after = await held(world, gate, refund("2"))

    assert refused.reason is Reason.LIMIT_UNAVAILABLE
    assert after.decision is None


@in_told_time
async def test_what_audit_would_count_is_counted_beside_and_refuses_nothing(world: World) -> None:
    """Design 4: audit counts would-be limits under keys of its own."""
    audited = policy(
        "\n  - {name: all, tools: ['*'], action: Allow, limits: [few]}\n",
        "  limits:\n  - {name: few, per: Pod, max: 1, window: 1m}\n  mode: Audit\n",
        name="watched",
    )
    world.apply(policy("\n  - {name: all, tools: ['*'], action: Allow}\n"), audited)
    gate = world.gate()
    first, second = Caller(world, gate), Caller(world, gate)

    assert first.decision is not None
    assert second.decision is not None
    assert second.decision.verdict is Decided.ALLOW
    assert second.decision.would is not None
    assert second.decision.would.reason is Reason.LIMIT_EXCEEDED
    assert first.decision.would is None or first.decision.would.verdict is Decided.ALLOW


class Broken:
    """A home with a defect of ours."""

    def observe(self, _: Observation, __: Callable[[Observed], None]) -> None:
        raise RuntimeError("a defect")


@pytest.mark.promise("P2")
def test_a_defect_on_the_way_to_the_ledger_denies_and_is_seen(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The house style: blanket only at the gate's edge, where it denies and logs."""

    @in_told_time
    async def scenario(world: World) -> None:
        world.apply(limited("per: Pod, max: 1, window: 1m"))
        gate = world.gate(ledger=Broken())  # type: ignore[arg-type]
        assert Caller(world, gate).reason is Reason.MALFORMED

    scenario(tmp_path)
    assert [one.exc_info is not None for one in caplog.records] == [True]


@in_told_time
async def test_a_doors_own_defect_is_its_own(world: World) -> None:
    """One call gets one answer, even from a door that fails at it."""
    world.apply(limited("per: Pod, max: 1, window: 1m"))
    told = []

    def fail(decision: object) -> None:
        told.append(decision)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        world.gate().judge(refund(), Passage("mcp", 0), fail)
    assert len(told) == 1


@in_told_time
async def test_a_dry_run_changes_nothing(world: World) -> None:
    """Design 3: `/v1/decide` reserves nothing, opens nothing."""
    world.apply(limited("per: Pod, max: 1, window: 1m"))
    gate = world.gate()
    told = [(await gate.dry_run(refund())).reason for _ in range(3)]
    ran = Caller(world, gate).reason
    spent = (await gate.dry_run(refund())).reason
    world.apply(policy())
    asked = await gate.dry_run(refund())

    assert told == [Reason.ALLOWED_BY_RULE] * 3
    assert (ran, spent) == (Reason.ALLOWED_BY_RULE, Reason.LIMIT_EXCEEDED)
    assert (asked.verdict, asked.request_id) == (Decided.HOLD, "")
    assert await world.requests() == ()


@in_told_time
async def test_a_dry_run_is_no_outcome_of_the_call_that_was_approved(world: World) -> None:
    """A run that is asked about while it goes on was recorded as over, with `dry-run`."""
    gate = world.gate()
    caller = Caller(world, gate, is_slow=True)
    await world.until(lambda: caller.request_id != "")
    await world.vote(caller.request_id)
    dry = await gate.dry_run(refund())
    assert dry.reason is Reason.APPROVED
    await world.until(lambda: caller.reason is Reason.APPROVED)
    gate.record(refund(), dry, Outcome.DRY_RUN, Passage("decide", 0))
    caller.finish()
    await world.quiet()
    assert (await world.request(caller.request_id)).outcome == "ok"
    assert await world.gates[0][1].outcome(caller.request_id) == "ok"


@in_told_time
async def test_a_dry_run_sees_what_waits_and_what_is_approved(world: World) -> None:
    """It is the same path; arguments alone are enough to find the request."""
    gate = world.gate(HoldTerms(hold_s=0.0))
    caller = Caller(world, gate)
    await world.until(lambda: caller.decision is not None)
    asked = refund()
    asked.body = b""
    pending = await gate.dry_run(asked)
    await world.vote(caller.request_id)
    approved = await gate.dry_run(asked)

    assert (pending.verdict, pending.request_id) == (Decided.HOLD, caller.request_id)
    assert approved.reason is Reason.APPROVED
    assert (await world.request(caller.request_id)).state is State.APPROVED


@in_told_time
async def test_only_exact_calls_need_their_bodies_first(world: World) -> None:
    """`is_exact` tells plain HTTP whether to collect the body before it asks."""
    gate = world.gate()
    told = [gate.is_exact(refund()), gate.is_exact(refund(tool="list"))]
    world.apply(policy(PLAIN, "  loops: {identical: 2, window: 10s}\n"))

    assert [*told, gate.is_exact(refund(tool="list"))] == [True, False, True]


@pytest.mark.promise("L7")
@in_told_time
async def test_a_ledger_over_a_network_comes_to_the_same(world: World) -> None:
    """One protocol, three homes: `answer` is called once, now or later."""
    world.ledger.is_late = True
    world.apply(
        policy(
            ALLOW,
            "  limits:\n  - {name: writes, per: Pod, max: 2, window: 1m}\n"
            "  loops: {identical: 1, window: 10s, action: RequireApproval}\n",
        ),
        policy(
            "\n  - {name: all, tools: ['*'], action: Allow, limits: [few]}\n",
            "  limits:\n  - {name: few, per: Pod, max: 1, window: 1m}\n  mode: Audit\n",
            name="watched",
        ),
    )
    gate = world.gate(HoldTerms(hold_s=0.0))
    callers = [Caller(world, gate, refund(amount)) for amount in ("1", "2", "3")]
    assert [one.decision for one in callers] == [None] * 3
    await world.until(lambda: all(one.decision is not None for one in callers))
    world.pass_by(60)
    Caller(world, gate, refund("4"))
    again = Caller(world, gate, refund("4"))
    await world.until(lambda: again.decision is not None)

    assert [one.reason for one in callers] == [
        Reason.ALLOWED_BY_RULE,
        Reason.ALLOWED_BY_RULE,
        Reason.LIMIT_EXCEEDED,
    ]
    assert callers[1].decision is not None
    assert callers[1].decision.would is not None
    assert again.reason is Reason.LOOP_DETECTED
    assert again.decision is not None
    assert again.decision.verdict is Decided.HOLD


@pytest.mark.promise("P2")
def test_a_defect_in_a_late_answer_denies_and_is_seen(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Brief: any exception denies, also inside the ledger's callback."""

    @in_told_time
    async def scenario(world: World) -> None:
        world.apply(limited("per: Pod, max: 1, window: 1m"))
        caller = Caller(world, world.gate(ledger=WrongIndex(world.home)))
        await world.until(lambda: caller.decision is not None)
        assert caller.reason is Reason.MALFORMED

    scenario(tmp_path)
    assert [one.exc_info is not None for one in caplog.records] == [True]


class WrongIndex(FaultyLedger):
    """A home that names a window which nobody asked for."""

    @override
    def observe(self, _: Observation, answer: Callable[[Observed], None]) -> None:
        asyncio.get_running_loop().call_soon(answer, Observed(Seen.SPENT, 7))
