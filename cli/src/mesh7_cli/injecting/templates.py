"""Where pods stand in what makes them: a Deployment's template, a CronJob's, an item of a List.

Pure: no clock, no network, no logging.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mesh7_cli import reading

Path = tuple[str | int, ...]

_TEMPLATE: Final = ("spec", "template")
POD_AT: Final[Mapping[tuple[str, str], Path]] = {
    ("", "Pod"): (),
    ("", "PodTemplate"): ("template",),
    ("", "ReplicationController"): _TEMPLATE,
    ("apps", "DaemonSet"): _TEMPLATE,
    ("apps", "Deployment"): _TEMPLATE,
    ("apps", "ReplicaSet"): _TEMPLATE,
    ("apps", "StatefulSet"): _TEMPLATE,
    ("batch", "CronJob"): ("spec", "jobTemplate", "spec", "template"),
    ("batch", "Job"): _TEMPLATE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A pod that would be made.

    Attributes:
        kind: of what makes it, or `Pod`.
        name: of what makes it; what it is generated from where there is none yet.
        namespace: None = none is written.
        path: from the document to the pod.
        pod: as the API server would be sent it, without what only the server adds.
    """

    kind: str
    name: str
    namespace: str | None
    path: Path
    pod: Mapping[str, object]

    @property
    def shown(self) -> str:
        """As kubectl names it: `deployment/web`."""
        return f"{self.kind.lower()}/{self.name}"

    def field(self, inner: str) -> str:
        """A field of the pod as a path from the object that it stands in; others as they are."""
        if inner.startswith("namespace:"):
            return inner
        outer = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in self.path)
        return ".".join(filter(None, (outer.removeprefix("."), inner)))


def templates(value: object, path: Path = (), kind: str = "") -> Iterator[Template]:
    """Every pod that a document makes; none for what makes no pods.

    Args:
        value: the document, or an item of a List.
        path: where `value` stands in the document.
        kind: of an item that names none.
    """
    if not isinstance(value, dict):
        return
    kind = reading.text(value, "kind") or kind
    if kind.endswith("List") and isinstance(value.get("items"), list):
        for position, item in enumerate(value["items"]):
            yield from templates(item, (*path, "items", position), kind.removesuffix("List"))
        return
    group = reading.text(value, "apiVersion").rpartition("/")[0]
    at = POD_AT.get((group, kind))
    if at is None:
        return
    template = reading.one(value, *map(str, at)) if at else value
    metadata = reading.one(value, "metadata")
    yield Template(
        kind=kind,
        name=reading.text(metadata, "name") or f"{reading.text(metadata, 'generateName')}*",
        namespace=reading.text(metadata, "namespace") or None,
        path=(*path, *at),
        pod={
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": reading.one(template, "metadata"),
            "spec": reading.one(template, "spec"),
        },
    )


def replaced(value: object, template: Template, pod: Mapping[str, object]) -> object:
    """The document with another pod in that place; the rest is as it was."""
    new = {key: pod[key] for key in ("metadata", "spec") if pod.get(key)}
    return _at(value, template.path, new)


def _at(value: object, path: Path, new: Mapping[str, object]) -> object:
    if not path:
        return {**value, **new} if isinstance(value, dict) else dict(new)
    first, rest = path[0], path[1:]
    if isinstance(value, list) and isinstance(first, int):
        return [*value[:first], _at(value[first], rest, new), *value[first + 1 :]]
    if isinstance(value, dict) and isinstance(first, str):
        return {**value, first: _at(value.get(first, {}), rest, new)}
    return value
