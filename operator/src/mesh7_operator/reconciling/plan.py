"""What is to be done for one namespace: values; the applier does them in the order given here.

Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mesh7_core.delivery import envelopes


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """Give the store a newer bundle or overlay and tell the sidecars."""

    kind: envelopes.Kind
    version: int
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyConfigMap:
    """Server-side apply the ConfigMap `mesh7-bundle`, whole.

    Attributes:
        manifest: as JSON would have it; `binaryData` in base64.
    """

    manifest: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True)
class DeleteConfigMap:
    """The namespace is no longer enrolled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusChange:
    """One object's status, whole, as it should be; made only where it differs."""

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
    """

    kind: str
    name: str
    uid: str
    type: EventType
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """In this order: revocations first, statuses last.

    Attributes:
        publish: the overlay before the bundle; empty without a store.
        forget: remove what the store holds of the namespace's bundles (it left).
        config_map: None = it is as it should be.
        floors: annotations of the Namespace to set; None as a value removes one.
        bundle_version: in force after this plan; 0 = none is served.
        bundle_bytes: its size as delivered.
        is_converged: nothing but time or others' doings will change anything.
        look_again_at: when the clock alone changes something (a grant ends); None = never.
    """

    namespace: str
    publish: tuple[Publish, ...] = ()
    forget: bool = False
    config_map: ApplyConfigMap | DeleteConfigMap | None = None
    floors: Mapping[str, str | None] = field(default_factory=dict)
    statuses: tuple[StatusChange, ...] = ()
    events: tuple[Event, ...] = ()
    bundle_version: int = 0
    overlay_version: int = 0
    bundle_bytes: int = 0
    is_converged: bool = True
    look_again_at: datetime | None = None
