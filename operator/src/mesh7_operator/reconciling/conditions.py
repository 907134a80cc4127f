"""Conditions: from what is known to what a status says, keeping the times of what stays true.

Pure: no clock, no network, no logging.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from mesh7_operator.reconciling.reasons import Reason, Truth, Type

MAXIMUM_MESSAGE: Final = 1024
"""Characters; an Event takes no more."""

_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition as it should be.

    Attributes:
        message: for people, one line, at most `MAXIMUM_MESSAGE` characters once written.
    """

    type: Type
    truth: Truth
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stood:
    """One condition as a status has it; anybody who may write statuses may have written it.

    Attributes:
        at: its last transition; empty when none can be read.
    """

    truth: str
    reason: str
    at: str


def stood(status: Mapping[str, object]) -> Mapping[str, Stood]:
    """The conditions of a status by type; what is none is left out. Total."""
    found = status.get("conditions")
    return {
        str(one["type"]): Stood(
            truth=str(one.get("status", "")),
            reason=str(one.get("reason", "")),
            at=_moment(one.get("lastTransitionTime")),
        )
        for one in (found if isinstance(found, list) else ())
        if isinstance(one, dict) and isinstance(one.get("type"), str)
    }


def written(
    conditions: Iterable[Condition], status: Mapping[str, object], generation: int, now: datetime
) -> list[dict[str, object]]:
    """Conditions as a status holds them.

    Args:
        conditions: in the order in which they are shown.
        status: what stands; times of conditions that are as true as before are kept.
        generation: of the object that was looked at.
        now: when the others changed.
    """
    before = stood(status)
    moment = spelled(now)
    return [
        {
            "type": one.type.value,
            "status": one.truth.value,
            "observedGeneration": generation,
            "lastTransitionTime": _since(before.get(one.type.value), one, moment),
            "reason": one.reason.value,
            "message": line(one.message),
        }
        for one in conditions
    ]


def line(text: str) -> str:
    """One line that anybody may be shown, cut to `MAXIMUM_MESSAGE` characters."""
    shown = "".join(sign if sign.isprintable() else " " for sign in text[: MAXIMUM_MESSAGE + 1])
    return shown if len(shown) <= MAXIMUM_MESSAGE else f"{shown[: MAXIMUM_MESSAGE - 1]}…"


def spelled(moment: datetime) -> str:
    """As the API server spells times, in whole seconds."""
    return moment.astimezone(UTC).strftime(_TIME)


def _since(before: Stood | None, now: Condition, moment: str) -> str:
    is_kept = before is not None and before.truth == now.truth and before.at
    return before.at if is_kept and before is not None else moment


def _moment(value: object) -> str:
    """What `spelled` spells; `strptime` would take most of the time of a plan."""
    try:
        is_ours = isinstance(value, str) and spelled(datetime.fromisoformat(value)) == value
    except (ValueError, OverflowError):
        return ""
    return str(value) if is_ours else ""
