"""What level Guarded asks: tools' credentials are in the sidecar, and nobody reads its traffic.

Pure: no clock, no network, no logging.
"""

from collections.abc import Iterator
from typing import Final

from mesh7_core import names
from mesh7_core.api.places import shown, spell
from mesh7_core.injection import containers, meshes, shapes, variables
from mesh7_core.injection.containers import Container
from mesh7_core.injection.known import Cluster
from mesh7_core.injection.outcomes import Problem, Refusal
from mesh7_core.injection.settings import Settings
from mesh7_core.injection.shapes import Object

HARMLESS: Final = frozenset(
    {
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    }
)
"""Capabilities that Pod Security's level `baseline` lets be added, spelled as there.

Any other may read or alter the network that a pod's containers share, or the sidecar's memory.
"""
_SELINUX: Final = frozenset(
    {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
)
"""The same level's types."""
_DROPPED: Final = frozenset({"ALL", "NET_RAW"})


def problems(pod: Object, settings: Settings, cluster: Cluster) -> Iterator[Problem]:
    """All that keep the pod from the level."""
    for container in containers.others(pod):
        yield from _of_container(container)
    for index, volume in enumerate(shapes.entries(pod, "spec", "volumes")):
        if volume.get("hostPath") is not None:
            yield Problem(
                reason=Refusal.HOST_PATH,
                path=spell(("spec", "volumes", index, "hostPath")),
                message="the node's files may hold other pods' tokens: use another kind of volume",
            )
    yield from _of_release(settings, cluster)


def added(container: Container) -> list[tuple[int, str]]:
    """Capabilities that the container adds, with their index."""
    return list(enumerate(shapes.words(container.security, "capabilities", "add")))


def _of_container(container: Container) -> Iterator[Problem]:
    if shapes.is_set(container.security, "privileged"):
        yield container.problem(
            Refusal.PRIVILEGED,
            ("securityContext", "privileged"),
            "a privileged container reads everything in the pod, remove `privileged`",
        )
    for index, capability in added(container):
        if capability not in HARMLESS:
            yield container.problem(
                Refusal.CAPABILITY,
                ("securityContext", "capabilities", "add", index),
                f"{shown(capability)} may get at the sidecar's traffic or memory, remove it"
                f"{meshes.hint(container)}",
            )
    yield from _weakened(container)
    # As the runtime compares them: another spelling drops nothing.
    if not _DROPPED & set(shapes.words(container.security, "capabilities", "drop")):
        yield container.problem(
            Refusal.MUST_DROP_NET_RAW,
            ("securityContext", "capabilities", "drop"),
            "the container keeps NET_RAW, which reads the pod's network: write `drop: [ALL]`",
        )


def _weakened(container: Container) -> Iterator[Problem]:
    """What takes a runtime's usual fence away."""
    kind = container.effective_text("seLinuxOptions", "type")
    if kind not in _SELINUX:
        yield container.problem(
            Refusal.WEAKENED,
            ("securityContext", "seLinuxOptions", "type"),
            f"{shown(kind)} is no type of containers, remove it here or from the pod",
        )
    if container.effective_text("seccompProfile", "type") == "Unconfined":
        yield container.problem(
            Refusal.WEAKENED,
            ("securityContext", "seccompProfile", "type"),
            "without a profile every system call is open: write `RuntimeDefault`",
        )
    if shapes.text(container.security, "procMount") == "Unmasked":
        yield container.problem(
            Refusal.WEAKENED,
            ("securityContext", "procMount"),
            "an unmasked /proc shows and sets what the kernel keeps for all, remove it",
        )


def _of_release(settings: Settings, cluster: Cluster) -> Iterator[Problem]:
    given = settings.variables.get(variables.REDIS_URL, "")
    is_plain = settings.exchange is not None and not settings.exchange.is_redis_encrypted
    if is_plain or given.lower().startswith("redis://"):
        yield Problem(
            reason=Refusal.PLAIN_REDIS,
            path="",
            message=(
                "the release's Redis speaks no TLS, so that limits and approvals cross the "
                "network in the clear: give mesh7 a `rediss://` URL"
            ),
        )
    for source in sorted(cluster.sources, key=lambda one: one.name):
        if source.has_plain_credential:
            yield Problem(
                reason=Refusal.PLAIN_CREDENTIALS,
                path="",
                message=(
                    f"ToolSource {shown(source.name)} would send a credential over plain http: "
                    "give it an `https://` URL, or remove the credential"
                ),
            )
    if not cluster.has_network_policy:
        yield Problem(
            reason=Refusal.NO_NETWORK_POLICY,
            path="",
            message=(
                f"the namespace has no NetworkPolicy `{names.NETWORK_POLICY}` yet: the controller "
                "writes it within seconds, try again"
            ),
        )
