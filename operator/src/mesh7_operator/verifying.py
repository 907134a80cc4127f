"""`mesh7-operator verify`: would a pod be guarded now? Asked by making one that is not stored.

It goes the way of every new pod: the API server, its webhook configuration, the Service, the
injector's certificate, its settings.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from mesh7_core import errors, names
from mesh7_operator import settings
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import once, resources, shapes

_PAUSE_S: Final = 1.0
_POD: Final[shapes.Object] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"generateName": "mesh7-verify-", "annotations": {names.INJECT: "true"}},
    "spec": {
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [{
            "name": "agent",
            "image": "agent:none",
            "resources": {"limits": {"cpu": "10m", "memory": "16Mi"}},
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            },
        }],
    },
}  # fmt: skip
Tell = Callable[[Mapping[str, object]], None]
"""Takes what was found."""


async def run(chosen: settings.Verify, clock: Clock, tell: Tell) -> None:
    """Ask until a pod would be guarded, for as long as is granted.

    Raises:
        ClusterError: it would not be, or is refused; with what to look at.
        SettingsError: the API server cannot be found.
    """
    server = once.api_server(chosen.cluster)
    end_s = clock.monotonic_s() + chosen.patience_s
    async with server as api:
        while True:
            try:
                pod = await api.rehearse(resources.PODS, chosen.namespace, _POD)
                tell({"did": "would guard", "namespace": chosen.namespace, **judge(pod)})
            except errors.ClusterError:
                # A namespace's default account, a Service's endpoints: they come a moment later.
                if clock.monotonic_s() >= end_s:
                    raise
            else:
                return
            await asyncio.sleep(_PAUSE_S)


def judge(pod: shapes.Object) -> Mapping[str, str]:
    """The level and the image of a guarded pod's sidecar.

    Raises:
        ClusterError: it has none, or one that would not stay.
    """
    found = [
        one
        for one in map(shapes.mapping, shapes.sequence(pod, "spec", "initContainers"))
        if one.get("name") == names.SIDECAR_CONTAINER
    ]
    if not found:
        raise errors.ClusterError(
            "a pod that asks for it would have no sidecar: the API server did not ask the "
            f"injector; see that MutatingWebhookConfiguration `{names.WEBHOOKS}` is there, and "
            f"that the namespace has the label `{names.INJECTION_LABEL}`"
        )
    if found[0].get("restartPolicy") != "Always":
        raise errors.ClusterError(
            "a pod's sidecar would end before its agent starts: the API server dropped "
            "`restartPolicy`; mesh7 needs Kubernetes 1.30 or newer"
        )
    return {
        "level": shapes.text(pod, "metadata", "annotations", names.ENFORCEMENT),
        "image": shapes.text(found[0], "image"),
    }
