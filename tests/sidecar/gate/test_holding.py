"""Calls that wait for people: who runs, who gets the result, who is told what."""

import pytest

from mesh7_core.ledger.asked import MOST_ASKING, Asking, State, Verdict
from mesh7_core.ledger.protocol import Caps
from mesh7_core.policy.decision import Verdict as Decided
from mesh7_core.policy.reasons import Reason
from mesh7_core.telemetry.context import Context
from mesh7_core.telemetry.records import Outcome
from mesh7_sidecar.gate import kept
from mesh7_sidecar.gate.terms import HoldTerms
from tests.sidecar.gate.parts import Caller, World, held, in_a_pod_too, policy, refund


@pytest.mark.promise("D1")
@in_a_pod_too
async def test_a_held_call_runs_once_when_a_person_approves_it(world: World) -> None:
    """Issue 4: a person approves a held call from a second terminal."""
    caller = await held(world, world.gate())
    await world.vote(caller.request_id)
    await world.until(lambda: caller.reason is not None)

    assert caller.reason is Reason.APPROVED
    assert world.ran == [caller.call]
    [request] = await world.requests()
    assert (request.id, request.state) == (caller.request_id, State.USED)


@pytest.mark.promise("AG16")
@in_a_pod_too
async def test_what_became_of_an_approved_call_is_written_into_both_books(world: World) -> None:
    """AgentGuard 16: an approved call's outcome is recorded; a failed one says so."""
    gate = world.gate()
    caller = Caller(world, gate, is_slow=True)
    await world.until(lambda: caller.request_id != "")
    await world.vote(caller.request_id)
    await world.until(lambda: caller.reason is Reason.APPROVED)
    caller.finish(Outcome.FAILED, keeps=False)
    await world.quiet()

    [request] = await world.requests()
    assert request.outcome == "failed"
    assert await world.gates[0][1].outcome(caller.request_id) == "failed"
    assert world.records[-1].decision.request_id == caller.request_id


@pytest.mark.promise("A3")
@in_a_pod_too
async def test_whoever_waits_gets_the_pending_answer_when_its_patience_ends(world: World) -> None:
    """Design 6.2: held up to the least of what rule and setting say."""
    caller = await held(world, world.gate(HoldTerms(hold_s=4.0)))
    assert caller.shown is not None
    assert caller.shown.hold_s == 4.0
    world.pass_by(3.9)
    await world.quiet()
    assert caller.answers == 0
    world.pass_by(0.2)
    await world.until(lambda: caller.answers == 1)

    assert caller.decision is not None
    assert caller.decision.verdict is Decided.HOLD
    assert caller.decision.request_id == (await world.requests())[0].id


@pytest.mark.promise("A3")
@in_a_pod_too
async def test_without_a_hold_the_pending_answer_comes_at_once(world: World) -> None:
    """Design 10: the smallest hold is 0."""
    caller = Caller(world, world.gate(HoldTerms(hold_s=0.0)))
    await world.until(lambda: caller.decision is not None)

    assert caller.decision is not None
    assert caller.decision.verdict is Decided.HOLD
    assert [request.id for request in await world.requests()] == [caller.decision.request_id]


@pytest.mark.promise("D5", "AG14", "A4")
@in_a_pod_too
async def test_a_repeat_after_approval_runs_and_opens_no_new_request(world: World) -> None:
    """flux7 5, AgentGuard 14: an approved retry is recognised and runs."""
    gate = world.gate(HoldTerms(hold_s=0.0))
    first = Caller(world, gate)
    await world.until(lambda: first.decision is not None)
    await world.vote(first.request_id)
    repeat = Caller(world, gate, refund(meta='{"progressToken": 7}'))
    await world.until(lambda: repeat.decision is not None)

    assert repeat.reason is Reason.APPROVED
    assert world.ran == [repeat.call]
    assert len(await world.requests()) == 1


@pytest.mark.promise("A2", "A7", "D1")
@in_a_pod_too
async def test_a_hundred_racing_repeats_of_an_approved_call_run_once(world: World) -> None:
    """Issue 4: 100 racing repeats of one approved call in one gateway run once."""
    gate = world.gate()
    first = await held(world, gate)
    first.leave()
    await world.vote(first.request_id)
    repeats = [Caller(world, gate, is_slow=True) for _ in range(100)]
    await world.until(lambda: len(world.ran) == 1)
    await world.quiet()
    [runner] = [one for one in repeats if one.decision is not None]
    runner.finish()
    await world.until(lambda: all(one.decision is not None for one in repeats))

    assert len(world.ran) == 1
    assert runner.reason is Reason.APPROVED
    others = [one for one in repeats if one is not runner]
    assert {one.reason for one in others} == {Reason.REPLAYED}
    assert all(one.replayed == kept.McpResult(b'{"n":1}') for one in others)
    assert all(one.answers == 1 for one in repeats)


