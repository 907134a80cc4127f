"""Why a call is decided as it is, rung by rung.

Nothing is judged here: the judge is asked to think aloud, and its own answer stands at the end.
Pure: no clock, no network, no logging.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mesh7_core.policy import judge, standing
from mesh7_core.policy.bundle import Grant
from mesh7_core.policy.calls import Call
from mesh7_core.policy.conditions import Failed, Outcome
from mesh7_core.policy.decision import Decision, Verdict
from mesh7_core.policy.rules import Action, Mode, StoreLoss
from mesh7_core.policy.view import AgentView, Candidate, Ladder
from mesh7_core.policy.voices import Kind, Voice


class Step(StrEnum):
    """The rungs, in the order they are climbed."""

    POLICY = "policy"
    VETO = "veto"
    RULE = "rule"
    DEFAULT = "default"
    VERDICT = "verdict"
    LIMIT = "limit"
    LOOP = "loop"
    GRANT = "grant"
    APPROVAL = "approval"
    WOULD = "would"
    DECISION = "decision"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One thing that was looked at.

    Attributes:
        subject: the id of the policy, veto, rule, default, limit, loop or grant; empty for what is
            about all.
        outcome: one or two words that do not change: `selected`, `speaks`, `skipped`, `failed`,
            `passes`, `refuses`, `silent`, `stands in`, an action or a verdict.
        detail: a sentence for people; never quotes the call's arguments.
    """

    step: Step
    subject: str
    outcome: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The rungs and the judge's own decision."""

    rungs: tuple[Rung, ...]
    decision: Decision


def offline(view: AgentView, call: Call, now: datetime) -> Explanation:
    """Explain `call` as it would be decided by a ledger in which nothing has happened yet."""
    facts = judge.admitting(judge.needs(view, call, now), call, now)
    return explain(view, call, now, facts)


def explain(view: AgentView, call: Call, now: datetime, facts: judge.Facts) -> Explanation:
    """Explain the decision about `call` that `judge.decide` comes to with the same values."""
    plan = view.plan(call.family, call.source, call.name)
    rungs = list(_policies(view))
    needs = judge.veto(plan, call, now)
    rungs += _vetoes(plan.vetoes, needs)
    if needs is None:
        enforced = _overheard(plan.enforced, call, now, rungs)
        would = () if plan.would is None else judge.voices(plan.would, call, now)
        needs = judge.settle(plan, enforced, would)
        rungs.append(_verdict(needs))
    decision = judge.decide(needs, facts)
    rungs += _limits(needs, facts)
    rungs += _loops(needs, facts)
    rungs += _grants(needs, judge.covering(needs, call, now))
    rungs += _approvals(needs, decision)
    if decision.would is not None:
        rungs.append(_would(decision.would))
    rungs.append(
        Rung(
            step=Step.DECISION,
            subject=", ".join(decision.rules),
            outcome=decision.verdict,
            detail=f"{decision.reason}{f': {decision.text}' if decision.text else ''}",
        )
    )
    return Explanation(rungs=tuple(rungs), decision=decision)


def _policies(view: AgentView) -> Iterator[Rung]:
    if not view.policies:
        yield Rung(
            step=Step.POLICY, subject="", outcome="silent", detail="no policy selects the agent"
        )
    for policy in view.policies:
        audited = " and is audited, not enforced" if policy.mode is Mode.AUDIT else ""
        yield Rung(
            step=Step.POLICY,
            subject=policy.id,
            outcome="selected",
            detail=f"selects the agent in the {policy.layer} layer{audited}",
        )


def _vetoes(vetoes: tuple[Grant, ...], stopped: judge.Needs | None) -> Iterator[Rung]:
    speaking = () if stopped is None else stopped.decision.rules
    for one in vetoes:
        if one.id in speaking:
            yield Rung(
                step=Step.VETO, subject=one.id, outcome="refuses", detail="it stops the call"
            )
            return
        detail = "it has ended, or its `when` is false"
        yield Rung(step=Step.VETO, subject=one.id, outcome="silent", detail=detail)


def _overheard(ladder: Ladder, call: Call, now: datetime, rungs: list[Rung]) -> tuple[Voice, ...]:
    heard = judge.voices(
        ladder,
        call,
        now,
        lambda candidate, outcome: rungs.append(_rule(candidate, outcome)),
    )
    rungs += [_default(voice) for voice in heard if voice.kind in (Kind.DEFAULT, Kind.AUDIT_ONLY)]
    return heard


def _rule(candidate: Candidate, outcome: Outcome) -> Rung:
    rule = candidate.rule
    if isinstance(outcome, Failed):
        word = "failed"
        detail = f"`when` failed ({outcome.why}): {_after_failing(rule.action)}"
    elif not outcome:
        word, detail = "skipped", "the name matches, but `when` is false"
    else:
        condition = "" if candidate.condition is None else " and `when` is true"
        word, detail = "speaks", f"the name matches{condition}: {rule.action}"
    return Rung(step=Step.RULE, subject=rule.id, outcome=word, detail=detail)


