"""The init containers that are ours: the sidecar, and at Enforced what keeps others in.

Every value that the API server would fill in is written out, so that a second call on what it
stored changes nothing. Pure: no clock, no network, no logging.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from mesh7_core import names
from mesh7_core.api.quantities import BadQuantity, parse_duration
from mesh7_core.injection import quantities, shapes, variables, volumes
from mesh7_core.injection.known import Cluster
from mesh7_core.injection.settings import Resources, Settings
from mesh7_core.injection.shapes import Object
from mesh7_core.injection.variables import Asked, Given

ADMIN_PORT: Final = 7008
DATA_PORT: Final = 7007
FIRST_BUNDLE: Final = timedelta(seconds=20)
"""What the sidecar waits unless the settings say otherwise."""
_SLOW_START_S: Final = 60
"""Beside that wait: for a node that is busy."""
_ENFORCE: Final = ("python", "-m", "mesh7_sidecar.enforce")
_FILES: Final = {"requests": "64Mi", "limits": "1Gi"}
"""The limit counts the kubelet's log files, which it turns over at 50 Mi unless told otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Floors:
    """Versions that nothing older than is taken."""

    bundle: str
    overlay: str


def sidecar(
    settings: Settings, cluster: Cluster, resources: Resources, floors: Floors, before: Object
) -> dict[str, object]:
    """The native sidecar.

    Args:
        resources: the pod's, within the bounds of the settings.
        before: the container of the name that the pod came with; empty = none.
    """
    wanted = volumes.ours(has_exchange=settings.exchange is not None)
    return {
        "name": names.SIDECAR_CONTAINER,
        "image": settings.image,
        "imagePullPolicy": settings.pull_policy,
        "restartPolicy": "Always",
        "env": [one.written() for one in _environment(settings, cluster, floors)],
        "resources": _resources(resources, before),
        "volumeMounts": [*volumes.mounts(wanted), volumes.no_account()],
        "startupProbe": _probe("/startz", period_s=1, failures=_patience_s(settings)),
        "readinessProbe": _probe("/readyz", period_s=2, failures=3),
        "livenessProbe": _probe("/healthz", period_s=10, failures=3),
        **_ENDING,
        "securityContext": {**_HARMLESS, "runAsNonRoot": True, **_as(settings.user)},
    }


def enforcer(settings: Settings, before: Object) -> dict[str, object]:
    """What lets nobody out of the pod's network but the sidecar's user, and ends."""
    small = Resources(cpu_request="10m", memory_request="32Mi", memory_limit="128Mi")
    return {
        "name": names.ENFORCER_CONTAINER,
        "image": settings.image,
        "imagePullPolicy": settings.pull_policy,
        "command": list(_ENFORCE),
        "env": [Given("MESH7_USER", str(settings.user)).written()],
        "resources": _resources(small, before),
        "volumeMounts": [volumes.no_account()],
        **_ENDING,
        "securityContext": {
            **_HARMLESS,
            "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
            "runAsNonRoot": False,
            **_as(0),
        },
    }


_ENDING: Final[Mapping[str, object]] = {
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "FallbackToLogsOnError",
}
_HARMLESS: Final[Mapping[str, object]] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "privileged": False,
    "readOnlyRootFilesystem": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def _as(user: int) -> dict[str, object]:
    return {"runAsUser": user, "runAsGroup": user}


def _environment(settings: Settings, cluster: Cluster, floors: Floors) -> Iterable[Given | Asked]:
    yield Asked("MESH7_NAMESPACE", "metadata.namespace")
    yield Asked("MESH7_SERVICE_ACCOUNT", "spec.serviceAccountName")
    yield Asked("MESH7_POD_NAME", "metadata.name")
    yield Asked("MESH7_POD_UID", "metadata.uid")
    yield Asked("MESH7_POD_IP", "status.podIPs")
    yield Given("MESH7_LABELS_FILE", f"{volumes.PODINFO_PATH}/{volumes.LABELS_FILE}")
    yield Given("MESH7_TRUST_KEY", cluster.trust_key)
    yield Given("MESH7_BUNDLE_FLOOR", floors.bundle)
    yield Given("MESH7_OVERLAY_FLOOR", floors.overlay)
    yield Given("MESH7_BUNDLE_DIR", volumes.BUNDLE_PATH)
    yield Given("MESH7_STATE", f"{volumes.STATE_PATH}/state")
    yield Given("MESH7_CREDENTIALS", volumes.CREDENTIALS_PATH)
    if settings.exchange is not None:
        yield Given("MESH7_EXCHANGE_URL", settings.exchange.url)
        yield Given("MESH7_EXCHANGE_AUTHORITIES", cluster.authorities)
        yield Given("MESH7_TOKEN_FILE", f"{volumes.TOKEN_PATH}/{volumes.TOKEN_FILE}")
    if settings.collector_authorities:
        yield Given("MESH7_COLLECTOR_AUTHORITIES", settings.collector_authorities)
    # The kubelet makes one of a Service `kubernetes` of the pod's namespace, unless it is written.
    if cluster.api_server:
        yield Given(variables.API_SERVER, cluster.api_server)
    for name in sorted(settings.variables):
        yield Given(name, settings.variables[name])


def _resources(wanted: Resources, before: Object) -> dict[str, object]:
    limits: dict[str, object] = {
        "memory": wanted.memory_limit,
        "ephemeral-storage": _FILES["limits"],
    }
    # A LimitRange may set one between two calls, and then refuses what has none.
    given = shapes.text(before, "resources", "limits", "cpu")
    if given and _is_enough(given, wanted.cpu_request):
        limits["cpu"] = given
    return {
        "requests": {
            "cpu": wanted.cpu_request,
            "memory": wanted.memory_request,
            "ephemeral-storage": _FILES["requests"],
        },
        "limits": limits,
    }


def _is_enough(limit: str, request: str) -> bool:
    try:
        return quantities.parse_cpu(limit) >= quantities.parse_cpu(request)
    except BadQuantity:
        return False


def _patience_s(settings: Settings) -> int:
    written = settings.variables.get(variables.FIRST_BUNDLE)
    first = FIRST_BUNDLE if written is None else parse_duration(written)
    return math.ceil(first.total_seconds()) + _SLOW_START_S


def _probe(path: str, *, period_s: int, failures: int) -> dict[str, object]:
    return {
        "httpGet": {"path": path, "port": ADMIN_PORT, "scheme": "HTTP"},
        "timeoutSeconds": 5,
        "periodSeconds": period_s,
        "successThreshold": 1,
        "failureThreshold": failures,
    }
