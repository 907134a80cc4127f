"""The judge: what a call hangs on, and what is decided about it.

All rules that speak have a voice; a layer in which none does falls back to its strictest default.
Because a layer's opinion is its strictest voice and the verdict the stricter layer, the verdict is
the strictest of all voices heard. Nobody heard = denied.
Pure and total: no clock, no network, no logging.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import assert_never

from mesh7_core.policy.bundle import Grant
from mesh7_core.policy.calls import Call, Family
from mesh7_core.policy.conditions import Outcome
from mesh7_core.policy.decision import Decision, Verdict
from mesh7_core.policy.reasons import Reason
from mesh7_core.policy.rules import Action, Limit, Loop, StoreLoss
from mesh7_core.policy.view import AgentView, Candidate, Kind, Ladder, Plan, Stand, Voice

MOST_SETTLED = 256
"""Combinations of voices remembered per plan; beyond them each call is settled anew."""


class Ledger(Enum):
    """What the ledger said about a call."""

    UNAVAILABLE = "unavailable"
    RESERVED = "reserved"
    SPENT = "spent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was observed about a call.

    Attributes:
        limit: the spent limit's id when SPENT, else empty.
        retry_after_s: whole seconds until it admits again; 0 = never by waiting.
        request_id: the open approval request of a call that is to be held, else empty.
    """

    ledger: Ledger
    limit: str = ""
    retry_after_s: int = 0
    request_id: str = ""


NO_LEDGER = Facts(ledger=Ledger.UNAVAILABLE)
"""There is no ledger, or it cannot be reached."""


class Needs:
    """Every opinion about a call, and what its decision still hangs on.

    Shared by all calls of one agent that the same rules speak about; never changed.

    Attributes:
        verdict: provisional: a Deny is final, the others are subject to the rest.
        decision: what is decided when every limit admits the call and nothing has to be asked;
            for a Hold, the Hold without its request.
        limits: of everybody who spoke; empty for a Deny.
        loops: of all policies that take part; empty for a Deny.
        asked: who requires an approval; all must get theirs.
        grants: standing grants that may stand in for an approval.
        hangs_on_ledger: whether the ledger has to be asked at all.
        without_ledger: the decision when there is no ledger.
        would: the needs had audit been enforced; None when that changes nothing.
    """

    __slots__ = (
        "asked", "decision", "grants", "hangs_on_ledger", "limits", "loops", "verdict",
        "without_ledger", "would",
    )  # fmt: skip

    def __init__(
        self,
        decision: Decision,
        limits: tuple[Limit, ...] = (),
        loops: tuple[Loop, ...] = (),
        asked: tuple[Voice, ...] = (),
        grants: tuple[Grant, ...] = (),
        would: "Needs | None" = None,
    ) -> None:
        self.verdict = decision.verdict
        self.decision = decision
        self.limits = limits
        self.loops = loops
        self.asked = asked
        self.grants = grants
        self.would = would
        self.hangs_on_ledger = bool(limits or loops or asked)
        self.without_ledger = _without_ledger(decision, limits)


def needs(view: AgentView, call: Call, now: datetime) -> Needs:
    """Compute every opinion about `call`.

    Args:
        view: of the agent that calls.
        call: the attempt.
        now: aware; what conditions see as `now`.
    """
    plan = view.plan(call.family, call.source, call.name)
    if plan.constant is not None:
        return plan.constant
    enforced = voices(plan.enforced, call, now)
    would = () if plan.would is None else voices(plan.would, call, now)
    return settle(plan, enforced, would)


def voices(
    ladder: Ladder,
    call: Call,
    now: datetime,
    listen: "Callable[[Candidate, Outcome], None] | None" = None,
) -> tuple[Voice, ...]:
    """Who speaks about the call, baseline first.

    Args:
        ladder: what the call's name comes to.
        call: the attempt.
        now: aware.
        listen: told of every condition's outcome in turn; True for a rule without one.
    """
    heard: list[Voice] = []
    for stand, policies in ladder.layers:
        before = len(heard)
        for candidates in policies:
            for candidate in candidates:
                condition = candidate.condition
                outcome = True if condition is None else condition.evaluate(call, now)
                if listen is not None:
                    listen(candidate, outcome)
                if outcome is True:
                    heard.append(candidate.speaks)
                    break
                if outcome is not False and candidate.fails is not None:
                    heard.append(candidate.fails)
                    if not candidate.goes_on:
                        break
        if len(heard) == before:
            heard += stand.defaults
    return tuple(heard)