@pytest.mark.promise("A1")
@in_a_pod_too
async def test_the_same_call_of_another_pod_asks_for_itself(world: World) -> None:
    """Issue 4: the same call in a second gateway asks for itself."""
    here = await held(world, world.gate())
    there = await held(world, world.gate(), refund(pod="pod-2"))
    await world.vote(here.request_id)
    await world.until(lambda: here.decision is not None)
    await world.quiet()

    assert here.request_id != there.request_id
    assert there.decision is None
    assert world.ran == [here.call]


@pytest.mark.promise("D27", "A4")
@in_a_pod_too
async def test_identical_pending_calls_share_one_request_and_all_get_the_result(
    world: World,
) -> None:
    """flux7 27: identical pending calls share one request."""
    gate = world.gate()
    one = await held(world, gate)
    other = await held(world, gate, refund(meta='{"x": 1}'))
    assert one.request_id == other.request_id
    assert gate.waiting(one.request_id) == 2
    await world.vote(one.request_id)
    await world.until(lambda: other.decision is not None)

    assert (one.reason, other.reason) == (Reason.APPROVED, Reason.REPLAYED)
    assert len(world.ran) == 1


@pytest.mark.promise("A8")
@in_a_pod_too
async def test_a_seventeenth_caller_gets_the_pending_answer_at_once(world: World) -> None:
    """Design 5: identical pending calls share one request, at most 16 waiters."""
    gate = world.gate()
    first = await held(world, gate)
    others = [Caller(world, gate) for _ in range(16)]
    await world.quiet()

    assert first.decision is None
    assert [one.decision is None for one in others] == [True] * 15 + [False]
    assert others[-1].request_id == first.request_id
    assert others[-1].decision is not None
    assert others[-1].decision.verdict is Decided.HOLD


@pytest.mark.promise("A8", "AG23")
@in_a_pod_too
async def test_pending_requests_are_capped_and_a_refused_one_keeps_no_place(world: World) -> None:
    """AgentGuard 23: made-up calls cannot fill the queue of requests for others."""
    world.apply(
        policy(
            "\n  - {name: all, tools: ['*'], action: RequireApproval, limits: [writes]}\n",
            "  limits:\n  - {name: writes, per: Namespace, max: 3, window: 1m}\n",
        )
    )
    gate = world.gate(HoldTerms(caps=Caps(per_pod=2, per_namespace=200)))
    await held(world, gate, refund("1"))
    await held(world, gate, refund("2"))
    third = Caller(world, gate, refund("3"))
    await world.until(lambda: third.decision is not None)
    other = await held(world, gate, refund("4", pod="pod-2"))

    assert third.reason is Reason.TOO_MANY_PENDING
    assert other.decision is None


@pytest.mark.promise("A8")
@in_a_pod_too
async def test_of_more_rules_than_a_request_may_name_nobody_is_asked(world: World) -> None:
    """docs/reference/limits.md: a ledger that is read within bounds could not keep it."""
    world.apply(*(policy(name=f"shop-{number}") for number in range(MOST_ASKING + 1)))
    refused = Caller(world, world.gate())
    await world.until(lambda: refused.decision is not None)
    assert refused.reason is Reason.APPROVAL_UNAVAILABLE
    world.apply(*(policy(name=f"shop-{number}") for number in range(MOST_ASKING)))
    asked = await held(world, world.gate())
    assert asked.decision is None


@pytest.mark.promise("A7", "D41")
@in_a_pod_too
async def test_when_the_caller_is_gone_nothing_runs_and_a_repeat_runs_once(world: World) -> None:
    """flux7 41: when the caller is gone an approved call does not run."""
    gate = world.gate()
    gone = await held(world, gate)
    gone.leave()
    await world.quiet()
    await world.vote(gone.request_id)
    world.pass_by(2)
    await world.quiet()
    assert world.ran == []
    assert (await world.request(gone.request_id)).state is State.APPROVED

    repeat = Caller(world, gate)
    await world.until(lambda: repeat.decision is not None)
    assert gone.answers == 0
    assert repeat.reason is Reason.APPROVED
    assert world.ran == [repeat.call]


@pytest.mark.promise("A7")
@in_a_pod_too
async def test_a_caller_that_leaves_at_once_opens_nothing(world: World) -> None:
    """Design 6.2: a caller leaving runs nothing."""
    gate = world.gate()
    caller = Caller(world, gate)
    caller.leave()
    await world.quiet()

    assert caller.answers == 0
    assert await world.requests() == ()


