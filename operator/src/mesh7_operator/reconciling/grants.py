"""Grants: which of them are in force, and what their statuses say.

Rungs, the first that fits decides: it lies in the release namespace; its time is over; it permits
and is being deleted; it does not compile; admission has not stamped it; it is valid. Those that
answer one held call are not judged here but in `approving`.
Pure: no clock, no network, no logging.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from mesh7_core.api import grants as written_grants
from mesh7_core.api.manifests import Document
from mesh7_core.api.places import value_at
from mesh7_core.compiling import standing
from mesh7_core.delivery import stamps
from mesh7_operator.reconciling import bundling, conditions, wording
from mesh7_operator.reconciling.compilation import (
    Compilation,
    is_exact,
    is_release,
    is_taken_back,
)
from mesh7_operator.reconciling.conditions import Condition
from mesh7_operator.reconciling.reasons import Phase, Reason, Truth, Type
from mesh7_operator.reconciling.world import World, Written

MAXIMUM_USES: Final = 1_000_000_000
"""No grant can say more (`maxUses`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One grant.

    Attributes:
        document: what the overlay says of it; None = it is not in force.
        ends_at: when it ends by its own word; None = never, or it does not say.
    """

    written: Written
    accepted: Condition
    document: Document | None
    ends_at: datetime | None


def judge(world: World, compilation: Compilation) -> tuple[Judged, ...]:
    """All standing grants and vetoes of the namespace, by name."""
    ordered = sorted((one for one in world.grants if not is_exact(one)), key=lambda one: one.name)
    return tuple(_judged(one, world, compilation) for one in ordered)


def in_force(judged: Iterable[Judged]) -> Mapping[str, Document]:
    """What the overlay is to hold, by `Written.file`."""
    return {one.written.file: one.document for one in judged if one.document is not None}


def may_stand(written: Written, world: World) -> bool:
    """Whether nothing but its policy can keep a permission from being in force."""
    ends_at = _ends_at(written)
    has_ended = ends_at is not None and ends_at <= world.now
    is_over = has_ended or is_taken_back(written)
    return not is_over and stamps.is_stamped(written.value, world.keys.stamps)


def next_end(judged: Iterable[Judged], now: datetime) -> datetime | None:
    """When the next grant that is in force ends; None = none does."""
    ends = [one.ends_at for one in judged if one.document is not None and one.ends_at is not None]
    return min((one for one in ends if one > now), default=None)


def status(judged: Judged, world: World, left_out: frozenset[str]) -> dict[str, object]:
    """One grant's status.

    Args:
        judged: the grant.
        world: its namespace.
        left_out: grants for which the overlay has no room.
    """
    written = judged.written
    accepted = judged.accepted
    if written.file in left_out:
        accepted = _refused(
            Reason.OVERLAY_TOO_LARGE,
            "the grants of this namespace are too many to be delivered, delete some; "
            "vetoes are in force, this grant is not",
        )
    uses = _uses(written, world)
    found: dict[str, object] = {
        "observedGeneration": written.generation,
        "conditions": conditions.written(
            (accepted,), written.status, written.generation, world.now
        ),
        "phase": _phase(judged, world, accepted, uses or 0).value,
    }
    if uses is not None:
        found["uses"] = uses
    if judged.ends_at is not None:
        found["expiresAt"] = conditions.spelled(judged.ends_at)
    return found


def _judged(written: Written, world: World, compilation: Compilation) -> Judged:
    ends_at = _ends_at(written)
    accepted = _accepted(written, world, compilation, ends_at)
    compiled = compilation.grants.get(written.file)
    is_lost = accepted.reason in _NEVER_IN_FORCE
    document = compiled
    if is_lost or (accepted.truth is not Truth.TRUE and compiled is not None
                   and not bundling.is_veto(compiled)):  # fmt: skip
        document = None
    return Judged(written=written, accepted=accepted, document=document, ends_at=ends_at)


_NEVER_IN_FORCE: Final = (Reason.NOT_SERVED_HERE, Reason.EXPIRED)


def _accepted(
    written: Written, world: World, compilation: Compilation, ends_at: datetime | None
) -> Condition:
    if is_release(world):
        return _refused(Reason.NOT_SERVED_HERE, wording.NOT_SERVED_HERE)
    if ends_at is not None and ends_at <= world.now:
        return _refused(Reason.EXPIRED, f"it ended at {conditions.spelled(ends_at)}")
    if is_taken_back(written):
        return _refused(Reason.BEING_DELETED, wording.BEING_DELETED)
    if compilation.excess_of_grants:
        return _refused(
            Reason.OVERLAY_TOO_LARGE,
            f"the namespace has {compilation.excess_of_grants}, so that none was looked at and "
            "every call is stopped; delete some",
        )
    if compilation.excess and standing.is_permission(written.value):
        return _refused(
            Reason.BUNDLE_TOO_LARGE,
            f"the namespace has {compilation.excess}, so that no permission was looked at",
        )
    if compilation.excess_of_permissions and standing.is_permission(written.value):
        return _refused(
            Reason.OVERLAY_TOO_LARGE,
            f"the namespace needs {compilation.excess_of_permissions}, so that no permission was "
            "looked at; delete some",
        )
    if written.file in compilation.refused:
        return _invalid(written, compilation)
    compiled = compilation.grants.get(written.file)
    is_veto = compiled is not None and bundling.is_veto(compiled)
    if not is_veto and written.file not in compilation.stamped:
        return _refused(
            Reason.NOT_STAMPED,
            "admission has not stamped it, so that nobody knows who made it, create it anew "
            "while the injector runs",
        )
    return wording.accepted(compilation.diagnostics.get(written.file, ()))


def _invalid(written: Written, compilation: Compilation) -> Condition:
    is_fenced = written.file in compilation.grants
    consequence = "until it is replaced it stops every call of its subject" if is_fenced else ""
    return wording.refused(compilation.diagnostics.get(written.file, ()), consequence)


def _refused(reason: Reason, message: str) -> Condition:
    return Condition(type=Type.ACCEPTED, truth=Truth.FALSE, reason=reason, message=message)


def _phase(judged: Judged, world: World, accepted: Condition, uses: int) -> Phase:
    match accepted.reason:
        case Reason.EXPIRED:
            return Phase.EXPIRED
        case Reason.OVERLAY_TOO_LARGE:
            return Phase.REFUSED
        case _ if judged.document is None:
            return Phase.REFUSED
        case _ if not world.is_enrolled:
            return Phase.PENDING
        case _:
            return Phase.EXHAUSTED if _is_spent(judged.written, uses) else Phase.ACTIVE


def _is_spent(written: Written, uses: int) -> bool:
    most = value_at(written.value, ("spec", "maxUses"))
    is_permission = value_at(written.value, ("spec", "effect")) == "Allow"
    return is_permission and isinstance(most, int) and uses >= most


def _uses(written: Written, world: World) -> int | None:
    """What the store says; while it says nothing, what stands. None = nobody ever said."""
    if world.published is not None:
        found = world.published.uses.get(f"{written.namespace}/{written.name}", 0)
        return min(max(found, 0), MAXIMUM_USES)
    stood = written.status.get("uses")
    return stood if isinstance(stood, int) and 0 <= stood <= MAXIMUM_USES else None


def _ends_at(written: Written) -> datetime | None:
    try:
        return written_grants.parse_moment(value_at(written.value, ("spec", "expiresAt")))
    except ValueError:
        return None
