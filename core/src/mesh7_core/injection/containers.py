"""The containers of a pod that are not ours: where they stand, and as whom they run.

Pure: no clock, no network, no logging.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mesh7_core import names
from mesh7_core.api.places import Path, spell
from mesh7_core.injection import shapes
from mesh7_core.injection.outcomes import Problem, Refusal
from mesh7_core.injection.shapes import Object

OURS = (names.ENFORCER_CONTAINER, names.SIDECAR_CONTAINER)
"""Names of init containers that are replaced by what they should be; in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One that is not ours.

    Attributes:
        path: where it stands, such as `("spec", "containers", 0)`.
        pod_security: the pod's `securityContext`, which its own goes before.
    """

    path: Path
    value: Object
    pod_security: Object

    @property
    def name(self) -> str:
        """Never empty, in a pod without mistakes."""
        return shapes.text(self.value, "name")

    @property
    def security(self) -> Object:
        """Its own `securityContext`."""
        return shapes.mapping(self.value, "securityContext")

    @property
    def user(self) -> int | None:
        """Who it runs as by what is written; None = the image says."""
        found = self._effective("runAsUser")
        return found if isinstance(found, int) else None

    @property
    def is_non_root(self) -> bool:
        """Whether the kubelet refuses to run it as root."""
        return self._effective("runAsNonRoot") is True

    def problem(self, reason: Refusal, steps: Path, message: str) -> Problem:
        """Something in it at `steps`."""
        return Problem(reason=reason, path=spell((*self.path, *steps)), message=message)

    def effective_text(self, key: str, inner: str) -> str:
        """A word of a mapping that the pod may give, too; empty = nobody says it."""
        own = shapes.text(self.security, key, inner)
        return own or shapes.text(self.pod_security, key, inner)

    def _effective(self, key: str) -> object:
        own = self.security.get(key)
        return self.pod_security.get(key) if own is None else own


def is_ours(field: str, value: Object) -> bool:
    """Whether it claims to be ours, where ours stand."""
    return field == "initContainers" and shapes.text(value, "name") in OURS


def others(pod: Object) -> Iterator[Container]:
    """Those of every kind that are not ours, in the order in which they run."""
    for field in shapes.CONTAINER_FIELDS:
        for index, value in enumerate(shapes.entries(pod, "spec", field)):
            if not is_ours(field, value):
                yield Container(
                    path=("spec", field, index),
                    value=value,
                    pod_security=shapes.mapping(pod, "spec", "securityContext"),
                )
