"""NetworkPolicy `mesh7-guarded`: where guarded pods of a namespace may get to, and nowhere else.

At Cooperative there is none. It says nothing of what reaches the pods.
Pure: no clock, no network, no logging.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from mesh7_core import names
from mesh7_core.api.manifests import Document
from mesh7_core.injection.outcomes import Level
from mesh7_operator.reconciling import destinations, enrolment
from mesh7_operator.reconciling.destinations import Address, Destination, Outside, Service
from mesh7_operator.reconciling.world import NetworkPolicy, World

EGRESS_ANNOTATION: Final = f"{names.GROUP}/egress"
"""`open` where a guarded pod gets to any address of some port, else `closed`."""
OPEN_TO_ANNOTATION: Final = f"{names.GROUP}/egress-open-to"
"""Why it is open: the hosts outside of the cluster, each with its port."""
NAMESPACES_ANNOTATION: Final = f"{names.GROUP}/egress-namespaces"
"""Namespaces whose pods are reached at any port."""
LABELS: Final = {"app.kubernetes.io/managed-by": names.FIELD_MANAGER}
EXCHANGE: Final = "mesh7-exchange"
EXCHANGE_PORT: Final = 8443
REDIS: Final = "mesh7-redis"
"""Label and service of the embedded one."""
REDIS_PORT: Final = 6379

_MOST_TOLD: Final = 20
_NAME: Final = "app.kubernetes.io/name"
# Never an address of a tool; the cloud hands out credentials of the node there.
_V4_KEPT: Final = ("100.100.100.200/32", "168.63.129.16/32", "169.254.0.0/16")
_V6_KEPT: Final = ("fd00:ec2::254/128", "fe80::/10")
_DNS: Final = 53
_LOCAL_DNS: Final = "169.254.20.10/32"
"""Where NodeLocal DNSCache listens on each node."""

Rule = Mapping[str, object]


def wanted(world: World, documents: Iterable[Document]) -> Mapping[str, object] | None:
    """The whole object for an apply; None = there is to be none.

    Args:
        world: whose namespace.
        documents: of the bundle in force.
    """
    level = enrolment.level(world.labels, world.release.default_level)
    if not world.is_enrolled or level is Level.COOPERATIVE:
        return None
    store = destinations.of_url(world.release.redis_url, world.release_namespace)
    reached = destinations.of_sources(documents, world.namespace)
    if store is not None and not _is_embedded(store, world):
        reached |= {store}
    collector = destinations.of_url(world.release.collector_url, world.release_namespace)
    if collector is not None:
        reached |= {collector}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": names.NETWORK_POLICY,
            "namespace": world.namespace,
            "labels": dict(LABELS),
            "annotations": _annotations(reached),
        },
        "spec": {
            "podSelector": {"matchLabels": {names.INJECTED_LABEL: "true"}},
            "policyTypes": ["Egress"],
            # Not ours, but somebody's whose rules would else stay.
            "ingress": [],
            "egress": [*_basic(world, store), *_further(reached)],
        },
    }


def found_of(value: Mapping[str, object]) -> NetworkPolicy:
    """What a NetworkPolicy of that name says. Total: anybody may have written it."""
    metadata, spec = _mapping(value.get("metadata")), _mapping(value.get("spec"))
    return NetworkPolicy(
        spec={key: one for key, one in spec.items() if one not in ([], None)},
        labels=_mapping(metadata.get("labels")),
        annotations=_mapping(metadata.get("annotations")),
    )


def is_as_wanted(found: NetworkPolicy | None, manifest: Mapping[str, object] | None) -> bool:
    """Whether nothing is to be done; what others added beside labels and annotations is theirs."""
    if found is None or manifest is None:
        return found is None and manifest is None
    meant = found_of(manifest)
    return (
        found.spec == meant.spec
        and found.labels.items() >= meant.labels.items()
        and found.annotations.items() >= meant.annotations.items()
    )


def _is_embedded(store: Destination, world: World) -> bool:
    return store == Service(REDIS, world.release_namespace)


def _basic(world: World, store: Destination | None) -> Iterator[Rule]:
    """What every sidecar needs: names, the exchange, the Redis that came with us."""
    yield {
        "to": [
            {**_namespace("kube-system"), **_pods({"k8s-app": "kube-dns"})},
            {"ipBlock": {"cidr": _LOCAL_DNS}},
        ],
        "ports": [_port(_DNS, "UDP"), _port(_DNS)],
    }
    if store is None:
        return
    yield {
        "to": [{**_namespace(world.release_namespace), **_pods({_NAME: EXCHANGE})}],
        "ports": [_port(EXCHANGE_PORT)],
    }
    if _is_embedded(store, world):
        yield {
            "to": [{**_namespace(world.release_namespace), **_pods({_NAME: REDIS})}],
            "ports": [_port(REDIS_PORT)],
        }


def _further(found: frozenset[Destination]) -> Iterator[Rule]:
    spaces = sorted({one.namespace for one in found if isinstance(one, Service)})
    if spaces:
        yield {"to": [_namespace(one) for one in spaces]}
    addresses = [one for one in found if isinstance(one, Address)]
    for port in sorted({one.port for one in addresses}):
        networks = sorted({one.network for one in addresses if one.port == port})
        yield {
            "to": [{"ipBlock": {"cidr": one}} for one in networks],
            "ports": [_port(port)],
        }
    outside = sorted({one.port for one in found if isinstance(one, Outside)})
    if outside:
        yield {
            "to": [
                {"ipBlock": {"cidr": "0.0.0.0/0", "except": list(_V4_KEPT)}},
                {"ipBlock": {"cidr": "::/0", "except": list(_V6_KEPT)}},
            ],
            "ports": [_port(one) for one in outside],
        }


def _annotations(reached: frozenset[Destination]) -> Mapping[str, str]:
    hosts = sorted(f"{one.host}:{one.port}" for one in reached if isinstance(one, Outside))
    spaces = sorted({one.namespace for one in reached if isinstance(one, Service)})
    return {
        EGRESS_ANNOTATION: "open" if hosts else "closed",
        OPEN_TO_ANNOTATION: f"outside hosts: {_told(hosts)}" if hosts else "",
        NAMESPACES_ANNOTATION: _told(spaces),
    }


def _told(words: list[str]) -> str:
    rest = len(words) - _MOST_TOLD
    return ", ".join(words[:_MOST_TOLD]) + (f" and {rest} more" if rest > 0 else "")


def _namespace(name: str) -> Rule:
    return {"namespaceSelector": {"matchLabels": {names.NAMESPACE_NAME_LABEL: name}}}


def _pods(labels: Mapping[str, str]) -> Rule:
    return {"podSelector": {"matchLabels": dict(labels)}}


def _port(number: int, protocol: str = "TCP") -> Rule:
    return {"port": number, "protocol": protocol}


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
