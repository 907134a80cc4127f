"""How a pod of an enrolled namespace stands, for the controller's counts and events.

Who is guarded, and who should be, is decided where everybody asks it (core/injection/existing.py).
Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mesh7_core import names
from mesh7_core.injection import existing, shapes
from mesh7_core.injection.existing import Guard
from mesh7_core.injection.known import Namespace

_RUNNING: Final = "Running"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the release says.

    Attributes:
        sidecar_image: that of pods made today; empty = images are not compared.
    """

    release_namespace: str
    may_opt_out: bool = False
    sidecar_image: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How one pod stands; a pod that is neither guarded nor unguarded is nobody's concern.

    Attributes:
        is_unguarded: it should have a sidecar, and has none.
        is_outdated: its sidecar has another image than those of today.
        is_unready: it runs, and its sidecar is not ready.
    """

    is_guarded: bool = False
    is_unguarded: bool = False
    is_outdated: bool = False
    is_unready: bool = False


def standing(pod: Mapping[str, object], namespace: Namespace, rules: Rules) -> Standing:
    """How the pod stands in its namespace."""
    guard = existing.guard_of(
        pod, namespace, rules.release_namespace, may_opt_out=rules.may_opt_out
    )
    if guard is not Guard.THERE:
        return Standing(is_unguarded=guard is Guard.MISSING)
    image = shapes.text(existing.sidecar(pod), "image")
    return Standing(
        is_guarded=True,
        is_outdated=bool(rules.sidecar_image) and image != rules.sidecar_image,
        is_unready=_is_unready(pod),
    )


def _is_unready(pod: Mapping[str, object]) -> bool:
    if shapes.text(pod, "status", "phase") != _RUNNING:
        return False
    return not any(
        shapes.text(one, "name") == names.SIDECAR_CONTAINER and shapes.is_set(one, "ready")
        for one in shapes.entries(pod, "status", "initContainerStatuses")
    )
