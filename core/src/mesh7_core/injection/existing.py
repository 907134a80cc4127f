"""How a pod that exists already is guarded: by its containers, for labels may be forged.

So may a container, in a pod that is older than its namespace's enrolment: one that runs what its
maker says, or a pod where others hold what is the sidecar's, counts as unguarded.

Whoever counts pods counts them by this: the controller, `kubectl mesh7 status` and `check`. Who
should be guarded says the same table as at its creation (`enrolment`).
Pure: no clock, no network, no logging.
"""

from enum import Enum, auto
from typing import Final

from mesh7_core import names
from mesh7_core.injection import enrolment, shapes, volumes
from mesh7_core.injection.known import Namespace
from mesh7_core.injection.outcomes import Skipped
from mesh7_core.injection.shapes import Object

_ENDED: Final = frozenset({"Succeeded", "Failed"})
_ALWAYS: Final = "Always"


class Guard(Enum):
    """Whether a pod has its sidecar.

    Attributes:
        THERE: it has one, whether it should or not.
        MISSING: it should have one, and has none or a forged one.
        NOT_DUE: nobody's concern: it has ended or is about to, or nobody asks for a sidecar.
    """

    THERE = auto()
    MISSING = auto()
    NOT_DUE = auto()


def guard_of(
    pod: Object, namespace: Namespace, release_namespace: str, *, may_opt_out: bool
) -> Guard:
    """Whether the pod, as the API server has it, is guarded where it is."""
    if has_ended(pod):
        return Guard.NOT_DUE
    if sidecar(pod) and not _is_forged(pod):
        return Guard.THERE
    judged = enrolment.judge(
        pod,
        namespace,
        release_namespace,
        may_opt_out=may_opt_out,
        # Who made it is no longer known.
        is_nodes=True,
    )
    return Guard.NOT_DUE if isinstance(judged, Skipped) else Guard.MISSING


def has_ended(pod: Object) -> bool:
    """Whether it has ended, or was told to."""
    return shapes.text(pod, "status", "phase") in _ENDED or bool(
        shapes.text(pod, "metadata", "deletionTimestamp")
    )


def sidecar(pod: Object) -> Object:
    """Its native sidecar of our name; empty without one."""
    for one in shapes.entries(pod, "spec", "initContainers"):
        if shapes.text(one, "name") == names.SIDECAR_CONTAINER:
            return one if shapes.text(one, "restartPolicy") == _ALWAYS else {}
    return {}


def _is_forged(pod: Object) -> bool:
    """Whether the injector made no such pod; by what never changes from release to release."""
    started = sidecar(pod)
    return bool(started.get("command") or started.get("args")) or any(volumes.taken(pod))
