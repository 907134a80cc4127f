"""Whose turn it is among the questions of one namespace, who waits, and what is over.

Pure: no clock, no network, no logging; ages are arguments.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mesh7_operator.reconciling.world import Written

KEPT_S: Final = 300.0
"""Then a question is deleted, answered or not: nobody waits that long."""
MOST_WAITING: Final = 32
MOST_ANSWERED: Final = 32
"""Answers that are kept; each may have half a megabyte."""
TOO_MANY: Final = (
    f"{MOST_WAITING} questions of this namespace wait already; ask again once they are answered, "
    "and delete those that nobody waits for (kubectl get auditqueries)"
)
DEFECT: Final = (
    "the controller failed with this question, which is a defect of mesh7; its log has the "
    "traceback, please report it"
)
_WAITING: Final = frozenset({"", "Pending"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What is to be done now.

    Attributes:
        next: to be answered; None = nobody waits.
        waiting: after it, in order.
        too_many: not to be answered at all.
        over: to be deleted.
    """

    next: Written | None
    waiting: tuple[Written, ...]
    too_many: tuple[Written, ...]
    over: tuple[Written, ...]


def turn(queries: Sequence[Written], ages_s: Mapping[str, float]) -> Turn:
    """First come, first served.

    Args:
        queries: of one namespace, none of which is being deleted.
        ages_s: for how long each is known, by uid.
    """
    ordered = sorted(queries, key=_when)
    old = [one for one in ordered if ages_s.get(one.uid, 0.0) >= KEPT_S]
    fresh = [one for one in ordered if ages_s.get(one.uid, 0.0) < KEPT_S]
    waiting = [one for one in fresh if _phase(one) in _WAITING]
    answered = [one for one in fresh if _phase(one) not in _WAITING]
    surplus = answered[: max(0, len(answered) - MOST_ANSWERED)]
    return Turn(
        next=waiting[0] if waiting else None,
        waiting=tuple(waiting[1 : MOST_WAITING + 1]),
        too_many=tuple(waiting[MOST_WAITING + 1 :]),
        over=(*old, *surplus),
    )


def _phase(one: Written) -> str:
    found = one.status.get("phase")
    return found if isinstance(found, str) else ""


def _when(one: Written) -> tuple[str, str]:
    metadata = one.value.get("metadata")
    made = metadata.get("creationTimestamp") if isinstance(metadata, Mapping) else ""
    return str(made), one.name
