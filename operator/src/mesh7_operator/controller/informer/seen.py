"""Objects as the watch saw them: compact, frozen, with the version that tells newer from older."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mesh7_core import names
from mesh7_operator.cluster import shapes
from mesh7_operator.reconciling import config_map, network_policy, world
from mesh7_operator.reconciling.world import Delivered, Written

_KEPT: Final = ("name", "namespace", "labels", "uid", "generation", "creationTimestamp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Object:
    """An AgentPolicy, ToolSource, Grant, ApprovalRequest or AuditQuery."""

    revision: int
    written: Written

    @property
    def uid(self) -> str:
        """Unique in time, too."""
        return self.written.uid


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """A Namespace.

    Attributes:
        annotations: ours.
        is_ending: it is being deleted, and takes nothing new.
    """

    revision: int
    uid: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    is_ending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigMap:
    """ConfigMap `mesh7-bundle`, whoever wrote it."""

    revision: int
    uid: str
    delivered: Delivered


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPolicy:
    """NetworkPolicy `mesh7-guarded`, whoever wrote it."""

    revision: int
    uid: str
    found: world.NetworkPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One namespace, of one moment, as far as it was told by then.

    Attributes:
        namespaces: the Namespace itself; empty = there is none; two while one is followed by
            another of its name.
        config_maps: the same of `mesh7-bundle`.
        network_policies: the same of `mesh7-guarded`.
        deleted_revision: of a ConfigMap whose deletion brought this; 0 = it was another event.
        deleted_network_revision: the same of a NetworkPolicy.
    """

    name: str
    namespaces: tuple[Namespace, ...] = ()
    policies: tuple[Object, ...] = ()
    sources: tuple[Object, ...] = ()
    grants: tuple[Object, ...] = ()
    requests: tuple[Object, ...] = ()
    queries: tuple[Object, ...] = ()
    config_maps: tuple[ConfigMap, ...] = ()
    network_policies: tuple[NetworkPolicy, ...] = ()
    deleted_revision: int = 0
    deleted_network_revision: int = 0


def revision(value: object) -> int:
    """The resource version as a number: they grow with each write (KEP-5504)."""
    text = shapes.text(value, "metadata", "resourceVersion")
    return int(text) if text.isascii() and text.isdecimal() else 0


def object_of(value: shapes.Object) -> Object:
    """Without what nobody compiles: managed fields, annotations."""
    metadata = shapes.mapping(value, "metadata")
    kept: dict[str, object] = {
        "apiVersion": names.API_VERSION,
        "kind": shapes.text(value, "kind"),
        "metadata": {key: metadata[key] for key in _KEPT if key in metadata},
        "spec": value.get("spec"),
    }
    return Object(
        revision=revision(value),
        written=Written(
            kind=shapes.text(value, "kind"),
            namespace=shapes.text(metadata, "namespace"),
            name=shapes.text(metadata, "name"),
            uid=shapes.text(metadata, "uid"),
            generation=shapes.number(metadata, "generation"),
            is_ending=bool(shapes.text(metadata, "deletionTimestamp")),
            value=kept,
            status=shapes.mapping(value, "status"),
        ),
    )


def request_of(value: shapes.Object) -> Object:
    """An ApprovalRequest without its arguments: they are long, and nobody asks for them here."""
    spec = shapes.mapping(value, "spec")
    kept = {key: one for key, one in spec.items() if key != "arguments"}
    return object_of({**value, "spec": kept})


def query_of(value: shapes.Object) -> Object:
    """An AuditQuery without its answer: records are long, and not for the memory of a leader."""
    phase = shapes.text(value, "status", "phase")
    return object_of({**value, "status": {"phase": phase} if phase else {}})


def namespace_of(value: shapes.Object) -> Namespace:
    """What matters of a Namespace."""
    return Namespace(
        revision=revision(value),
        uid=shapes.text(value, "metadata", "uid"),
        labels=shapes.texts(value, "metadata", "labels"),
        annotations={
            key: text
            for key, text in shapes.texts(value, "metadata", "annotations").items()
            if key.startswith(f"{names.GROUP}/")
        },
        is_ending=bool(shapes.text(value, "metadata", "deletionTimestamp")),
    )


def config_map_of(value: shapes.Object) -> ConfigMap:
    """What matters of a ConfigMap."""
    return ConfigMap(
        revision=revision(value),
        uid=shapes.text(value, "metadata", "uid"),
        delivered=config_map.delivered_of(value),
    )


def network_policy_of(value: shapes.Object) -> NetworkPolicy:
    """What matters of a NetworkPolicy."""
    return NetworkPolicy(
        revision=revision(value),
        uid=shapes.text(value, "metadata", "uid"),
        found=network_policy.found_of(value),
    )
