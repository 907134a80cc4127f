"""One pod as the API server has it: whether it is guarded, how much, and by which image.

Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mesh7_cli import reading
from mesh7_core import names
from mesh7_core.injection.inject import Cluster, Namespace, inject
from mesh7_core.injection.outcomes import Injected, Refused, Skipped
from mesh7_core.injection.settings import Settings

_ENDED: Final = {"Succeeded", "Failed"}
_ASKS: Final = "true"
# Nothing of it is shown; where a pod is made, admission knows the real one.
_SOMEWHERE: Final = Cluster(trust_key="", authorities="", has_network_policy=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One that has not ended.

    Attributes:
        agent: its service account.
        level: that which is written on it; empty where none is.
        image: of its sidecar; empty without one.
        is_ready: its sidecar.
        is_wanted: whether its namespace, or itself, asks for a sidecar.
        why: of an unguarded one, what would become of it if it were made now; else empty.
    """

    namespace: str
    name: str
    agent: str
    level: str
    image: str
    is_guarded: bool
    is_ready: bool
    is_wanted: bool
    why: str

    @property
    def is_unguarded(self) -> bool:
        """Whether it should have a sidecar and has none."""
        return self.is_wanted and not self.is_guarded

    def is_stale(self, image: str) -> bool:
        """Whether new pods have another sidecar.

        Args:
            image: of pods made today.
        """
        return self.is_guarded and self.image != image


def is_running(value: Mapping[str, object]) -> bool:
    """Whether it has neither ended nor is about to."""
    return reading.text(value, "status", "phase") not in _ENDED and not reading.text(
        value, "metadata", "deletionTimestamp"
    )


def pod_of(value: Mapping[str, object], place: Namespace, settings: Settings | None) -> Pod:
    """The pod as people are shown it.

    Args:
        value: as the API server has it.
        place: its Namespace.
        settings: the release's; None = they cannot be seen.
    """
    sidecar = _named(reading.objects(value, "spec", "initContainers"))
    is_guarded = (
        bool(sidecar)
        and reading.text(sidecar, "restartPolicy") == "Always"
        and reading.text(value, "metadata", "labels", names.INJECTED_LABEL) == _ASKS
    )
    is_wanted, why = (True, "") if is_guarded else _wanted(value, place, settings)
    state = _named(reading.objects(value, "status", "initContainerStatuses"))
    return Pod(
        namespace=place.name,
        name=reading.text(value, "metadata", "name"),
        agent=reading.text(value, "spec", "serviceAccountName") or "default",
        level=reading.text(value, "metadata", "annotations", names.ENFORCEMENT)
        if is_guarded
        else "",
        image=reading.text(sidecar, "image"),
        is_guarded=is_guarded,
        is_ready=reading.truth(state, "ready"),
        is_wanted=is_wanted,
        why=why,
    )


def _named(containers: list[dict[str, object]]) -> dict[str, object]:
    found = (one for one in containers if reading.text(one, "name") == names.SIDECAR_CONTAINER)
    return next(found, {})


def _wanted(
    value: Mapping[str, object], place: Namespace, settings: Settings | None
) -> tuple[bool, str]:
    """Whether an unguarded pod should be guarded, and what would become of it now."""
    if settings is None:
        return _seems_wanted(value, place), "not known"
    pod = {key: part for key, part in value.items() if key != "status"}
    match inject(pod, place, settings, _SOMEWHERE):
        case Injected():
            return True, "made before its namespace asked for a sidecar; make it anew"
        case Skipped(reason=skip):
            return False, skip.value
        case Refused(problems=problems):
            return True, f"would be refused: {problems[0].reason.value}"


def _seems_wanted(value: Mapping[str, object], place: Namespace) -> bool:
    enrolled = place.labels.get(names.INJECTION_LABEL)
    asks = {
        reading.text(value, "metadata", kind, names.INJECT) for kind in ("labels", "annotations")
    }
    if enrolled == names.INJECTION_VALUES[0]:
        return "false" not in asks
    return enrolled == names.INJECTION_VALUES[1] and _ASKS in asks