def settle(plan: Plan, enforced: tuple[Voice, ...], would: tuple[Voice, ...]) -> Needs:
    """What it comes to when these speak; `would` is who would, were audit enforced."""
    key = (*enforced, *would)
    found = plan.settled.get(key)
    if found is None:
        found = _settled(plan, enforced, would)
        if plan.enforced.is_constant and (plan.would is None or plan.would.is_constant):
            plan.constant = found
        elif len(plan.settled) < MOST_SETTLED:
            plan.settled[key] = found
    return found


def decide(needs: Needs, facts: Facts) -> Decision:
    """The decision about a call, by what was observed."""
    if needs.verdict is Verdict.DENY:
        return needs.decision
    match facts.ledger:
        case Ledger.UNAVAILABLE:
            return needs.without_ledger
        case Ledger.SPENT:
            return _spent(needs.decision, facts)
        case Ledger.RESERVED:
            return _held(needs.decision, facts) if needs.asked else needs.decision
        case _ as unknown:
            assert_never(unknown)


def may_call(view: AgentView, family: Family, source: str, name: str) -> bool:
    """Whether some call to this name would not be denied; a condition counts as possible.

    A call that has to be approved is not denied. Limits and the ledger's state are no matter.
    """
    plan = view.plan(family, source, name)
    if plan.is_listed is None:
        plan.is_listed = _is_listed(plan)
    return plan.is_listed


def _settled(plan: Plan, enforced: tuple[Voice, ...], would: tuple[Voice, ...]) -> Needs:
    decision = _combined(plan.family, enforced)
    if plan.would is not None:
        other = _needs(plan, plan.would, _combined(plan.family, would), would, None)
        own = _needs(plan, plan.enforced, decision, enforced, None)
        if _says(other) != _says(own):
            return _needs(plan, plan.enforced, decision, enforced, other)
    return _needs(plan, plan.enforced, decision, enforced, None)


def _says(needs: Needs) -> tuple[object, ...]:
    return needs.decision, needs.without_ledger, needs.limits, needs.loops


def _needs(
    plan: Plan, ladder: Ladder, decision: Decision, heard: Sequence[Voice], would: Needs | None
) -> Needs:
    if would is not None:
        decision = _with_would(decision, would.without_ledger)
    if decision.verdict is Verdict.DENY:
        return Needs(decision, would=would)
    limits = {limit.id: limit for voice in heard for limit in voice.limits}
    asked = tuple(voice for voice in heard if voice.action is Action.REQUIRE_APPROVAL)
    policies = {voice.policy for voice in asked}
    return Needs(
        decision,
        limits=tuple(limits[one] for one in sorted(limits)),
        loops=tuple(loop for stand, _ in ladder.layers for loop in stand.loops),
        asked=asked,
        grants=tuple(one for one in plan.grants if one.policy in policies),
        would=would,
    )


_VERDICTS = {
    Action.ALLOW: Verdict.ALLOW,
    Action.REQUIRE_APPROVAL: Verdict.HOLD,
    Action.DENY: Verdict.DENY,
}
_REASONS = {
    (Action.ALLOW, Kind.RULE): Reason.ALLOWED_BY_RULE,
    (Action.ALLOW, Kind.DEFAULT): Reason.ALLOWED_BY_DEFAULT,
    (Action.ALLOW, Kind.AUDIT_ONLY): Reason.AUDIT_ONLY,
    (Action.REQUIRE_APPROVAL, Kind.RULE): Reason.APPROVAL_REQUIRED,
    (Action.REQUIRE_APPROVAL, Kind.FAILED): Reason.APPROVAL_REQUIRED,
    (Action.REQUIRE_APPROVAL, Kind.DEFAULT): Reason.APPROVAL_REQUIRED,
    (Action.DENY, Kind.RULE): Reason.DENIED_BY_RULE,
    (Action.DENY, Kind.FAILED): Reason.CONDITION_FAILED,
    (Action.DENY, Kind.DEFAULT): Reason.DENIED_BY_DEFAULT,
}
_TELLING = (Kind.AUDIT_ONLY, Kind.RULE, Kind.FAILED, Kind.DEFAULT)
"""Which of the equally strict voices gives the reason: the first kind of these that is there."""


