"""What people are told of a request: a sentence for statuses and Grants, and Events on the pod.

Pure: no clock, no network, no logging.
"""

from typing import Final

from mesh7_core.ledger.asked import State, Verdict
from mesh7_operator.approving import moments
from mesh7_operator.approving.mirrored import Mirrored, Standing
from mesh7_operator.reconciling import conditions
from mesh7_operator.reconciling.plan import Event, EventType
from mesh7_operator.reconciling.reasons import Reason

EVENTS: Final = {
    State.PENDING: (Reason.CALL_HELD, EventType.NORMAL),
    State.APPROVED: (Reason.CALL_APPROVED, EventType.NORMAL),
    State.DENIED: (Reason.CALL_DENIED, EventType.WARNING),
    State.EXPIRED: (Reason.CALL_EXPIRED, EventType.WARNING),
    State.LAPSED: (Reason.CALL_LAPSED, EventType.WARNING),
    State.WITHDRAWN: (Reason.CALL_WITHDRAWN, EventType.NORMAL),
}
"""What is told when a request becomes this; that it ran is the audit's to tell."""

_WITHDRAWN: Final = {
    Reason.FORGOTTEN: "Redis has forgotten it, and a sidecar that still holds the call asks anew",
    Reason.RULES_CHANGED: "a rule that asked was changed or removed, and the sidecar asks anew",
    Reason.WITHDRAWN: "nobody needs an answer any more",
}
_LOST: Final = (
    "; Redis has forgotten it since, so that nobody knows here whether it ran, and a sidecar that "
    "still holds the call asks anew"
)


def sentence(mirror: Mirrored, standing: Standing) -> str:
    """What happened to it, as the end of a sentence that begins with its name."""
    people, at = _people(standing), moments.shown(standing.decided_at_ms)
    until = moments.shown(standing.usable_until_ms)
    lost = _LOST if standing.reason is Reason.FORGOTTEN else ""
    match standing.state:
        case State.PENDING:
            so_far = f", {people} said yes" if standing.decisions else ""
            return f"waits for people until {moments.shown(mirror.expires_at_ms)}{so_far}"
        case State.APPROVED:
            return f"was approved by {people} at {at}, for use before {until}{lost}"
        case State.DENIED:
            return f"was denied by {people} at {at}"
        case State.EXPIRED:
            expired = moments.shown(mirror.expires_at_ms)
            return f"expired at {expired}, before enough people had decided"
        case State.USED:
            return f"was approved by {people} at {at} and used"
        case State.LAPSED:
            return f"was approved by {people} at {at} and not used before {until}{lost}"
        case State.WITHDRAWN:
            why = f"pod `{mirror.pod}` is gone"
            why = why if standing.reason is Reason.POD_GONE else _withdrawn(standing)
            return f"was withdrawn: {why}"


def event(mirror: Mirrored, standing: Standing) -> Event | None:
    """What the pod's Events tell of what it became; None = nothing."""
    told = EVENTS.get(standing.state)
    if told is None:
        return None
    reason, kind = told
    return Event(
        kind="Pod",
        name=mirror.pod,
        uid=mirror.uid,
        type=kind,
        reason=reason.value,
        message=conditions.line(
            f"the call of `{mirror.tool}` (request `{mirror.id}`) {sentence(mirror, standing)}"
        ),
        api_version="v1",
    )


def _withdrawn(standing: Standing) -> str:
    return _WITHDRAWN.get(standing.reason or Reason.WITHDRAWN, _WITHDRAWN[Reason.WITHDRAWN])


def _people(standing: Standing) -> str:
    """Who decided: those who said no if anybody did, else all who said yes."""
    no = [one for one in standing.decisions if one.verdict is Verdict.DENY]
    return ", ".join(f"`{one.username}`" for one in no or standing.decisions)
