"""The volumes that are the sidecar's alone, and what nobody else may mount.

Pure: no clock, no network, no logging.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from mesh7_core import names
from mesh7_core.api.places import Path, shown, spell
from mesh7_core.injection import containers, shapes
from mesh7_core.injection.containers import Container
from mesh7_core.injection.outcomes import Problem, Refusal
from mesh7_core.injection.shapes import Object

BUNDLE: Final = "mesh7-bundle"
CREDENTIALS: Final = "mesh7-credentials"
TOKEN: Final = "mesh7-token"  # noqa: S105 - a volume's name
PODINFO: Final = "mesh7-podinfo"
STATE: Final = "mesh7-state"
NAMES: Final = (BUNDLE, CREDENTIALS, TOKEN, PODINFO, STATE)

BUNDLE_PATH: Final = "/etc/mesh7/bundle"
CREDENTIALS_PATH: Final = "/etc/mesh7/credentials"
TOKEN_PATH: Final = "/var/run/secrets/mesh7.dev"  # noqa: S105 - a folder
TOKEN_FILE: Final = "token"  # noqa: S105 - a file's name
PODINFO_PATH: Final = "/etc/mesh7/podinfo"
LABELS_FILE: Final = "labels"
STATE_PATH: Final = "/var/lib/mesh7"
ACCOUNT_PATH: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_S: Final = 3600
STATE_SIZE: Final = "64Mi"
"""Two envelopes of 700 KiB, a journal and definitions; counts as the container's memory."""

_MODE: Final = 0o644
# Values that the API server would fill in are written out: a second call changes nothing then.
_VOLUMES: Final[Mapping[str, Mapping[str, object]]] = {
    BUNDLE: {
        "configMap": {"name": names.BUNDLE_CONFIG_MAP, "defaultMode": _MODE, "optional": True}
    },
    CREDENTIALS: {
        "secret": {
            "secretName": names.CREDENTIALS_SECRET,
            "defaultMode": _MODE,
            "optional": True,
        }
    },
    TOKEN: {
        "projected": {
            "sources": [
                {
                    "serviceAccountToken": {
                        "audience": names.TOKEN_AUDIENCE,
                        "expirationSeconds": TOKEN_S,
                        "path": TOKEN_FILE,
                    }
                }
            ],
            "defaultMode": _MODE,
        }
    },
    PODINFO: {
        "downwardAPI": {
            "items": [
                {
                    "path": LABELS_FILE,
                    "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.labels"},
                }
            ],
            "defaultMode": _MODE,
        }
    },
    STATE: {"emptyDir": {"medium": "Memory", "sizeLimit": STATE_SIZE}},
}
_PATHS: Final = {
    BUNDLE: BUNDLE_PATH,
    CREDENTIALS: CREDENTIALS_PATH,
    TOKEN: TOKEN_PATH,
    PODINFO: PODINFO_PATH,
    STATE: STATE_PATH,
}


def ours(*, has_exchange: bool) -> list[str]:
    """Names of the volumes; a token serves the exchange alone."""
    return [name for name in NAMES if has_exchange or name != TOKEN]


def mounts(wanted: list[str]) -> list[dict[str, object]]:
    """The sidecar's `volumeMounts`."""
    return [
        {
            "name": name,
            "mountPath": _PATHS[name],
            **({} if name == STATE else {"readOnly": True}),
        }
        for name in wanted
    ]


def no_account() -> dict[str, object]:
    """A mount of any of our containers where the API server would mount its token.

    It does so where nothing is mounted, after webhooks too: our containers would have a token that
    they must not have, and each pod would be asked about twice.
    """
    return {"name": PODINFO, "mountPath": ACCOUNT_PATH, "readOnly": True}


def put_in(pod: Object, wanted: list[str]) -> list[object]:
    """The pod's volumes with ours, each where one of its name was; others of our names go."""
    found: list[object] = []
    lacking = list(wanted)
    for volume in shapes.entries(pod, "spec", "volumes"):
        name = shapes.text(volume, "name")
        if name in lacking:
            lacking.remove(name)
            found.append(_written(name))
        elif name not in NAMES:
            found.append(volume)
    return [*found, *(_written(name) for name in lacking)]


