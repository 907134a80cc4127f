"""What statuses say of what is written: the compiler's words, cut to what a status can hold.

Pure: no clock, no network, no logging.
"""

from collections.abc import Iterable
from typing import Final

from mesh7_core.compiling.diagnostics import Diagnostic, Severity
from mesh7_operator.reconciling.conditions import Condition
from mesh7_operator.reconciling.reasons import Reason, Truth, Type

MOST_TOLD: Final = 3
NOT_SERVED_HERE: Final = (
    "the release namespace holds the baseline's policies only, move it to an enrolled namespace"
)
NOT_ENROLLED: Final = (
    "the namespace is not enrolled, label it `mesh7.dev/injection: enabled` or `on-request`"
)

BEING_DELETED: Final = (
    "somebody deleted it, and `metadata.finalizers` keep it; what it permitted ended with that"
)


def accepted(found: Iterable[Diagnostic]) -> Condition:
    """It compiles; what the compiler warns of is told."""
    warnings = tuple(one for one in found if one.severity is Severity.WARNING)
    told = f"it compiles, but look at this: {_told(warnings)}" if warnings else "it compiles"
    return Condition(type=Type.ACCEPTED, truth=Truth.TRUE, reason=Reason.VALID, message=told)


def not_looked_at(excess: str) -> Condition:
    """The namespace wrote too much for anything of it to be compiled."""
    return Condition(
        type=Type.ACCEPTED,
        truth=Truth.UNKNOWN,
        reason=Reason.BUNDLE_TOO_LARGE,
        message=f"it was not looked at: the namespace has {excess}",
    )


def refused(found: Iterable[Diagnostic], consequence: str = "") -> Condition:
    """It does not compile: the first mistakes, and how many there are beside them.

    Args:
        found: what the compiler says of it.
        consequence: what that means until it is corrected; empty = it means nothing until then.
    """
    errors = tuple(one for one in found if one.severity is Severity.ERROR)
    codes = [Reason(one.code) for one in errors if one.code]
    told = _told(errors) or "it does not compile"
    return Condition(
        type=Type.ACCEPTED,
        truth=Truth.FALSE,
        reason=codes[0] if codes else Reason.INVALID,
        message=f"{consequence}: {told}" if consequence else told,
    )


def _told(found: tuple[Diagnostic, ...]) -> str:
    first = "; ".join(
        f"{one.path}: {one.message}" if one.path else one.message for one in found[:MOST_TOLD]
    )
    rest = len(found) - MOST_TOLD
    return f"{first}; and {rest} more" if rest > 0 else first
