"""What every guarded pod has to be like, at any level.

Pure: no clock, no network, no logging.
"""

from collections.abc import Iterator
from typing import Final

from mesh7_core.api.places import spell
from mesh7_core.injection import containers, shapes
from mesh7_core.injection.containers import OURS, Container
from mesh7_core.injection.outcomes import Problem, Refusal
from mesh7_core.injection.shapes import Object
from mesh7_core.injection.sidecar_container import ADMIN_PORT, DATA_PORT

_SYSTEM_LABELS: Final = ("kubernetes.io/os", "beta.kubernetes.io/os")
_MOST_USER_IN_NAMESPACE: Final = 65_535
_SHARED: Final = (
    ("hostNetwork", Refusal.HOST_NETWORK, "whoever is on the node would be this agent"),
    ("hostPID", Refusal.HOST_PROCESSES, "the pod sees the node's processes"),
    ("hostIPC", Refusal.HOST_PROCESSES, "the pod shares memory with the node's processes"),
    (
        "shareProcessNamespace",
        Refusal.SHARED_PROCESSES,
        "containers could read the sidecar's memory",
    ),
)


def problems(pod: Object, user: int) -> Iterator[Problem]:
    """All that keep the pod from being guarded.

    Args:
        user: the sidecar's.
    """
    yield from _system(pod)
    for field, reason, why in _SHARED:
        if shapes.is_set(pod, "spec", field):
            message = f"{why}: remove `{field}`"
            yield Problem(reason=reason, path=spell(("spec", field)), message=message)
    if shapes.mapping(pod, "spec").get("hostUsers") is False and user > _MOST_USER_IN_NAMESPACE:
        yield Problem(
            reason=Refusal.USER_CONFLICT,
            path="spec.hostUsers",
            message=(
                f"a user namespace has no user {user}, who the sidecar runs as: remove "
                "`hostUsers`, or have the release's `injection.user` set below 65536"
            ),
        )
    for container in containers.others(pod):
        yield from _of_container(container, user)


def _system(pod: Object) -> Iterator[Problem]:
    spec = shapes.mapping(pod, "spec")
    found = [("spec", "os", "name")] if shapes.text(spec, "os", "name") == "windows" else []
    chosen = shapes.texts(spec, "nodeSelector")
    found += [
        ("spec", "nodeSelector", label)
        for label in _SYSTEM_LABELS
        if chosen.get(label) == "windows"
    ]
    for path in found:
        message = "the sidecar runs on Linux only: keep this pod in a namespace without mesh7"
        yield Problem(reason=Refusal.WINDOWS, path=spell(path), message=message)


def _of_container(container: Container, user: int) -> Iterator[Problem]:
    if container.name in OURS:
        yield container.problem(
            Refusal.NAME_TAKEN,
            ("name",),
            f"`{container.name}` is an init container of mesh7, give yours another name",
        )
    if container.user == user:
        yield container.problem(
            Refusal.USER_CONFLICT,
            ("securityContext", "runAsUser"),
            f"{user} is who the sidecar runs as, choose another user",
        )
    for index, port in enumerate(shapes.entries(container.value, "ports")):
        for field in ("containerPort", "hostPort"):
            if port.get(field) in (DATA_PORT, ADMIN_PORT):
                yield container.problem(
                    Refusal.PORT_CONFLICT,
                    ("ports", index, field),
                    f"{port[field]} is a port of the sidecar, listen on another",
                )
