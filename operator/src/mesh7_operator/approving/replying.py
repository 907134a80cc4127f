"""What a Grant's status says: that it counted, why not, or that nobody can say yet.

What was said once about a Grant stays: neither it nor what closed its request changes any more.
Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping
from typing import Final

from mesh7_core.api.places import value_at
from mesh7_core.ledger.asked import State, Vote
from mesh7_operator.approving import answering, telling
from mesh7_operator.approving.answering import Answer, Refusal
from mesh7_operator.approving.ground import Ground
from mesh7_operator.approving.mirrored import Mirrored, Standing
from mesh7_operator.reconciling import conditions
from mesh7_operator.reconciling.conditions import Condition
from mesh7_operator.reconciling.reasons import Phase, Reason, Truth, Type
from mesh7_operator.reconciling.world import Written

_FINAL: Final = (Phase.ACTIVE.value, Phase.REFUSED.value)


def is_final(grant: Written) -> bool:
    """Whether its status says what became of it; that there is no such request may change.

    While its request is pending it is heard anew all the same, since others may come before it;
    but a yes that was one too many stays one (`answering`).
    """
    status = grant.status
    # Being deleted is a new generation, and makes nothing unsaid.
    is_of_it = grant.is_ending or status.get("observedGeneration") == grant.generation
    if status.get("phase") not in _FINAL or not is_of_it:
        return False
    reason = value_at(status, ("conditions", 0, "reason"))
    return isinstance(reason, str) and reason != Reason.NO_SUCH_REQUEST.value


def homeless(grant: Written, ground: Ground) -> Mapping[str, object]:
    """The status of a Grant whose request is not there."""
    return _refused(grant, answering.no_such_request(grant), ground)


def reply(
    answer: Answer, mirror: Mirrored, standing: Standing, ground: Ground
) -> Mapping[str, object]:
    """One Grant's status.

    Args:
        answer: what it says.
        mirror: the request that it names.
        standing: what became of that in this very round.
        ground: whether anything could be decided.
    """
    grant, said = answer.written, answer.said
    if isinstance(said, Refusal):
        return _refused(grant, said, ground)
    if standing.state is State.PENDING and (cause := undecided(ground)) is not None:
        reason, message = cause
        return _status(grant, Truth.UNKNOWN, reason, message, Phase.PENDING, ground)
    if not _counted(said, standing):
        message = f"request `{mirror.id}` {telling.sentence(mirror, standing)}"
        return _refused(grant, Refusal(Reason.REQUEST_CLOSED, message), ground)
    message = f"it counted as what `{said.name}` says"
    return _status(grant, Truth.TRUE, Reason.COUNTED, message, Phase.ACTIVE, ground)


def _counted(vote: Vote, standing: Standing) -> bool:
    return any(
        (one.username, one.verdict) == (vote.person, vote.verdict) for one in standing.decisions
    )


def undecided(ground: Ground) -> tuple[Reason, str] | None:
    """Why nothing can be decided now; None = it can."""
    if ground.ledger is None:
        return Reason.STORE_LOST, (
            "the controller cannot read the request in Redis now, it is looked at when it can"
        )
    if ground.policies is None:
        return Reason.NO_POLICIES, (
            f"no policies are in force in namespace `{ground.namespace}`: it is not enrolled, or "
            "they cannot be delivered; it is looked at when they are"
        )
    if ground.pods is None:
        return Reason.PODS_UNKNOWN, (
            "the controller cannot see whether the pod is still there, it is looked at when it can"
        )
    return None


def _refused(grant: Written, refusal: Refusal, ground: Ground) -> Mapping[str, object]:
    return _status(grant, Truth.FALSE, refusal.reason, refusal.message, Phase.REFUSED, ground)


def _status(
    grant: Written, truth: Truth, reason: Reason, message: str, phase: Phase, ground: Ground
) -> Mapping[str, object]:
    accepted = Condition(type=Type.ACCEPTED, truth=truth, reason=reason, message=message)
    return {
        "observedGeneration": grant.generation,
        "conditions": conditions.written((accepted,), grant.status, grant.generation, ground.now),
        "phase": phase.value,
    }
