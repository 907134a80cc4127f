"""What is decided about a call once it is known what the ledger said.

Total: whatever was observed, a call is allowed, refused or held. Pure: no clock, no network, no
logging.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from mesh7_core.policy.decision import Decision, Verdict
from mesh7_core.policy.needs import Needs
from mesh7_core.policy.reasons import Reason
from mesh7_core.policy.rules import Limit, StoreLoss


class Ledger(Enum):
    """What the ledger said about a call."""

    UNAVAILABLE = "unavailable"
    """There is none, or it cannot be reached."""
    ADMITTED = "admitted"
    """Every limit and loop has a place for it; nobody has said anything about it."""
    SPENT = "spent"
    """A limit is used up."""
    LOOPED = "looped"
    """It was repeated too often, and the loop says Deny."""
    GRANTED = "granted"
    """Standing grants stand in for everybody who asked."""
    PENDING = "pending"
    """People were asked and have not decided."""
    RUNNING = "running"
    """People said yes, and an identical call runs right now."""
    APPROVED = "approved"
    """People said yes to this exact call, and it has been claimed."""
    DENIED = "denied"
    """Somebody said no to this exact call."""
    FULL = "full"
    """As many requests are pending as may be."""
    EXPIRED = "expired"
    """Nobody decided in time, or the yes was not used in time."""
    UNKNOWN_OUTCOME = "unknown-outcome"
    """It was approved and started, and nobody knows what came of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was observed about a call.

    Attributes:
        limit: id of the limit or loop that is full when SPENT or LOOPED, else empty.
        retry_after_s: whole seconds until it admits again; 0 = never by waiting.
        request_id: the approval request that the call waits for, used or was refused by.
        text: what the person wrote who denied it.
        grants: ids of the grants used when GRANTED.
        lost: ids of limits whose count is not known, because the store is lost or was emptied;
            without those that the gateway counted for itself (`Local`). None = all that the call
            needs when UNAVAILABLE, else none.
    """

    ledger: Ledger
    limit: str = ""
    retry_after_s: int = 0
    request_id: str = ""
    text: str = ""
    grants: tuple[str, ...] = ()
    lost: tuple[str, ...] | None = None


NO_LEDGER = Facts(ledger=Ledger.UNAVAILABLE)
ADMITTED = Facts(ledger=Ledger.ADMITTED)

_REFUSALS: Mapping[Ledger, Reason] = {
    Ledger.SPENT: Reason.LIMIT_EXCEEDED,
    Ledger.LOOPED: Reason.LOOP_DETECTED,
    Ledger.DENIED: Reason.DENIED_BY_PERSON,
    Ledger.FULL: Reason.TOO_MANY_PENDING,
    Ledger.EXPIRED: Reason.APPROVAL_EXPIRED,
    Ledger.UNKNOWN_OUTCOME: Reason.OUTCOME_UNKNOWN,
}


def decide(needs: Needs, facts: Facts) -> Decision:
    """The decision about a call, by what was observed.

    Rungs: what hangs on no ledger is decided already (a Deny is); a refusal by the ledger; people
    who cannot be asked; a limit that cannot be counted; then people's or grants' yes, or the wait
    for it.
    """
    if not needs.hangs_on_ledger:
        return needs.decision
    ledger = facts.ledger
    if ledger is Ledger.ADMITTED and not (needs.asked or facts.lost):
        return needs.decision
    reason = _REFUSALS.get(ledger)
    if reason is not None:
        return _refused(needs.decision, reason, facts)
    if ledger is Ledger.UNAVAILABLE and needs.asked:
        # Not even for a grant: without a ledger its uses cannot be counted.
        return _denied(needs.decision, Reason.APPROVAL_UNAVAILABLE)
    uncounted = _uncounted(needs, facts)
    if uncounted:
        return _denied(needs.decision, Reason.LIMIT_UNAVAILABLE, uncounted)
    return _passed(needs, facts) if needs.asked else needs.decision


def is_lost(limit: Limit, facts: Facts) -> bool:
    """Whether the limit's count is not known."""
    if facts.lost is None:
        return facts.ledger is Ledger.UNAVAILABLE
    return limit.id in facts.lost


def with_would(decision: Decision, would: Decision) -> Decision:
    """The decision with what audit would have decided; the same one when that changes nothing.

    For who counts would-be limits: `would` is `decide(needs.would, facts)` with the facts of the
    call itself, or SPENT when a would-be limit is full.
    """
    if _says(decision) == _says(would):
        return decision if decision.would is None else _copy(decision, None)
    return _copy(decision, would)


def _says(decision: Decision) -> tuple[object, ...]:
    return (
        decision.verdict, decision.reason, decision.rules, decision.text, decision.limit,
    )  # fmt: skip


def _uncounted(needs: Needs, facts: Facts) -> str:
    """The first limit that refuses because it cannot be counted; empty when none does.

    `Local` among them denies too: the gateway knows no share of it to count by. Loops are a
    safety net and not a fence: without a ledger they are not counted.
    """
    for limit in needs.limits:
        if limit.on_store_loss is not StoreLoss.ALLOW and is_lost(limit, facts):
            return limit.id
    return ""


def _passed(needs: Needs, facts: Facts) -> Decision:
    """Somebody was asked, and nothing stands against it."""
    decision = needs.decision
    if facts.ledger is Ledger.GRANTED:
        return Decision(
            Verdict.ALLOW, Reason.GRANTED, decision.rules, decision.text,
            would=decision.would, grants=facts.grants,
        )  # fmt: skip
    is_approved = facts.ledger is Ledger.APPROVED
    is_waiting = not is_approved and facts.ledger is not Ledger.RUNNING
    return Decision(
        Verdict.ALLOW if is_approved else Verdict.HOLD,
        decision.reason if is_waiting else Reason(facts.ledger.value),
        decision.rules,
        decision.text,
        request_id=facts.request_id,
        would=decision.would,
        open_for_s=_open_for(needs) if is_waiting else 0,
    )


def _open_for(needs: Needs) -> int:
    timeouts = [one.approval.timeout for one in needs.asked if one.approval is not None]
    return min(timeouts) // timedelta(seconds=1) if timeouts else 0


def _refused(decision: Decision, reason: Reason, facts: Facts) -> Decision:
    return Decision(
        Verdict.DENY,
        reason,
        decision.rules,
        # The person's words alone: the rule's say why it asked, not why they refused.
        facts.text if facts.ledger is Ledger.DENIED else decision.text,
        limit=facts.limit,
        retry_after_s=facts.retry_after_s,
        request_id=facts.request_id,
        would=decision.would,
    )


def _denied(decision: Decision, reason: Reason, limit: str = "") -> Decision:
    return Decision(
        Verdict.DENY, reason, decision.rules, decision.text, limit=limit, would=decision.would
    )


def _copy(decision: Decision, would: Decision | None) -> Decision:
    return Decision(
        decision.verdict,
        decision.reason,
        decision.rules,
        decision.text,
        decision.limit,
        decision.retry_after_s,
        decision.request_id,
        would,
        decision.grants,
        decision.open_for_s,
    )
