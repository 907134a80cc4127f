"""Transitions of statuses → Events: a table of those that somebody should hear of.

What comes and goes with every change (sidecars that are behind for a moment) is none of them.
Pure: no clock, no network, no logging.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from mesh7_operator.reconciling import conditions
from mesh7_operator.reconciling.conditions import Stood
from mesh7_operator.reconciling.plan import Event, EventType
from mesh7_operator.reconciling.reasons import Phase, Reason, Truth, Type
from mesh7_operator.reconciling.world import Written

TURNS: Final[Mapping[Type, tuple[frozenset[Reason], frozenset[Reason]]]] = {
    Type.ACCEPTED: (
        frozenset(
            (
                Reason.INVALID,
                Reason.NOT_SERVED_IN_CLUSTER,
                Reason.UNKNOWN_POLICY,
                Reason.BEYOND_GRANTABLE,
                Reason.PLAIN_CREDENTIAL,
                Reason.NOT_SERVED_HERE,
                Reason.NOT_STAMPED,
                Reason.OVERLAY_TOO_LARGE,
            )
        ),
        frozenset((Reason.VALID,)),
    ),
    Type.READY: (
        frozenset((Reason.BUNDLE_TOO_LARGE, Reason.SOURCE_UNAVAILABLE)),
        frozenset(
            (
                Reason.SIDECARS_CURRENT,
                Reason.SIDECARS_BEHIND,
                Reason.NO_SIDECAR,
                Reason.NO_STORE,
                Reason.SOURCE_AVAILABLE,
            )
        ),
    ),
    Type.RESOLVED_REFS: (
        frozenset((Reason.CREDENTIAL_MISSING,)),
        frozenset((Reason.CREDENTIAL_AVAILABLE,)),
    ),
    Type.DRIFTED: (
        frozenset((Reason.TOOLS_CHANGED, Reason.TOOLS_ADDED, Reason.TOOLS_REMOVED)),
        frozenset((Reason.NO_DRIFT,)),
    ),
}
"""What a condition may turn to badly, which is told, and what it turns back to from there."""

PHASES: Final[Mapping[str, tuple[Reason, str]]] = {
    Phase.ACTIVE.value: (Reason.ACTIVE, "it is in force"),
    Phase.EXPIRED.value: (Reason.EXPIRED, "its time is over"),
    Phase.EXHAUSTED.value: (Reason.EXHAUSTED, "it was used as often as it may be"),
}


def of_change(written: Written, status: Mapping[str, object]) -> tuple[Event, ...]:
    """What a status that is about to be written tells.

    Args:
        written: the object with the status that stands.
        status: the new one.
    """
    return (*_of_conditions(written, status), *_of_phase(written, status))


def _of_conditions(written: Written, status: Mapping[str, object]) -> Iterator[Event]:
    before, messages = conditions.stood(written.status), _messages(status)
    for name, now in conditions.stood(status).items():
        kind = _kind(Type(name), before.get(name), now)
        if kind is not None:
            yield _event(written, kind, now.reason, messages[name])


def _kind(type_: Type, before: Stood | None, now: Stood) -> EventType | None:
    bad, good = TURNS.get(type_, (frozenset[Reason](), frozenset[Reason]()))
    reason = "" if before is None else before.reason
    if now.reason == reason:
        return None
    if now.reason in bad:
        return EventType.WARNING
    if now.reason in good and reason in bad and now.truth != Truth.UNKNOWN:
        return EventType.NORMAL
    return None


def _of_phase(written: Written, status: Mapping[str, object]) -> Iterator[Event]:
    phase = status.get("phase")
    if phase == written.status.get("phase") or not isinstance(phase, str) or phase not in PHASES:
        return
    reason, message = PHASES[phase]
    yield _event(written, EventType.NORMAL, reason.value, message)


def _messages(status: Mapping[str, object]) -> Mapping[str, str]:
    found = status.get("conditions")
    return {
        str(one.get("type")): str(one.get("message", ""))
        for one in (found if isinstance(found, list) else ())
        if isinstance(one, dict)
    }


def _event(written: Written, kind: EventType, reason: str, message: str) -> Event:
    return Event(
        kind=written.kind,
        name=written.name,
        uid=written.uid,
        type=kind,
        reason=reason,
        message=conditions.line(message),
    )
