"""Where guarded pods may get to, as a NetworkPolicy can say it; and that it stays so."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from mesh7_core import names
from mesh7_core.injection.outcomes import Level
from mesh7_operator.reconciling import network_policy
from mesh7_operator.reconciling.plan import ApplyNetworkPolicy, DeleteNetworkPolicy
from mesh7_operator.reconciling.reconcile import reconcile
from mesh7_operator.reconciling.world import Release, World, Written
from tests.operator.reconciling import worlds

GUARDED = {names.INJECTION_LABEL: "enabled", names.ENFORCEMENT: "Guarded"}
DNS = {
    "to": [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
        },
        {"ipBlock": {"cidr": "169.254.20.10/32"}},
    ],
    "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}],
}
ANYWHERE = [
    {
        "ipBlock": {
            "cidr": "0.0.0.0/0",
            "except": ["100.100.100.200/32", "168.63.129.16/32", "169.254.0.0/16"],
        }
    },
    {"ipBlock": {"cidr": "::/0", "except": ["fd00:ec2::254/128", "fe80::/10"]}},
]


def _world(*urls: str, redis: str = "", **changes: Any) -> World:
    sources = tuple(
        worlds.source(f"s{number}", mcp={"url": url}) for number, url in enumerate(urls)
    )
    found = worlds.world(sources=sources, release=Release(redis_url=redis), labels=GUARDED)
    return replace(found, **changes)


def _applied(world: World) -> dict[str, Any]:
    change = reconcile(world).network_policy
    assert isinstance(change, ApplyNetworkPolicy), change
    return dict(change.manifest)


def _egress(world: World) -> list[Mapping[str, Any]]:
    rules: list[Mapping[str, Any]] = _applied(world)["spec"]["egress"]
    return rules


def _annotations(world: World) -> dict[str, str]:
    found: dict[str, str] = _applied(world)["metadata"]["annotations"]
    return found


def _named(*namespaces: str) -> list[Mapping[str, Any]]:
    return [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": one}}}
        for one in namespaces
    ]


def _with(world: World, **changes: Any) -> World:
    """The world with the NetworkPolicy of its plan, changed."""
    manifest = _applied(world)
    return replace(world, network_policy=network_policy.found_of({**manifest, **changes}))


def test_it_selects_guarded_pods_and_says_nothing_of_what_reaches_them() -> None:
    """Design 9: NetworkPolicy rendered for the namespace."""
    assert _applied(_world()) == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": "mesh7-guarded",
            "namespace": "shop",
            "labels": {"app.kubernetes.io/managed-by": "mesh7-controller"},
            "annotations": {
                "mesh7.dev/egress": "closed",
                "mesh7.dev/egress-open-to": "",
                "mesh7.dev/egress-namespaces": "",
            },
        },
        "spec": {
            "podSelector": {"matchLabels": {"mesh7.dev/injected": "true"}},
            "policyTypes": ["Egress"],
            "ingress": [],
            "egress": [DNS],
        },
    }


@pytest.mark.parametrize(
    ("labels", "default", "expected"),
    [
        ({}, Level.COOPERATIVE, False),
        ({}, Level.GUARDED, True),
        ({names.ENFORCEMENT: "Cooperative"}, Level.ENFORCED, False),
        ({names.ENFORCEMENT: "Guarded"}, Level.COOPERATIVE, True),
        ({names.ENFORCEMENT: "Enforced"}, Level.COOPERATIVE, True),
        # Nobody can tell what was meant: the strictest.
        ({names.ENFORCEMENT: "guarded"}, Level.COOPERATIVE, True),
    ],
)
def test_the_level_says_whether_there_is_one(
    labels: dict[str, str], default: Level, expected: bool
) -> None:
    """Design 9: the namespace's label, else the release's level."""
    world = _world(
        labels={names.INJECTION_LABEL: "enabled", **labels}, release=Release(default_level=default)
    )
    assert isinstance(reconcile(world).network_policy, ApplyNetworkPolicy) is expected


@pytest.mark.parametrize(
    ("url", "rule", "annotations"),
    [
        (
            "http://billing.tools.svc:8080/mcp",
            {"to": _named("tools")},
            ("closed", "", "tools"),
        ),
        (
            "http://billing.tools.svc.cluster.local/mcp",
            {"to": _named("tools")},
            ("closed", "", "tools"),
        ),
        ("http://billing/mcp", {"to": _named("shop")}, ("closed", "", "shop")),
        (
            "https://10.1.2.3/mcp",
            {
                "to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}],
                "ports": [{"port": 443, "protocol": "TCP"}],
            },
            ("closed", "", ""),
        ),
        (
            "http://[2001:db8::7]:9000/mcp",
            {
                "to": [{"ipBlock": {"cidr": "2001:db8::7/128"}}],
                "ports": [{"port": 9000, "protocol": "TCP"}],
            },
            ("closed", "", ""),
        ),
        (
            "https://API.example.com/mcp",
            {"to": ANYWHERE, "ports": [{"port": 443, "protocol": "TCP"}]},
            ("open", "outside hosts: api.example.com:443", ""),
        ),
        # May be a service, may be a host: nobody can tell.
        (
            "http://billing.tools/mcp",
            {"to": ANYWHERE, "ports": [{"port": 80, "protocol": "TCP"}]},
            ("open", "outside hosts: billing.tools:80", ""),
        ),
    ],
)
def test_a_source_is_reached(url: str, rule: object, annotations: tuple[str, str, str]) -> None:
    """Design 9: `egress: open` is said when outside hosts make it a port to anywhere."""
    world = _world(url)
    assert _egress(world) == [DNS, rule]
    assert tuple(_annotations(world).values()) == annotations


def test_metadata_addresses_are_never_among_anywhere() -> None:
    """K13: the cloud hands out credentials of the node there."""
    (_, rule) = _egress(_world("https://a.example.com", "https://b.example.com:8443"))
    assert rule["to"] == ANYWHERE
    assert [one["port"] for one in rule["ports"]] == [443, 8443]


def test_a_source_that_is_refused_opens_nothing() -> None:
    """What is left out of the bundle is left out here."""
    assert _egress(_world("ftp://files.example.com/")) == [DNS]


@pytest.mark.parametrize(
    ("redis", "rules", "egress"),
    [
        (
            "redis://mesh7-operator@mesh7-redis.mesh7-system.svc:6379/0",
            [
                {
                    "to": [
                        {
                            **_named("mesh7-system")[0],
                            "podSelector": {
                                "matchLabels": {"app.kubernetes.io/name": "mesh7-redis"}
                            },
                        }
                    ],
                    "ports": [{"port": 6379, "protocol": "TCP"}],
                }
            ],
            "closed",
        ),
        ("rediss://redis.stores.svc:6380", [{"to": _named("stores")}], "closed"),
        (
            "rediss://10.0.0.9:6380",
            [
                {
                    "to": [{"ipBlock": {"cidr": "10.0.0.9/32"}}],
                    "ports": [{"port": 6380, "protocol": "TCP"}],
                }
            ],
            "closed",
        ),
        (
            "rediss://redis.example.com",
            [{"to": ANYWHERE, "ports": [{"port": 6379, "protocol": "TCP"}]}],
            "open",
        ),
    ],
)
def test_with_a_redis_the_exchange_and_the_redis_are_reached(
    redis: str, rules: list[object], egress: str
) -> None:
    """Design 8: sidecars get credentials from the exchange, and use them with Redis."""
    exchange = {
        "to": [
            {
                **_named("mesh7-system")[0],
                "podSelector": {"matchLabels": {"app.kubernetes.io/name": "mesh7-exchange"}},
            }
        ],
        "ports": [{"port": 8443, "protocol": "TCP"}],
    }
    world = _world(redis=redis)
    assert _egress(world) == [DNS, exchange, *rules]
    assert _annotations(world)["mesh7.dev/egress"] == egress


@pytest.mark.parametrize(
    ("url", "rules"),
    [
        ("", []),
        ("http://otel.observability.svc:4318", [{"to": _named("observability")}]),
        (
            "https://otlp.example.com",
            [{"to": ANYWHERE, "ports": [{"port": 443, "protocol": "TCP"}]}],
        ),
    ],
)
def test_a_guarded_pod_reaches_the_collector(url: str, rules: list[object]) -> None:
    """Promised by docs/administrator/telemetry.md."""
    assert _egress(_world(release=Release(collector_url=url))) == [DNS, *rules]


def test_one_that_is_as_it_should_be_is_left_alone() -> None:
    world = _world("https://api.example.com")
    assert reconcile(_with(world)).network_policy is None


def test_the_api_servers_spelling_of_it_is_not_a_difference() -> None:
    """It leaves out what is empty, and others may label what is ours."""
    world = _world("https://api.example.com")
    manifest = _applied(world)
    spec = {key: one for key, one in manifest["spec"].items() if one}
    metadata = {
        **manifest["metadata"],
        "uid": "u",
        "labels": {**manifest["metadata"]["labels"], "team": "a"},
    }
    assert reconcile(_with(world, spec=spec, metadata=metadata)).network_policy is None


@pytest.mark.parametrize(
    "change",
    [
        {"spec": {}},
        {"metadata": {"labels": {}, "annotations": {}}},
        {"spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]}},
    ],
)
def test_one_that_was_edited_is_repaired(change: dict[str, Any]) -> None:
    world = _world()
    assert isinstance(reconcile(_with(world, **change)).network_policy, ApplyNetworkPolicy)


def test_somebodys_ingress_rules_are_taken_out() -> None:
    """An apply leaves what it does not name, so it names them."""
    world = _world()
    spec = {**_applied(world)["spec"], "ingress": [{}]}
    assert isinstance(reconcile(_with(world, spec=spec)).network_policy, ApplyNetworkPolicy)


@pytest.mark.parametrize(
    "change",
    [
        {"is_enrolled": False},
        {"labels": {names.INJECTION_LABEL: "enabled"}},
    ],
)
def test_it_goes_with_the_level_and_with_the_enrolment(change: dict[str, Any]) -> None:
    world = replace(_with(_world()), **change)
    assert isinstance(reconcile(world).network_policy, DeleteNetworkPolicy)
    assert reconcile(replace(world, network_policy=None)).network_policy is None


def test_a_new_source_and_its_way_out_come_with_one_plan() -> None:
    world = worlds.settled(_with(_world()))
    later = replace(world, sources=(worlds.source("api", mcp={"url": "https://10.0.0.1/mcp"}),))
    plan = reconcile(later)
    assert plan.config_map is not None
    assert isinstance(plan.network_policy, ApplyNetworkPolicy)


def _secret_source(url: str) -> Written:
    return worlds.source("billing", mcp={"url": url}, auth={"key": "token"})


@pytest.mark.parametrize("level", ["Guarded", "Enforced"])
def test_a_credential_over_plain_http_is_left_out(level: str) -> None:
    """Design 9, Guarded: credentials over plain http are refused."""
    labels = {names.INJECTION_LABEL: "enabled", names.ENFORCEMENT: level}
    world = worlds.settled(
        worlds.world(labels=labels, sources=(_secret_source("http://billing.shop.svc/mcp"),))
    )
    assert worlds.condition(world, "billing", "Accepted") == ("False", "PlainCredential")
    assert worlds.message(world, "billing", "Accepted") == (
        "it is left out of the bundle: spec.mcp.url: its credential would travel unencrypted, and "
        "this namespace is Guarded or Enforced: use `https://`, or remove `auth`"
    )
    assert [one.kind for one in worlds.bundle_of(world).documents] == [names.AGENT_POLICY]


@pytest.mark.parametrize(
    ("labels", "url"),
    [
        ({names.INJECTION_LABEL: "enabled"}, "http://billing.shop.svc/mcp"),
        (GUARDED, "https://billing.shop.svc/mcp"),
    ],
)
def test_over_https_or_at_cooperative_it_is_served(labels: dict[str, str], url: str) -> None:
    world = worlds.settled(worlds.world(labels=labels, sources=(_secret_source(url),)))
    assert worlds.condition(world, "billing", "Accepted") == ("True", "Valid")


def test_the_releases_level_refuses_plain_credentials_too() -> None:
    world = worlds.settled(
        worlds.world(
            sources=(_secret_source("http://billing.shop.svc/mcp"),),
            release=Release(default_level=Level.ENFORCED),
        )
    )
    assert worlds.condition(world, "billing", "Accepted") == ("False", "PlainCredential")


def test_a_namespace_that_becomes_guarded_loses_such_a_source() -> None:
    """The compilation is made anew, though nothing that is written in it changed."""
    before = worlds.settled(worlds.world(sources=(_secret_source("http://billing.shop.svc/mcp"),)))
    after = worlds.settled(replace(before, labels=GUARDED))
    assert worlds.condition(after, "billing", "Accepted") == ("False", "PlainCredential")