@pytest.mark.promise("A6")
@in_a_pod_too
async def test_a_held_call_is_denied_when_its_request_expires(world: World) -> None:
    """Design 6.3: pending lives `timeout` from asking."""
    world.apply(
        policy("\n  - {name: r, tools: ['*'], action: RequireApproval, approval: {timeout: 5s}}\n")
    )
    caller = await held(world, world.gate())
    request_id = caller.request_id
    world.pass_by(5)
    await world.until(lambda: caller.decision is not None)

    assert caller.decision is not None
    assert (caller.reason, caller.decision.request_id) == (Reason.APPROVAL_EXPIRED, request_id)
    assert world.ran == []


@pytest.mark.promise("A6", "D28")
@in_a_pod_too
async def test_an_approval_that_nobody_used_in_time_is_worth_nothing(world: World) -> None:
    """Design 6.3: approved lives `useWithin` from the decision."""
    gate = world.gate(HoldTerms(hold_s=0.0))
    first = Caller(world, gate)
    await world.until(lambda: first.decision is not None)
    await world.vote(first.request_id)
    world.pass_by(301)
    repeat = Caller(world, gate)
    await world.until(lambda: repeat.decision is not None)

    assert repeat.decision is not None
    assert repeat.decision.verdict is Decided.HOLD
    assert repeat.request_id != first.request_id
    assert world.ran == []


@pytest.mark.promise("A6")
@in_a_pod_too
async def test_the_gateways_own_clock_decides_no_lifetime(world: World) -> None:
    """Issue 4: clock jump on the gateway."""
    gate = world.gate(HoldTerms(hold_s=0.0))
    first = Caller(world, gate)
    await world.until(lambda: first.decision is not None)
    world.wall_ns += 3600 * 24 * 10**9
    await world.vote(first.request_id)
    world.wall_ns -= 3600 * 72 * 10**9
    repeat = Caller(world, gate)
    await world.until(lambda: repeat.decision is not None)

    assert repeat.reason is Reason.APPROVED


@pytest.mark.promise("A3")
@in_a_pod_too
async def test_a_denial_is_told_with_the_persons_words_and_answers_repeats(world: World) -> None:
    """Design 6.3: a denial answers the same digest for `timeout`."""
    gate = world.gate()
    caller = await held(world, gate)
    await world.vote(caller.request_id, Verdict.DENY, "ask ann first")
    await world.until(lambda: caller.decision is not None)
    repeat = Caller(world, gate)
    await world.until(lambda: repeat.decision is not None)

    for one in (caller, repeat):
        assert one.decision is not None
        assert one.decision.reason is Reason.DENIED_BY_PERSON
        assert one.decision.text == "ask ann first"
    assert caller.request_id == repeat.request_id
    assert world.ran == []


@pytest.mark.promise("AG15")
@in_a_pod_too
async def test_two_rules_that_ask_are_satisfied_by_one_request(world: World) -> None:
    """AgentGuard 15: two rules that ask are satisfied by one request, never in a circle."""
    ask = "\n  - {name: r, tools: ['*'], action: RequireApproval, approval: {%s}, reason: %s}\n"
    world.apply(
        policy(ask % ("groups: [finance], timeout: 5m, hold: 30s", "a"), name="one"),
        policy(ask % ("timeout: 2m, hold: 40s", "b"), name="two"),
    )
    caller = await held(world, world.gate())

    [request] = await world.requests()
    assert request.asking == (
        Asking(rule="default/one/r", groups=("finance",), count=1, text="a"),
        Asking(rule="default/two/r", groups=(), count=1, text="b"),
    )
    assert request.timeout_ms == 120_000
    assert caller.shown is not None
    assert caller.shown.hold_s == 30.0


@pytest.mark.promise("A3")
@in_a_pod_too
async def test_a_stopping_gateway_answers_everybody_at_once(world: World) -> None:
    """Design 6.2: SIGTERM answers held calls pending at once."""
    gate = world.gate()
    one = await held(world, gate)
    other = await held(world, gate, refund("7"))
    await gate.close()

    assert [each.decision is not None and each.decision.verdict for each in (one, other)] == [
        Decided.HOLD,
        Decided.HOLD,
    ]
    assert [request.state for request in await world.requests()] == [State.PENDING] * 2


@pytest.mark.promise("A4", "D40")
@in_a_pod_too
async def test_a_request_outlives_its_gateway_and_is_joined_by_the_next(world: World) -> None:
    """flux7 40: a pending request outlives a restart, with its trace id."""
    before = world.gate()
    caller = Caller(world, before, caller=Context("ab" * 16, "cd" * 8, is_sampled=False))
    await world.until(lambda: caller.request_id != "")
    await before.close()
    repeat = await held(world, world.gate())
    [request] = await world.requests()

    assert (request.id, request.trace_id) == (repeat.request_id, "ab" * 16)
    await world.vote(request.id)
    await world.until(lambda: repeat.decision is not None)
    assert world.ran == [repeat.call]


