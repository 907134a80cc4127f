"""Plain values as the fields of a pod: what injection looks at has the type that it should have.

Getters never fail: what is missing, null or of another type is empty; `mistakes` finds the last.
Pure: no clock, no network, no logging.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from mesh7_core.api.places import Path, shown, spell
from mesh7_core.injection.outcomes import Problem, Refusal

Object = Mapping[str, object]
CONTAINER_FIELDS: Final = ("initContainers", "containers", "ephemeralContainers")
"""Of `spec`, in the order in which they run."""

_WORDS: Final = {str: "text", bool: "`true` or `false`", int: "a whole number"}
_TEXTS: Final = "texts"
"""In a shape: a mapping of texts."""

_NAMED: Final = {"name": str}
_SECURITY: Final = {
    "privileged": bool,
    "runAsUser": int,
    "runAsNonRoot": bool,
    "allowPrivilegeEscalation": bool,
    "capabilities": {"add": [str], "drop": [str]},
    "procMount": str,
    "seLinuxOptions": {"type": str},
    "seccompProfile": {"type": str},
    "windowsOptions": {"hostProcess": bool},
}
_CONTAINER: Final = {
    "name": str,
    "env": [{"name": str, "value": str, "valueFrom": {"secretKeyRef": _NAMED}}],
    "envFrom": [{"secretRef": _NAMED}],
    "ports": [{"containerPort": int, "hostPort": int}],
    "volumeMounts": [_NAMED],
    "volumeDevices": [_NAMED],
    "resources": {"limits": {}},
    "securityContext": _SECURITY,
}
_POD: Final = {
    "apiVersion": str,
    "kind": str,
    "metadata": {"name": str, "labels": _TEXTS, "annotations": _TEXTS},
    "spec": {
        "hostNetwork": bool,
        "hostPID": bool,
        "hostIPC": bool,
        "hostUsers": bool,
        "shareProcessNamespace": bool,
        "os": _NAMED,
        "nodeSelector": _TEXTS,
        "securityContext": _SECURITY,
        "volumes": [
            {
                "name": str,
                "hostPath": {},
                "projected": {"sources": [{"serviceAccountToken": {"audience": str}}]},
            }
        ],
        **{field: [_CONTAINER] for field in CONTAINER_FIELDS},
    },
}


def mapping(value: object, *keys: str) -> Object:
    """What stands there."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def entries(value: object, *keys: str) -> list[Object]:
    """The mappings of the list that stands there; what is none is an empty one."""
    found = mapping(value, *keys[:-1]).get(keys[-1])
    return [mapping(one) for one in found] if isinstance(found, list) else []


def texts(value: object, *keys: str) -> dict[str, str]:
    """The texts of the mapping that stands there."""
    found = mapping(value, *keys)
    return {key: text for key, text in found.items() if isinstance(text, str)}


def words(value: object, *keys: str) -> list[str]:
    """The texts of the list that stands there."""
    found = mapping(value, *keys[:-1]).get(keys[-1])
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def text(value: object, *keys: str) -> str:
    """The text that stands there."""
    found = mapping(value, *keys[:-1]).get(keys[-1])
    return found if isinstance(found, str) else ""


def is_set(value: object, *keys: str) -> bool:
    """Whether `true` stands there."""
    return mapping(value, *keys[:-1]).get(keys[-1]) is True


def mistakes(pod: object) -> list[Problem]:
    """Why the value is no pod that could be looked at; empty when it is one."""
    found = [
        _problem(path, f"{shown(value)} is not {word}, write that")
        for path, value, word in _wrong(pod, _POD, ())
    ]
    if found:
        return found
    return list(_missing(mapping(pod)))


def _missing(pod: Object) -> Iterator[Problem]:
    kind = pod.get("kind")
    if kind not in (None, "Pod"):
        yield _problem(("kind",), f"{shown(kind)} is no Pod, give a pod or a pod template")
    for field in CONTAINER_FIELDS:
        for index, one in enumerate(entries(pod, "spec", field)):
            if not text(one, "name"):
                yield _problem(("spec", field, index, "name"), "a container has no name, give one")
    if not entries(pod, "spec", "containers"):
        yield _problem(("spec", "containers"), "there are no containers, write at least one")
    yield from _repeated(pod, CONTAINER_FIELDS, "container")
    yield from _repeated(pod, ("volumes",), "volume")


def _repeated(pod: Object, fields: tuple[str, ...], word: str) -> Iterator[Problem]:
    """Names that occur twice: entries are told apart by them."""
    known: set[str] = set()
    for field in fields:
        for index, one in enumerate(entries(pod, "spec", field)):
            name = text(one, "name")
            if name and name in known:
                message = f"another {word} has the name {shown(name)}, rename one"
                yield _problem(("spec", field, index, "name"), message)
            known.add(name)


def _wrong(value: object, shape: object, path: Path) -> Iterator[tuple[Path, object, str]]:
    """Each place with another type than its shape, with what it should be."""
    match shape:
        case dict():
            yield from _wrong_mapping(value, shape, path)
        case str():
            yield from _wrong_texts(value, path)
        case [inner_shape]:
            if not isinstance(value, list):
                yield path, value, "a list"
                return
            for index, inner in enumerate(value):
                yield from _wrong(inner, inner_shape, (*path, index))
        case type() if type(value) is not shape:
            yield path, value, _WORDS[shape]
        case _:
            pass


def _wrong_mapping(
    value: object, shape: Mapping[str, object], path: Path
) -> Iterator[tuple[Path, object, str]]:
    if not isinstance(value, Mapping):
        yield path, value, "a mapping"
        return
    for key, inner in value.items():
        if inner is not None and key in shape:
            yield from _wrong(inner, shape[key], (*path, key))


def _wrong_texts(value: object, path: Path) -> Iterator[tuple[Path, object, str]]:
    if not isinstance(value, Mapping):
        yield path, value, "a mapping"
        return
    for key, inner in value.items():
        # The API server reads null as an empty text.
        if not isinstance(inner, str | None):
            yield (*path, str(key)), inner, "text"


def _problem(path: Path, message: str) -> Problem:
    return Problem(reason=Refusal.NOT_A_POD, path=spell(path), message=message)
