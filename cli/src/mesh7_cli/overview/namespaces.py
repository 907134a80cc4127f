"""One namespace: what it asks for, what it has, and what is behind.

Pure: no clock, no network, no logging.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mesh7_cli import reading
from mesh7_cli.overview.pods import Pod
from mesh7_core import names
from mesh7_core.injection.inject import Namespace
from mesh7_core.injection.settings import Settings

UNKNOWN: Final = "?"
NONE: Final = "-"
EGRESS: Final = f"{names.GROUP}/egress"
"""Annotation of the NetworkPolicy."""
HEADS: Final = (
    "namespace", "injection", "level", "pods", "achieved", "stale", "bundle", "policies",
    "current", "egress",
)  # fmt: skip
POD_HEADS: Final = ("namespace", "pod", "agent", "guarded", "level", "ready", "image", "note")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """Of one namespace.

    Attributes:
        ready: those whose conditions `Accepted` and `Ready` are both true.
        behind: of those that select pods, the one of whose sidecars most are not on the bundle in
            force: how many are, of how many; None = none selects any.
        troubled: names of the others, each with the reason of what is not true.
    """

    total: int
    ready: int
    behind: tuple[int, int] | None
    troubled: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Everything about one namespace; None everywhere = this person may not see it.

    Attributes:
        place: its labels.
        bundle: version in the ConfigMap; empty = there is none.
        egress: what the NetworkPolicy says; empty = there is none.
        image: of the sidecars of pods that are made today.
    """

    name: str
    place: Namespace | None
    default_level: str | None
    pods: tuple[Pod, ...] | None
    bundle: str | None
    policies: Policies | None
    egress: str | None
    image: str | None

    @property
    def injection(self) -> str:
        """How it is enrolled."""
        if self.place is None:
            return UNKNOWN
        return self.place.labels.get(names.INJECTION_LABEL, NONE)

    @property
    def level(self) -> str:
        """Which level it asks for."""
        if self.place is None:
            return UNKNOWN
        if self.injection == NONE:
            return NONE
        return self.place.labels.get(names.ENFORCEMENT) or self.default_level or UNKNOWN

    @property
    def guarded(self) -> tuple[Pod, ...]:
        """Its guarded pods."""
        return tuple(pod for pod in self.pods or () if pod.is_guarded)

    @property
    def unguarded(self) -> tuple[Pod, ...]:
        """Pods that should be guarded and are not."""
        return tuple(pod for pod in self.pods or () if pod.is_unguarded)

    @property
    def stale(self) -> tuple[Pod, ...] | None:
        """Pods whose sidecar is not that of pods made today."""
        if self.pods is None or self.image is None:
            return None
        return tuple(pod for pod in self.pods if pod.is_stale(self.image))

    @property
    def levels(self) -> Mapping[str, int]:
        """How many pods achieve which level."""
        return Counter(pod.level or UNKNOWN for pod in self.guarded)


def policies_of(found: Iterable[Mapping[str, object]]) -> Policies:
    """The policies of one namespace."""
    total = ready = 0
    behind: tuple[int, int] | None = None
    troubled = {}
    for one in found:
        total += 1
        reason = _trouble(reading.objects(one, "status", "conditions"))
        ready += not reason
        if reason:
            troubled[reading.text(one, "metadata", "name")] = reason
        matched = reading.number(one, "status", "pods", "matched")
        current = reading.number(one, "status", "pods", "current")
        if matched and (behind is None or matched - current > behind[1] - behind[0]):
            behind = (current, matched)
    return Policies(total=total, ready=ready, behind=behind, troubled=troubled)


def _trouble(conditions: Iterable[Mapping[str, object]]) -> str:
    """The reason of the first of `Accepted` and `Ready` that is not true; empty = both are."""
    found = {reading.text(one, "type"): one for one in conditions}
    for kind in ("Accepted", "Ready"):
        if kind not in found:
            return f"{kind} is not said"
        if reading.text(found[kind], "status") != "True":
            return reading.text(found[kind], "reason") or f"{kind} is not true"
    return ""


def image_of(settings: Settings | None) -> str | None:
    """Of the sidecars of pods made today."""
    return None if settings is None else settings.image


def row(one: Overview) -> list[str]:
    """Of the table of namespaces."""
    wanted = len(one.guarded) + len(one.unguarded)
    stale = one.stale
    policies = one.policies
    return [
        one.name,
        one.injection,
        one.level,
        UNKNOWN if one.pods is None else f"{len(one.guarded)}/{wanted}",
        UNKNOWN if one.pods is None else _counted(one.levels),
        UNKNOWN if stale is None else str(len(stale)),
        _text(one.bundle),
        UNKNOWN if policies is None else f"{policies.ready}/{policies.total}",
        UNKNOWN if policies is None else _share(policies.behind),
        _text(one.egress),
    ]


def pod_rows(one: Overview) -> list[list[str]]:
    """Of the table of pods; those that nobody wants guarded are left out."""
    stale = {pod.name for pod in one.stale or ()}
    return [
        [
            pod.namespace,
            pod.name,
            pod.agent,
            "yes" if pod.is_guarded else "no",
            pod.level or NONE,
            ("yes" if pod.is_ready else "no") if pod.is_guarded else NONE,
            pod.image or NONE,
            "stale" if pod.name in stale else pod.why or NONE,
        ]
        for pod in (*one.guarded, *one.unguarded)
    ]


def as_object(one: Overview) -> dict[str, object]:
    """For programs: null where it is not known."""
    policies = one.policies
    return {
        "namespace": one.name,
        "injection": None if one.place is None else one.place.labels.get(names.INJECTION_LABEL, ""),
        "level": None if one.level == UNKNOWN else one.level.replace(NONE, ""),
        "pods": None if one.pods is None else [_pod(pod, one.image) for pod in one.pods],
        "levels": None if one.pods is None else dict(one.levels),
        "image": one.image,
        "bundleVersion": one.bundle,
        "policies": None
        if policies is None
        else {
            "total": policies.total,
            "ready": policies.ready,
            "troubled": dict(policies.troubled),
            "sidecarsCurrent": None if policies.behind is None else policies.behind[0],
            "sidecarsMatched": None if policies.behind is None else policies.behind[1],
        },
        "egress": one.egress,
    }


def _pod(pod: Pod, image: str | None) -> dict[str, object]:
    return {
        "name": pod.name,
        "agent": pod.agent,
        "isGuarded": pod.is_guarded,
        "isWanted": pod.is_wanted,
        "level": pod.level,
        "image": pod.image,
        "isReady": pod.is_ready,
        "isStale": None if image is None else pod.is_stale(image),
        "why": pod.why,
    }


def _counted(levels: Mapping[str, int]) -> str:
    if not levels:
        return NONE
    # One level for all is the rule, and reads best without a number.
    return (
        next(iter(levels))
        if len(levels) == 1
        else ",".join(f"{level}:{number}" for level, number in sorted(levels.items()))
    )


def _share(behind: Sequence[int] | None) -> str:
    return NONE if behind is None else f"{behind[0]}/{behind[1]}"


def _text(value: str | None) -> str:
    return UNKNOWN if value is None else value or NONE
