"""All that a cluster holds, whatever its kind: what came and stayed is seen by a look before."""

from typing import Any

from e2e.cluster.kubectl import Kubectl

# They come and go by themselves, and say what happened to others.
_FLEETING = ("events", "events.events.k8s.io")
Object = dict[str, Any]


def held(kubectl: Kubectl) -> dict[str, Object]:
    """Every object of every kind that can be listed, by a line that names it."""
    kinds = kubectl("api-resources", "--verbs=list", "-o", "name").split()
    found = kubectl.json("get", ",".join(set(kinds) - set(_FLEETING)), "--all-namespaces")
    return {_line(one): one for one in found["items"]}


def _line(one: Object) -> str:
    about = one["metadata"]
    return f"{one['kind']} {about.get('namespace', '')}/{about['name']}"


def namespace_of(one: Object) -> str:
    """Where it lies, or what it is there for: a Service's address is in no namespace itself."""
    parent = one.get("spec", {}).get("parentRef") or {}
    found: str = one["metadata"].get("namespace") or parent.get("namespace", "")
    return found


def marks(one: Object) -> list[str]:
    """What of ours is written on an object: keys of annotations."""
    return [key for key in one["metadata"].get("annotations", {}) if "mesh7" in key]
