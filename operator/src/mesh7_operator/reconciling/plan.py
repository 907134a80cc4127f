"""What is to be done for one namespace: values; the applier does them in the order given here.

Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mesh7_core import names
from mesh7_core.delivery import envelopes


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """Give the store a newer bundle or overlay and tell the sidecars.

    Attributes:
        content: the envelope.
        force: overwrite whatever is there: what claims a version that nobody can have made, or
            claims ours and is something else.
    """

    kind: envelopes.Kind
    version: int
    content: bytes = field(repr=False)
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyConfigMap:
    """Server-side apply the ConfigMap `mesh7-bundle`, whole.

    Attributes:
        manifest: as JSON would have it; `binaryData` in base64.
        replace: delete the one that is there first: it is immutable, or somebody filled it with
            keys of their own, which an apply would leave in place.
    """

    manifest: Mapping[str, object] = field(repr=False)
    replace: bool = False


@dataclass(frozen=True, slots=True)
class DeleteConfigMap:
    """The namespace is no longer enrolled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyNetworkPolicy:
    """Server-side apply the NetworkPolicy `mesh7-guarded`, whole."""

    manifest: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True)
class DeleteNetworkPolicy:
    """The namespace is not enrolled, or is at Cooperative."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusChange:
    """One object's status, whole, as it should be; made only where it differs.

    Attributes:
        status: what stands there beside these keys is to be removed.
    """

    kind: str
    name: str
    uid: str
    status: Mapping[str, object] = field(repr=False)


class EventType(StrEnum):
    """As the API server knows them."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One `v1` Event on a transition.

    Attributes:
        reason: CamelCase, as in conditions.
        message: one line, at most 1024 characters.
        api_version: of the kind.
    """

    kind: str
    name: str
    uid: str
    type: EventType
    reason: str
    message: str
    api_version: str = names.API_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """In this order: revocations first, statuses last.

    Attributes:
        publish: the overlay before the bundle; empty without a store.
        forget: remove what the store holds of the namespace's bundles (it left).
        network_policy: None = it is as it should be; goes after the overlay and before the
            bundle, whose sources it lets sidecars reach.
        config_map: None = it is as it should be.
        annotations: of the Namespace, to set: floors and keys; None as a value removes one.
        bundle_version: in force after this plan; 0 = none is served.
        bundle_bytes: its size as delivered.
        is_converged: False while something is owed to a store that is lost.
        look_again_at: when the clock alone changes something (a grant ends); None = never.
    """

    namespace: str
    publish: tuple[Publish, ...] = ()
    forget: bool = False
    network_policy: ApplyNetworkPolicy | DeleteNetworkPolicy | None = None
    config_map: ApplyConfigMap | DeleteConfigMap | None = None
    annotations: Mapping[str, str | None] = field(default_factory=dict)
    statuses: tuple[StatusChange, ...] = ()
    events: tuple[Event, ...] = ()
    bundle_version: int = 0
    overlay_version: int = 0
    bundle_bytes: int = 0
    is_converged: bool = True
    look_again_at: datetime | None = None