@pytest.mark.promise("L3", "D26")
@in_a_pod_too
async def test_a_held_call_keeps_its_place_and_gives_it_back_when_answered(world: World) -> None:
    """Design 5: held calls count against limits; given back when the pending answer goes out."""
    world.apply(
        policy(
            "\n  - {name: ask, tools: ['billing.create_refund'], action: RequireApproval,"
            " limits: [writes]}\n  - {name: rest, tools: ['*'], action: Allow, limits: [writes]}\n",
            "  limits:\n  - {name: writes, per: Pod, max: 1, window: 1m}\n",
        )
    )
    gate = world.gate(HoldTerms(hold_s=10.0))
    waiting = await held(world, gate)
    refused = Caller(world, gate, refund(tool="list"))
    assert refused.reason is Reason.LIMIT_EXCEEDED
    world.pass_by(10)
    await world.until(lambda: waiting.decision is not None)
    await world.quiet()

    assert Caller(world, gate, refund(tool="list")).reason is Reason.ALLOWED_BY_RULE


@pytest.mark.promise("L3")
@in_a_pod_too
async def test_an_approved_call_is_counted_once(world: World) -> None:
    """Design 5: a held reservation is stamped when the call acts."""
    world.apply(
        policy(
            "\n  - {name: ask, tools: ['billing.create_refund'], action: RequireApproval,"
            " limits: [writes]}\n  - {name: rest, tools: ['*'], action: Allow, limits: [writes]}\n",
            "  limits:\n  - {name: writes, per: Pod, max: 2, window: 1m}\n",
        )
    )
    gate = world.gate()
    waiting = await held(world, gate)
    await world.vote(waiting.request_id)
    await world.until(lambda: waiting.decision is not None)
    await world.quiet()
    repeats = [Caller(world, gate) for _ in range(3)]
    after = [Caller(world, gate, refund(tool="list")).reason for _ in range(2)]

    assert {one.reason for one in repeats} == {Reason.REPLAYED}
    assert after == [Reason.ALLOWED_BY_RULE, Reason.LIMIT_EXCEEDED]


@pytest.mark.promise("A7")
@in_a_pod_too
async def test_a_kept_result_serves_repeats_for_a_minute_and_no_longer(world: World) -> None:
    """Design 6.5: the result is kept for 60 s; after that a repeat asks anew."""
    gate = world.gate()
    caller = await held(world, gate)
    await world.vote(caller.request_id)
    await world.until(lambda: caller.decision is not None)
    world.pass_by(59)
    soon = Caller(world, gate)
    world.pass_by(2)
    later = await held(world, gate)

    assert (soon.reason, soon.request_id) == (Reason.REPLAYED, caller.request_id)
    assert later.decision is None
    assert later.request_id != caller.request_id


@pytest.mark.promise("A7")
@in_a_pod_too
async def test_without_a_result_the_others_are_told_that_nobody_knows(world: World) -> None:
    """Design 6.5: died between claim and result = used, outcome unknown, never run again."""
    gate = world.gate()
    runner = Caller(world, gate, is_slow=True)
    other = Caller(world, gate)
    await world.until(lambda: runner.request_id != "")
    await world.vote(runner.request_id)
    await world.until(lambda: runner.decision is not None)
    runner.finish(Outcome.GONE, keeps=False)
    await world.until(lambda: other.decision is not None)

    assert other.reason is Reason.OUTCOME_UNKNOWN
    assert len(world.ran) == 1


@pytest.mark.promise("A3")
@in_a_pod_too
async def test_whoever_waits_for_a_slow_result_is_answered_within_its_own_patience(
    world: World,
) -> None:
    """Brief: others wait for the result within their own hold."""
    gate = world.gate()
    runner = Caller(world, gate, is_slow=True)
    other = Caller(world, gate)
    await world.until(lambda: runner.request_id != "")
    await world.vote(runner.request_id)
    await world.until(lambda: runner.decision is not None)
    world.pass_by(50)
    await world.until(lambda: other.decision is not None)
    runner.finish()
    await world.quiet()
    repeat = Caller(world, gate)

    assert other.decision is not None
    assert (other.decision.verdict, other.reason) == (Decided.HOLD, Reason.RUNNING)
    assert repeat.reason is Reason.REPLAYED


@pytest.mark.promise("A4")
@in_a_pod_too
async def test_whoever_sees_a_request_open_sees_who_waits_for_it(world: World) -> None:
    """People are told of a request before its gateway is."""
    gate = world.gate()
    seen: list[int] = []
    world.home.subscribe(lambda changed: seen.append(gate.waiting(changed.request_id)))
    await held(world, gate)

    assert seen == [1]
    assert gate.waiting("") == 0
