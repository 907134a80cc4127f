"""All that is known of one namespace when it is reconciled: values, gathered by the controller.

Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mesh7_core.delivery import keys
from mesh7_core.delivery.envelopes import Kind
from mesh7_core.delivery.reports import Report
from mesh7_core.injection.outcomes import Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One object of ours as the API server has it.

    Attributes:
        value: `apiVersion`, `kind`, `metadata` (name, namespace, labels, uid, generation,
            creationTimestamp and nothing else), `spec`; never changed.
        status: as it stands; empty when it has none.
        is_ending: somebody deleted it, and a finalizer keeps it.
    """

    kind: str
    namespace: str
    name: str
    uid: str
    generation: int
    value: Mapping[str, object] = field(repr=False)
    status: Mapping[str, object] = field(default_factory=dict, repr=False)
    is_ending: bool = False

    @property
    def file(self) -> str:
        """What diagnostics call it: `<kind>/<namespace>/<name>`."""
        return f"{self.kind}/{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """ConfigMap `mesh7-bundle` as the API server has it; anybody may have written it.

    Attributes:
        is_as_ours: labels and annotations are what the plan would write beside the content.
        is_stuck: an apply would not make it ours: it is immutable, or holds keys of others.
    """

    bundle: bytes | None = field(repr=False)
    overlay: bytes | None = field(repr=False)
    is_as_ours: bool = True
    is_stuck: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPolicy:
    """NetworkPolicy `mesh7-guarded` as the API server has it; anybody may have written it."""

    spec: Mapping[str, object]
    labels: Mapping[str, object]
    annotations: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What the installation says to all namespaces.

    Attributes:
        default_level: of a namespace whose label names none.
        redis_url: where sidecars reach Redis; empty = there is none.
        collector_url: where sidecars send telemetry; empty = nowhere.
        authorities: that vouch for the exchange, as `delivery.authorities` spells them.
        accepted: those that a new pod may come with: these, and what an injector may still have.
    """

    default_level: Level = Level.COOPERATIVE
    redis_url: str = ""
    collector_url: str = ""
    authorities: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()


class StoreState(StrEnum):
    """How it stands with Redis."""

    CONNECTED = "connected"
    LOST = "lost"
    NONE = "none"
    """None is configured: bundles come by ConfigMap alone, limits do what `onStoreLoss` says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What the store holds of a namespace; the versions are nobody's word but the store's.

    Attributes:
        bundle: version of the bundle there; 0 = none.
        overlay: version of the overlay there; 0 = none.
        bundle_sha1: of the envelope there, in hex; empty = not known.
        overlay_sha1: the same.
        reports: of sidecars that reported within the last 90 s by the store's clock, by pod uid.
        uses: of grants, by `<namespace>/<grant>`.
        doubted: envelopes there whose versions are higher than they should be.
    """

    bundle: int = 0
    overlay: int = 0
    bundle_sha1: str = ""
    overlay_sha1: str = ""
    reports: Mapping[str, Report] = field(default_factory=dict)
    uses: Mapping[str, int] = field(default_factory=dict)
    doubted: Mapping[Kind, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What bundles are signed with, and what stamps of grants are checked with.

    Attributes:
        signer: the current signing key.
        links: the chain that leads to it and on to the next one, oldest first.
        stamps: public keys of the injector's stamps; empty = no Allow grant is honoured.
    """

    signer: keys.SigningKey
    links: tuple[keys.Link, ...]
    stamps: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One namespace.

    Attributes:
        release_namespace: where baseline policies are written; never enrolled itself.
        labels: of the Namespace.
        annotations: of the Namespace, those under `mesh7.dev/`: version floors, keys to trust.
        is_enrolled: whether sidecars are served there.
        baseline: AgentPolicies of the release namespace, those that do not select this one too.
        delivered: None = there is no ConfigMap.
        published: None while the store is lost or there is none.
        now: aware, UTC.
        sealed: what this process wrote last as the ConfigMap, whatever lies there now.
        network_policy: None = there is none.
    """

    namespace: str
    release_namespace: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    is_enrolled: bool
    policies: tuple[Written, ...]
    baseline: tuple[Written, ...]
    sources: tuple[Written, ...]
    grants: tuple[Written, ...]
    delivered: Delivered | None
    store: StoreState
    published: Published | None
    keys: Keys
    now: datetime
    sealed: Delivered | None = None
    network_policy: NetworkPolicy | None = None
    release: Release = Release()
