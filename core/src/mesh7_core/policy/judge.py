"""The judge: what a call hangs on, and what is decided about it.

All rules that speak have a voice; a layer in which none does falls back to its strictest default.
Because a layer's opinion is its strictest voice and the verdict the stricter layer, the verdict is
the strictest of all voices heard. Nobody heard = denied.
Pure and total: no clock, no network, no logging.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from mesh7_core.policy import listing, standing
from mesh7_core.policy.bundle import Grant
from mesh7_core.policy.calls import Call, Family
from mesh7_core.policy.conditions import Outcome
from mesh7_core.policy.deciding import (
    ADMITTED,
    NO_LEDGER,
    Facts,
    Ledger,
    decide,
    is_lost,
    with_would,
)
from mesh7_core.policy.decision import Decision, Verdict
from mesh7_core.policy.needs import Needs
from mesh7_core.policy.reasons import Reason
from mesh7_core.policy.rules import Action, Loop, RuleId
from mesh7_core.policy.view import AgentView, Candidate, Ladder, Plan
from mesh7_core.policy.voices import Kind, Voice

__all__ = [
    "ADMITTED", "NO_LEDGER", "Facts", "Ledger", "Needs", "admitting", "covering", "decide",
    "is_exact",
    "is_lost", "looped", "may_call", "needs", "settle", "veto", "voices", "with_would",
]  # fmt: skip

MOST_SETTLED = 256
"""Combinations of voices remembered per plan; beyond them each call is settled anew."""


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
    stopped = veto(plan, call, now)
    if stopped is not None:
        return stopped
    enforced = voices(plan.enforced, call, now)
    would = () if plan.would is None else voices(plan.would, call, now)
    return settle(plan, enforced, would)


def veto(plan: Plan, call: Call, now: datetime) -> Needs | None:
    """The Deny of a veto or kill that is in force; None when there is none. Audit lifts none."""
    found = standing.speaking(plan.vetoes, call, now) if plan.vetoes else None
    if found is None:
        return None
    return Needs(Decision(Verdict.DENY, Reason.VETOED, (RuleId(found.id),), found.reason))


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
    for stand, policies in ladder.voiced:
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
        if _is_constant(plan):
            plan.constant = found
        elif len(plan.settled) < MOST_SETTLED:
            plan.settled[key] = found
    return found


def covering(needs: Needs, call: Call, now: datetime) -> tuple[tuple[Grant, ...], ...]:
    """Per voice of `needs.asked`, the standing grants that may stand in for it, by id.

    Their policy is the voice's, their condition is true, they have not ended at `now`, they lie
    within the rule's `grantable`, and the word of their maker does (`standing.barred`). How often
    they were used is for the ledger to say.
    """
    if not needs.grants:
        return ((),) * len(needs.asked)
    return standing.covering(needs.asked, needs.grants, call, now)


def admitting(needs: Needs, call: Call, now: datetime) -> Facts:
    """What a ledger would say in which nothing has happened yet: for who judges offline."""
    covered = covering(needs, call, now)
    if not (covered and all(covered)):
        return ADMITTED
    used = tuple(dict.fromkeys(grants[0].id for grants in covered))
    return Facts(ledger=Ledger.GRANTED, grants=used)


def looped(needs: Needs, loop: Loop) -> Needs:
    """The same needs when `loop`, which says RequireApproval, is full: its policy asks too.

    The other loops stay, so that one that denies still does.
    """
    voice = Voice(loop.id, Action.REQUIRE_APPROVAL, Kind.RULE, approval=loop.approval)
    before, asked = needs.decision, (*needs.asked, voice)
    decision = Decision(
        Verdict.HOLD,
        Reason.LOOP_DETECTED,
        tuple(sorted({one.id for one in asked})),
        before.text if needs.asked else "",
        would=before.would,
    )
    return Needs(
        decision,
        limits=needs.limits,
        loops=tuple(one for one in needs.loops if one.id != loop.id),
        asked=asked,
        grants=needs.grants,
        would=needs.would,
    )


def is_exact(needs: Needs) -> bool:
    """Whether the decision hangs on the exact call: its body has to be read first."""
    return bool(needs.asked or needs.loops)


def may_call(view: AgentView, family: Family, source: str, name: str) -> bool:
    """Whether some call to this name would not be denied; a condition counts as possible.

    A call that has to be approved is not denied. Limits and the ledger's state are no matter.
    """
    plan = view.plan(family, source, name)
    if plan.is_listed is None:
        plan.is_listed = listing.is_listed(plan)
    return plan.is_listed


def _is_constant(plan: Plan) -> bool:
    return (
        plan.enforced.is_constant
        and (plan.would is None or plan.would.is_constant)
        and not plan.vetoes
    )


def _settled(plan: Plan, enforced: tuple[Voice, ...], would: tuple[Voice, ...]) -> Needs:
    decision = _combined(plan.family, enforced)
    if plan.would is not None:
        other = _needs(plan, plan.would, _combined(plan.family, would), would, None)
        own = _needs(plan, plan.enforced, decision, enforced, None)
        if _says(other) != _says(own):
            return _needs(plan, plan.enforced, decision, enforced, other)
    return _needs(plan, plan.enforced, decision, enforced, None)


def _says(needs: Needs) -> tuple[object, ...]:
    return needs.decision, needs.limits, needs.loops


def _needs(
    plan: Plan, ladder: Ladder, decision: Decision, heard: Sequence[Voice], would: Needs | None
) -> Needs:
    if would is not None:
        decision = with_would(decision, would.decision)
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
