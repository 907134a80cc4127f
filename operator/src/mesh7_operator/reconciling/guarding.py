"""How a pod of an enrolled namespace stands: by its containers, for labels may be forged.

Who is to be guarded says the same table as at its creation (core/injection/enrolment.py).
Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mesh7_core import names
from mesh7_core.api.places import value_at
from mesh7_core.injection import enrolment
from mesh7_core.injection.known import Namespace
from mesh7_core.injection.outcomes import Skipped

_ENDED: Final = frozenset({"Succeeded", "Failed"})
_RUNNING: Final = "Running"
_ALWAYS: Final = "Always"


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
    if value_at(pod, ("status", "phase")) in _ENDED:
        return Standing()
    sidecar = _sidecar(pod)
    if sidecar is not None:
        image = sidecar.get("image")
        return Standing(
            is_guarded=True,
            is_outdated=bool(rules.sidecar_image) and image != rules.sidecar_image,
            is_unready=_is_unready(pod),
        )
    judged = enrolment.judge(pod, namespace, rules.release_namespace, may_opt_out=rules.may_opt_out)
    return Standing(is_unguarded=not isinstance(judged, Skipped))


def _sidecar(pod: Mapping[str, object]) -> Mapping[str, object] | None:
    for one in _listed(value_at(pod, ("spec", "initContainers"))):
        if one.get("name") == names.SIDECAR_CONTAINER and one.get("restartPolicy") == _ALWAYS:
            return one
    return None


def _is_unready(pod: Mapping[str, object]) -> bool:
    status = value_at(pod, ("status",))
    if not isinstance(status, dict) or status.get("phase") != _RUNNING:
        return False
    return not any(
        one.get("name") == names.SIDECAR_CONTAINER and one.get("ready") is True
        for one in _listed(status.get("initContainerStatuses"))
    )


def _listed(value: object) -> list[Mapping[str, object]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
