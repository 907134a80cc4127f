"""One pod as the API server has it: whether it is guarded, how much, and by which image.

Pure: no clock, no network, no logging.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from mesh7_cli import reading
from mesh7_core import names
from mesh7_core.injection import existing
from mesh7_core.injection.existing import Guard
from mesh7_core.injection.inject import Cluster, Namespace, inject
from mesh7_core.injection.outcomes import Injected, Refused, Skipped
from mesh7_core.injection.settings import Settings

# Nothing of it is shown; where a pod is made, admission knows the real one.
_SOMEWHERE: Final = Cluster(trust_key="", authorities="", has_network_policy=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What guards pods.

    Attributes:
        namespace: where mesh7 is.
        settings: None = they cannot be seen.
    """

    namespace: str
    settings: Settings | None

    @property
    def may_opt_out(self) -> bool:
        """Whether pods may; where nobody can say, those that did are not called unguarded."""
        return self.settings is None or self.settings.may_opt_out


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One that has not ended.

    Attributes:
        agent: its service account.
        level: that which is written on it; empty where none is.
        image: of its sidecar; empty without one.
        is_ready: its sidecar.
        is_wanted: whether its namespace, or itself, asks for a sidecar.
        explain: see `why`.
    """

    namespace: str
    name: str
    agent: str
    level: str
    image: str
    is_guarded: bool
    is_ready: bool
    is_wanted: bool
    explain: Callable[[], str]

    @property
    def why(self) -> str:
        """What would become of an unguarded one if it were made now; else empty.

        Judged when it is asked for: it costs 0.1 ms, and tables show it of few pods or none.
        """
        return "" if self.is_guarded else self.explain()

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


def pod_of(value: Mapping[str, object], place: Namespace, release: Release) -> Pod:
    """The pod as people are shown it.

    Args:
        value: as the API server has it; neither ended nor about to.
        place: its Namespace.
        release: what guards it.
    """
    guard = existing.guard_of(value, place, release.namespace, may_opt_out=release.may_opt_out)
    sidecar = existing.sidecar(value) if guard is Guard.THERE else {}
    return Pod(
        namespace=place.name,
        name=reading.text(value, "metadata", "name"),
        agent=reading.text(value, "spec", "serviceAccountName") or "default",
        level=reading.text(value, "metadata", "annotations", names.ENFORCEMENT) if sidecar else "",
        image=reading.text(sidecar, "image"),
        is_guarded=guard is Guard.THERE,
        is_ready=bool(sidecar) and _is_ready(value),
        is_wanted=guard is not Guard.NOT_DUE,
        explain=lambda: _why(value, place, release.settings),
    )


def _is_ready(value: Mapping[str, object]) -> bool:
    return any(
        reading.truth(one, "ready")
        for one in reading.objects(value, "status", "initContainerStatuses")
        if reading.text(one, "name") == names.SIDECAR_CONTAINER
    )


def _why(value: Mapping[str, object], place: Namespace, settings: Settings | None) -> str:
    if settings is None:
        return "not known"
    pod = {key: part for key, part in value.items() if key != "status"}
    match inject(pod, place, settings, _SOMEWHERE, is_nodes=True):
        case Injected():
            return "made before its namespace asked for a sidecar; make it anew"
        case Skipped(reason=skip):
            return skip.value
        case Refused(problems=problems):
            return f"would be refused: {problems[0].reason.value}"