def _combined(family: Family, heard: Sequence[Voice]) -> Decision:
    """The strictest voice; resources and prompts need a rule that names them (design 10)."""
    if not heard:
        return Decision(Verdict.DENY, Reason.NO_POLICY)
    if family is not Family.TOOLS and all(voice.kind is Kind.DEFAULT for voice in heard):
        return Decision(Verdict.DENY, Reason.NOT_LISTED_BY_POLICY)
    strongest = max(voice.strength for voice in heard)
    speaking = sorted(
        (voice for voice in heard if voice.strength == strongest), key=lambda voice: voice.id
    )
    action = speaking[0].action
    kinds = {voice.kind for voice in speaking}
    telling = next(kind for kind in _TELLING if kind in kinds)
    named = [voice for voice in speaking if voice.id]
    return Decision(
        _VERDICTS[action],
        _REASONS[action, telling],
        tuple(dict.fromkeys(voice.id for voice in named)),
        named[0].text if named else "",
    )


def _without_ledger(decision: Decision, limits: Sequence[Limit]) -> Decision:
    """Nobody can be asked, and each limit says what its loss means.

    Without a roster of replicas there is no share of a `Local` limit to count by, so it denies.
    Loops are a safety net and not a fence: without a ledger they are not counted.
    """
    match decision.verdict:
        case Verdict.DENY:
            return decision
        case Verdict.HOLD:
            return _denied(decision, Reason.APPROVAL_UNAVAILABLE)
        case Verdict.ALLOW:
            lost = [one for one in limits if one.on_store_loss is not StoreLoss.ALLOW]
            return _denied(decision, Reason.LIMIT_UNAVAILABLE, lost[0].id) if lost else decision
        case _ as unknown:
            assert_never(unknown)


def _denied(
    decision: Decision, reason: Reason, limit: str = "", retry_after_s: int = 0
) -> Decision:
    return Decision(
        Verdict.DENY,
        reason,
        decision.rules,
        decision.text,
        limit=limit,
        retry_after_s=retry_after_s,
        would=decision.would,
    )


def _spent(decision: Decision, facts: Facts) -> Decision:
    return _denied(decision, Reason.LIMIT_EXCEEDED, facts.limit, facts.retry_after_s)


def _held(decision: Decision, facts: Facts) -> Decision:
    return Decision(
        Verdict.HOLD,
        decision.reason,
        decision.rules,
        decision.text,
        request_id=facts.request_id,
        would=decision.would,
    )


def _with_would(decision: Decision, would: Decision) -> Decision:
    return Decision(decision.verdict, decision.reason, decision.rules, decision.text, would=would)


def _is_listed(plan: Plan) -> bool:
    """Every rule could speak that conditions let speak; the layers' chances are then combined."""
    baseline, namespace = (_chances(*layer) for layer in plan.enforced.layers)
    passing = {(one, other) for one in baseline for other in namespace}
    is_tool = plan.family is Family.TOOLS
    return any(
        Kind.RULE in pair or Kind.AUDIT_ONLY in pair or (is_tool and Kind.DEFAULT in pair)
        for pair in passing
    )


def _chances(stand: Stand, policies: Sequence[Sequence[Candidate]]) -> set[Kind | None]:
    """What a layer may come to short of a Deny: a rule, a default, or None for silence."""
    if not all(_can_avoid_denial(candidates) for candidates in policies):
        return set()
    chances: set[Kind | None] = set()
    if any(_can_pass(candidates) for candidates in policies):
        chances.add(Kind.RULE)
    if all(candidates[-1].condition is not None for candidates in policies):
        if not stand.defaults:
            chances.add(None)
        elif stand.defaults[0].action is not Action.DENY:
            chances.add(stand.defaults[0].kind)
    return chances


def _can_pass(candidates: Sequence[Candidate]) -> bool:
    return any(one.rule.action is not Action.DENY for one in candidates)


def _can_avoid_denial(candidates: Sequence[Candidate]) -> bool:
    return _can_pass(candidates) or candidates[-1].condition is not None
