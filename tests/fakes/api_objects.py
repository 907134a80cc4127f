"""What the fake API server keeps of one kind: objects with uids, versions and generations.

It passes `tests/operator/cluster/api_contract.py`, as a real one does.
"""

import copy
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from mesh7_operator.cluster import resources
from mesh7_operator.cluster.resources import Resource

Object = dict[str, Any]
Key = tuple[str, str]
"""Namespace and name."""
_MADE_AT: Final = "2026-11-21T09:00:00Z"
_NEEDS_A_VERSION: Final = frozenset({*resources.OURS, resources.LEASES.kind})
"""Kinds that nobody replaces without saying which version."""


class Refused(Exception):  # noqa: N818
    """Not done.

    Attributes:
        status: HTTP's.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Objects:
    """All objects of one kind.

    Args:
        versions: of the whole server.
        tell: told of each change: `ADDED`, `MODIFIED` or `DELETED`, and the object.
    """

    def __init__(
        self, resource: Resource, versions: Iterator[int], tell: Callable[[str, Object], None]
    ) -> None:
        self._resource = resource
        self._versions = versions
        self._tell = tell
        self._objects: dict[Key, Object] = {}

    def has(self, key: Key) -> bool:
        """Whether there is one."""
        return key in self._objects

    def get(self, key: Key) -> Object:
        """One object."""
        if key not in self._objects:
            raise Refused(404, f"{self._spelled(key)} not found")
        return copy.deepcopy(self._objects[key])

    def listed(self, namespace: str) -> list[Object]:
        """All of a namespace, or of all; sorted by namespace and name."""
        return [
            copy.deepcopy(self._objects[key])
            for key in sorted(self._objects)
            if namespace in {"", key[0]}
        ]

    def create(self, namespace: str, value: Mapping[str, Any]) -> Object:
        """A new one; without its status where that is a subresource."""
        made = copy.deepcopy(dict(value))
        metadata = made.setdefault("metadata", {})
        if not metadata.get("name"):
            metadata["name"] = f"{metadata.get('generateName', '')}{uuid.uuid4().hex[:5]}"
        key = (namespace, metadata["name"])
        if key in self._objects:
            raise Refused(409, f"{self._spelled(key)} already exists")
        if self._has_status:
            made.pop("status", None)
        return self._store(key, made)

    def replace(self, key: Key, value: Mapping[str, Any]) -> Object:
        """Another content in the place of the version that it names, or of any."""
        before = self.get(key)
        after = copy.deepcopy(dict(value))
        asked = after.setdefault("metadata", {}).get("resourceVersion")
        if asked is None and self._resource.kind in _NEEDS_A_VERSION:
            raise Refused(422, "metadata.resourceVersion: must be specified for an update")
        return self._change(key, before, after)

    def merge(self, key: Key, patch: Mapping[str, Any]) -> Object:
        """JSON merge patch."""
        before = self.get(key)
        return self._change(key, before, _merged(before, patch))

    def set_status(self, key: Key, status: object) -> Object:
        """The status alone."""
        before = self.get(key)
        if before.get("status") == status:
            return before
        return self._store(key, {**before, "status": copy.deepcopy(status)})

    def put(self, value: Mapping[str, Any]) -> Object:
        """Have it as it is written, whatever was there; with its status."""
        metadata = value["metadata"]
        return self._store((metadata.get("namespace", ""), metadata["name"]), dict(value))

    def delete(self, key: Key, uid: str | None = None) -> Object:
        """Have it no longer, if it is this one."""
        gone = self.get(key)
        if uid is not None and uid != gone["metadata"]["uid"]:
            raise Refused(409, f"{self._spelled(key)}: the UID in the precondition is another")
        del self._objects[key]
        gone["metadata"]["resourceVersion"] = str(next(self._versions))
        self._tell("DELETED", gone)
        return gone

    def lose(self, key: Key) -> None:
        """Have it no longer, and tell nobody."""
        del self._objects[key]

    @property
    def _has_status(self) -> bool:
        return self._resource.kind in resources.OURS

    def _spelled(self, key: Key) -> str:
        group = f".{self._resource.group}" if self._resource.group else ""
        return f'{self._resource.plural}{group} "{key[1]}"'

    def _change(self, key: Key, before: Object, after: Object) -> Object:
        for field in ("uid", "resourceVersion"):
            if (
                after["metadata"].setdefault(field, before["metadata"][field])
                != (before["metadata"][field])
            ):
                raise Refused(409, f"{self._spelled(key)}: the object has been modified")
        if self._has_status:
            after.pop("status", None)
            after |= {"status": before["status"]} if "status" in before else {}
        for fixed in ("creationTimestamp", "generation", "namespace", "name"):
            if fixed in before["metadata"]:
                after["metadata"][fixed] = before["metadata"][fixed]
        after |= {"apiVersion": before["apiVersion"], "kind": before["kind"]}
        return before if after == before else self._store(key, after)

    def _store(self, key: Key, value: Object) -> Object:
        before = self._objects.get(key)
        stored = copy.deepcopy(value)
        stored |= {"apiVersion": self._resource.api_version, "kind": self._resource.kind}
        kept = before["metadata"] if before else {}
        metadata = {
            "uid": kept.get("uid") or str(uuid.uuid4()),
            "creationTimestamp": kept.get("creationTimestamp", _MADE_AT),
            **stored["metadata"],
            "resourceVersion": str(next(self._versions)),
        }
        if self._resource.is_namespaced:
            metadata["namespace"] = key[0]
        if self._has_status:
            is_grown = before is None or before.get("spec") != stored.get("spec")
            metadata["generation"] = kept.get("generation", 0) + is_grown
        stored["metadata"] = metadata
        self._objects[key] = stored
        self._tell("MODIFIED" if before else "ADDED", stored)
        return copy.deepcopy(stored)


def _merged(value: object, patch: object) -> Any:
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(value) if isinstance(value, dict) else {}
    for key, change in patch.items():
        if change is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), change)
    return merged
