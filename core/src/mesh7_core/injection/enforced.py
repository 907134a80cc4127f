"""What level Enforced asks, beside what Guarded does: nobody can become the sidecar's user.

Pure: no clock, no network, no logging.
"""

from collections.abc import Iterator
from typing import Final

from mesh7_core.api.places import shown
from mesh7_core.injection import containers, guarded, meshes
from mesh7_core.injection.containers import Container
from mesh7_core.injection.known import Namespace
from mesh7_core.injection.outcomes import Problem, Refusal
from mesh7_core.injection.shapes import Object

_ROOT: Final = 0


def problems(pod: Object, namespace: Namespace) -> Iterator[Problem]:
    """All that keep the pod from the level; what Guarded refuses is not told again."""
    for container in containers.others(pod):
        yield from _of_container(container)
    yield from meshes.problems(pod, namespace)


def _of_container(container: Container) -> Iterator[Problem]:
    # The sidecar's own user is refused at every level.
    if container.user is None or container.user == _ROOT:
        yield container.problem(
            Refusal.MUST_RUN_AS_OTHER_USER,
            ("securityContext", "runAsUser"),
            "rules go by who sends: write a `runAsUser` that is not 0, here or for the pod",
        )
    if not container.is_non_root:
        yield container.problem(
            Refusal.MUST_RUN_AS_OTHER_USER,
            ("securityContext", "runAsNonRoot"),
            "root can become anybody: write `runAsNonRoot: true`, here or for the pod",
        )
    if container.security.get("allowPrivilegeEscalation") is not False:
        yield container.problem(
            Refusal.ESCALATION,
            ("securityContext", "allowPrivilegeEscalation"),
            "a setuid program could become the sidecar's user: write "
            "`allowPrivilegeEscalation: false`",
        )
    for index, capability in guarded.added(container):
        if capability in guarded.HARMLESS:
            yield container.problem(
                Refusal.CAPABILITY,
                ("securityContext", "capabilities", "add", index),
                f"{shown(capability)}: no capability may be added here, remove it",
            )
