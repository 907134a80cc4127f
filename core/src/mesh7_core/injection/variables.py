"""Environment variables: those of the sidecar, and those that point agents at it.

docs/reference/pod-environment.md says what each means. Pure: no clock, no network, no logging.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from mesh7_core.api.places import shown
from mesh7_core.injection import shapes
from mesh7_core.injection.containers import Container
from mesh7_core.injection.known import Source
from mesh7_core.injection.outcomes import Problem, Refusal
from mesh7_core.injection.shapes import Object

BASE: Final = "http://127.0.0.1:7007"
"""The data listener, which is on loopback alone."""
URL: Final = "MESH7_URL"
FIRST_BUNDLE: Final = "MESH7_FIRST_BUNDLE"
HOLD: Final = "MESH7_HOLD"
TRACE_SHARE: Final = "MESH7_TRACE_SHARE"
REDIS_URL: Final = "MESH7_REDIS_URL"
API_SERVER: Final = "KUBERNETES_SERVICE_HOST"
LONGEST_FIRST_BUNDLE: Final = timedelta(minutes=5)
RESERVED: Final = frozenset(
    {
        URL,
        "MESH7_NAMESPACE",
        "MESH7_SERVICE_ACCOUNT",
        "MESH7_POD_NAME",
        "MESH7_POD_UID",
        "MESH7_POD_IP",
        "MESH7_LABELS_FILE",
        "MESH7_TRUST_KEY",
        "MESH7_BUNDLE_FLOOR",
        "MESH7_OVERLAY_FLOOR",
        "MESH7_BUNDLE_DIR",
        "MESH7_STATE",
        "MESH7_CREDENTIALS",
        "MESH7_EXCHANGE_URL",
        "MESH7_EXCHANGE_AUTHORITIES",
        "MESH7_EXCHANGE_CA",
        "MESH7_TOKEN_FILE",
        "MESH7_COLLECTOR_AUTHORITIES",
        "MESH7_LISTEN",
        "MESH7_ADMIN",
        "MESH7_USER",
    }
)
"""What settings may not set: injection does, or the pod's shape hangs on their defaults."""


@dataclass(frozen=True, slots=True)
class Given:
    """A variable with a value that is known now."""

    name: str
    value: str

    def written(self) -> dict[str, object]:
        """As a container's `env` has it."""
        return {"name": self.name, "value": self.value}


@dataclass(frozen=True, slots=True)
class Asked:
    """A variable with a value of the pod, which the kubelet knows."""

    name: str
    field: str

    def written(self) -> dict[str, object]:
        """As a container's `env` has it."""
        # With the default that the API server would write: a second call changes nothing then.
        field = {"apiVersion": "v1", "fieldPath": self.field}
        return {"name": self.name, "valueFrom": {"fieldRef": field}}


def of_source(source: Source) -> Given:
    """Where agents find a source."""
    kind = source.kind.lower()
    folded = source.name.upper().replace("-", "_")
    return Given(f"MESH7_{kind.upper()}_{folded}_URL", f"{BASE}/{kind}/{source.name}")


def of_agents(sources: Iterable[Source]) -> list[Given]:
    """Those of every container that is not ours, in a stable order, each once."""
    named = {one.name: one for one in map(of_source, sources)}
    return [Given(URL, BASE), *(named[name] for name in sorted(named))]


def collisions(sources: Iterable[Source]) -> Iterator[Problem]:
    """Sources that would have one variable."""
    known: dict[str, Source] = {}
    for source in sorted(sources, key=lambda one: (one.kind, one.name)):
        variable = of_source(source).name
        first = known.setdefault(variable, source)
        if first != source:
            yield Problem(
                reason=Refusal.SOURCES_COLLIDE,
                path="",
                message=(
                    f"sources {shown(first.name)} and {shown(source.name)} would both be "
                    f"`{variable}`, rename one"
                ),
            )


def conflicts(container: Container, given: Iterable[Given]) -> Iterator[Problem]:
    """Variables that the container sets to something else itself."""
    wanted = {one.name: one for one in given}
    for index, entry in enumerate(shapes.entries(container.value, "env")):
        ours = wanted.get(shapes.text(entry, "name"))
        if ours is not None and not _is_equal(entry, ours):
            yield container.problem(
                Refusal.VARIABLE_CONFLICT,
                ("env", index),
                f"`{ours.name}` is set to something else than `{ours.value}`, remove it or rename "
                "your variable",
            )


def put_in(container: Object, given: Iterable[Given]) -> dict[str, object]:
    """The container with the variables that it lacks, before its own: those may refer to them."""
    own = shapes.entries(container, "env")
    there = {shapes.text(one, "name") for one in own}
    lacking = [one.written() for one in given if one.name not in there]
    return {**container, "env": [*lacking, *own]} if lacking else dict(container)


def _is_equal(entry: Object, ours: Given) -> bool:
    return entry.get("value") == ours.value and not entry.get("valueFrom")