def problems(pod: Object) -> Iterator[Problem]:
    """Volumes of ours in other hands, and others' volumes that hold what is ours."""
    for index, volume in enumerate(shapes.entries(pod, "spec", "volumes")):
        name = shapes.text(volume, "name")
        path = ("spec", "volumes", index)
        if name in NAMES:
            continue
        if name.startswith(names.VOLUME_PREFIX):
            yield Problem(
                reason=Refusal.NAME_TAKEN,
                path=spell(path),
                message=f"volumes `{names.VOLUME_PREFIX}…` are the sidecar's, rename {shown(name)}",
            )
        yield from _held(volume, path)
    for container in containers.others(pod):
        yield from _used(container, NAMES)


def taken(pod: Object) -> Iterator[Problem]:
    """In a pod that exists: what is the sidecar's in other hands, a forged enforcer's too.

    Names of volumes alone are nothing here: other releases may have others.
    """
    for index, volume in enumerate(shapes.entries(pod, "spec", "volumes")):
        if shapes.text(volume, "name") not in NAMES:
            yield from _held(volume, ("spec", "volumes", index))
    for container in containers.others(pod):
        yield from _used(container, NAMES)
    for index, value in enumerate(shapes.entries(pod, "spec", "initContainers")):
        if shapes.text(value, "name") == names.ENFORCER_CONTAINER:
            path = ("spec", "initContainers", index)
            enforcer = Container(path=path, value=value, pod_security={})
            yield from _used(enforcer, (CREDENTIALS, TOKEN))


def _written(name: str) -> dict[str, object]:
    return {"name": name, **_VOLUMES[name]}


def _held(volume: Object, path: Path) -> Iterator[Problem]:
    yield from _projections(volume, path)
    yield from _secrets(volume, path)


def _projections(volume: Object, path: Path) -> Iterator[Problem]:
    for index, source in enumerate(shapes.entries(volume, "projected", "sources")):
        if shapes.text(source, "serviceAccountToken", "audience") == names.TOKEN_AUDIENCE:
            yield Problem(
                reason=Refusal.AUDIENCE_PROJECTED,
                path=spell((*path, "projected", "sources", index)),
                message=(
                    f"a token with audience `{names.TOKEN_AUDIENCE}` is the sidecar's alone, "
                    "remove it"
                ),
            )


def _secrets(volume: Object, path: Path) -> Iterator[Problem]:
    """However deep it is named: `secret`, `projected`, `csi` and what volumes may come."""
    waiting: list[tuple[Path, str, object]] = [(path, "", volume)]
    while waiting:
        where, field, value = waiting.pop()
        match value:
            case Mapping():
                named = shapes.text(value, "secretName")
                if field.lower().endswith(("secret", "secretref")):
                    named = named or shapes.text(value, "name")
                if named == names.CREDENTIALS_SECRET:
                    yield _credentials(where)
                waiting += [((*where, str(key)), str(key), one) for key, one in value.items()]
            case list():
                waiting += [((*where, index), field, one) for index, one in enumerate(value)]
            case _:
                pass


def _used(container: Container, ours: tuple[str, ...]) -> Iterator[Problem]:
    yield from _mounted(container, ours)
    yield from _read(container)


def _mounted(container: Container, ours: tuple[str, ...]) -> Iterator[Problem]:
    for field in ("volumeMounts", "volumeDevices"):
        for index, mount in enumerate(shapes.entries(container.value, field)):
            if shapes.text(mount, "name") in ours:
                yield container.problem(
                    Refusal.NAME_TAKEN,
                    (field, index),
                    f"volume {shown(mount.get('name'))} is the sidecar's alone, remove the mount "
                    "or rename your volume",
                )


def _read(container: Container) -> Iterator[Problem]:
    for index, entry in enumerate(shapes.entries(container.value, "env")):
        if shapes.text(entry, "valueFrom", "secretKeyRef", "name") == names.CREDENTIALS_SECRET:
            yield _credentials((*container.path, "env", index))
    for index, entry in enumerate(shapes.entries(container.value, "envFrom")):
        if shapes.text(entry, "secretRef", "name") == names.CREDENTIALS_SECRET:
            yield _credentials((*container.path, "envFrom", index))


def _credentials(path: Path) -> Problem:
    return Problem(
        reason=Refusal.CREDENTIALS_MOUNTED,
        path=spell(path),
        message=(
            f"Secret `{names.CREDENTIALS_SECRET}` is the sidecar's alone: remove it here, and put "
            "what the container itself needs into another Secret"
        ),
    )