def _after_failing(action: Action) -> str:
    match action:
        case Action.ALLOW | Action.NONE:
            return "an Allow rule is skipped then"
        case Action.DENY:
            return "a Deny rule speaks then"
        case Action.REQUIRE_APPROVAL:
            return "a RequireApproval rule speaks then, and matching goes on"


def _default(voice: Voice) -> Rung:
    if voice.kind is Kind.AUDIT_ONLY:
        detail = "only audit policies select the agent: the call is forwarded"
    else:
        detail = "no rule of this layer speaks, its strictest default action does"
    return Rung(step=Step.DEFAULT, subject=voice.id, outcome=voice.action, detail=detail)


def _verdict(needs: judge.Needs) -> Rung:
    return Rung(
        step=Step.VERDICT,
        subject=", ".join(needs.decision.rules),
        outcome=needs.verdict,
        detail=f"the strictest of all that speak ({needs.decision.reason})",
    )


def _limits(needs: judge.Needs, facts: judge.Facts) -> Iterator[Rung]:
    for limit in needs.limits:
        if judge.is_lost(limit, facts):
            passes = limit.on_store_loss is StoreLoss.ALLOW
            detail = f"its count is not known; onStoreLoss is {limit.on_store_loss}"
        else:
            passes = facts.ledger is not judge.Ledger.SPENT or facts.limit != limit.id
            span = "in a lifetime" if limit.window is None else f"in {_spelled(limit.window)}"
            detail = f"at most {limit.maximum} calls {span} per {limit.per}, counted when it runs"
        outcome = "passes" if passes else "refuses"
        yield Rung(step=Step.LIMIT, subject=limit.id, outcome=outcome, detail=detail)


def _loops(needs: judge.Needs, facts: judge.Facts) -> Iterator[Rung]:
    for loop in needs.loops:
        is_full = facts.ledger is judge.Ledger.LOOPED and facts.limit == loop.id
        if facts.ledger is judge.Ledger.UNAVAILABLE:
            detail = "there is no ledger, so repeats are not counted"
        else:
            span = _spelled(loop.window)
            detail = f"at most {loop.identical} identical calls in {span}, then {loop.action}"
        outcome = "refuses" if is_full else "passes"
        yield Rung(step=Step.LOOP, subject=loop.id, outcome=outcome, detail=detail)


def _grants(needs: judge.Needs, covering: tuple[tuple[Grant, ...], ...]) -> Iterator[Rung]:
    standing_in = {grant.id for grants in covering for grant in grants}
    for one in needs.grants:
        barred = _barred(one, needs)
        if one.id in standing_in:
            most = "" if one.maximum_uses is None else f", {one.maximum_uses} times at most"
            outcome, detail = "stands in", f"for the people whom `{one.policy}` asks{most}"
            detail += f", but not for {barred}" if barred else ""
        else:
            outcome = "silent"
            detail = barred or (
                "it has ended, its `when` is not true, or it goes beyond the rule's `grantable`"
            )
        yield Rung(step=Step.GRANT, subject=one.id, outcome=outcome, detail=detail)


def _barred(grant: Grant, needs: judge.Needs) -> str:
    """The rules for which its maker's word does not do, and why."""
    return "; ".join(
        f"rule `{voice.id}`: {why}"
        for voice in needs.asked
        if voice.policy == grant.policy and voice.approval is not None
        and (why := standing.barred(grant, voice.approval))
    )  # fmt: skip


def _approvals(needs: judge.Needs, decision: Decision) -> Iterator[Rung]:
    outcome = "refuses" if decision.verdict is Verdict.DENY else decision.verdict.value
    for voice in needs.asked:
        detail = f"{decision.reason}: {_asked(voice)}"
        yield Rung(step=Step.APPROVAL, subject=voice.id, outcome=outcome, detail=detail)


def _asked(voice: Voice) -> str:
    approval = voice.approval
    if approval is None:
        return "people are asked"
    who = " or ".join(f"`{group}`" for group in approval.groups)
    people = "one person" if approval.count == 1 else f"{approval.count} people"
    whom = f"{people} of {who}" if who else people
    return f"{whom} must say yes, within {_spelled(approval.timeout)}"


def _spelled(span: timedelta) -> str:
    """`1h30m`, as people write it in a policy."""
    rest = span // timedelta(milliseconds=1)
    text = ""
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, rest = divmod(rest, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def _would(would: Decision) -> Rung:
    return Rung(
        step=Step.WOULD,
        subject=", ".join(would.rules),
        outcome=would.verdict,
        detail=f"had audit policies and audit rules been enforced ({would.reason})",
    )
