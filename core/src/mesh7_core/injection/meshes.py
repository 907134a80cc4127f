"""Other service meshes in a pod: how they are known.

Pure: no clock, no network, no logging.
"""

from collections.abc import Iterator
from typing import Final

from mesh7_core.api.places import spell
from mesh7_core.injection import containers, shapes
from mesh7_core.injection.containers import Container
from mesh7_core.injection.known import Namespace
from mesh7_core.injection.outcomes import Problem, Refusal
from mesh7_core.injection.shapes import Object

CONTAINERS: Final = frozenset(
    {
        "istio-init",
        "istio-proxy",
        "istio-validation",
        "linkerd-init",
        "linkerd-network-validator",
        "linkerd-proxy",
    }
)
_MARKS: Final = (
    ("annotations", "linkerd.io/inject", ("enabled", "ingress")),
    ("annotations", "sidecar.istio.io/inject", ("true",)),
    ("annotations", "sidecar.istio.io/status", None),
    ("labels", "istio.io/dataplane-mode", ("ambient",)),
    ("labels", "istio.io/rev", None),
    ("labels", "sidecar.istio.io/inject", ("true",)),
)
"""Of a pod; None = whatever stands there."""
_AMBIENT: Final = "istio.io/dataplane-mode"
"""On a Namespace too: nothing is put into its pods, so that no container shows it."""


def hint(container: Container) -> str:
    """What to add to a complaint about a container that another mesh made."""
    if container.name not in CONTAINERS:
        return ""
    return "; it is another mesh's: use that mesh's CNI plugin, or keep it out of this pod"


def problems(pod: Object, namespace: Namespace) -> Iterator[Problem]:
    """All signs that another mesh is in the pod, or will be."""
    for container in containers.others(pod):
        if container.name in CONTAINERS:
            yield container.problem(Refusal.OTHER_MESH, ("name",), _MESSAGE)
    for field, key, values in _MARKS:
        found = shapes.texts(pod, "metadata", field).get(key)
        if found is not None and (values is None or found in values):
            path = spell(("metadata", field, key))
            yield Problem(reason=Refusal.OTHER_MESH, path=path, message=_MESSAGE)
    if namespace.labels.get(_AMBIENT) == "ambient":
        path = f"namespace: {spell(('metadata', 'labels', _AMBIENT))}"
        yield Problem(reason=Refusal.OTHER_MESH, path=path, message=_MESSAGE)


_MESSAGE: Final = (
    "two sets of rules in one pod undo each other: keep the other mesh out of this pod, or have "
    "the namespace at `Guarded`"
)
