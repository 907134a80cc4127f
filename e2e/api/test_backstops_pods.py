"""No pod without its sidecar, none with a false one, whoever asks: admission policies alone."""

import copy
import re
from typing import Any

import pytest
import yaml

from e2e.api import backstops, controllers
from e2e.api.backstops import Ground, Object, refusal
from e2e.api.forgeries import FORGERIES, with_authority
from e2e.cluster.waiting import until
from mesh7_core import names
from mesh7_core.injection import settings

pytestmark = pytest.mark.promise("K15")
ROLES = ("edit", "admin")


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_sidecar_is_refused(ground: Ground, name: str, role: str) -> None:
    """Design 9: what the injector would have made, or nothing."""
    forge, words = FORGERIES[name]
    shop = ground.shop()
    pod = backstops.guarded(shop)
    forge(pod)
    assert re.search(words, refusal(ground.attacker(role, shop), pod))


@pytest.mark.promise("K6")
@pytest.mark.parametrize("role", ROLES)
def test_an_unguarded_pod_is_refused(ground: Ground, role: str) -> None:
    """Webhook configuration deleted."""
    shop = ground.shop()
    attacker = ground.attacker(role, shop)
    assert "this pod is unguarded" in refusal(attacker, backstops.plain(shop))
    opted_out = backstops.plain(shop)
    opted_out["metadata"]["annotations"][names.INJECT] = "false"
    assert "this pod is unguarded" in refusal(attacker, opted_out)


@pytest.mark.promise("K6")
@pytest.mark.parametrize(
    "kind", [("apps/v1", "Deployment"), ("apps/v1", "DaemonSet"), ("batch/v1", "Job")]
)
def test_a_workload_says_why_it_gets_no_pods(ground: Ground, kind: tuple[str, str]) -> None:
    """Webhook configuration deleted: refused where pods are made, and told as an Event."""
    shop = ground.shop()
    name = f"w-{kind[1].lower()}"
    ground.attacker("edit", shop).apply(yaml.safe_dump(_workload(*kind, shop, name)))

    def told() -> bool:
        events = ground.cluster.kubectl("get", "events", "-n", shop, "-o", "json")
        found = yaml.safe_load(events)["items"]
        return any(
            one["involvedObject"]["name"].startswith(name)
            and "this pod is unguarded" in one["message"]
            for one in found
        )

    until(told, "an Event says why", timeout_s=60)
    pods = ground.cluster.kubectl("get", "pods", "-n", shop, "-l", f"app={name}", "-o", "name")
    assert pods == ""


def _workload(version: str, kind: str, namespace: str, name: str) -> Object:
    pod = backstops.plain(namespace)
    template: dict[str, Any] = {"metadata": {"labels": {"app": name}}, "spec": pod["spec"]}
    # The node has no kubelet, and is tainted for that sooner or later.
    template["spec"]["tolerations"] = [{"operator": "Exists"}]
    if kind == "Job":
        template["spec"]["restartPolicy"] = "Never"
    selector = {} if kind == "Job" else {"selector": {"matchLabels": {"app": name}}}
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"template": template, **selector},
    }


@pytest.mark.parametrize("level", ["Cooperative", "Guarded", "Enforced"])
def test_what_the_injector_makes_is_stored(ground: Ground, level: str) -> None:
    """Also with the key before the newest one: the injector may not have heard of it yet."""
    shop = ground.shop(level)
    attacker = ground.attacker("edit", shop)
    pod = backstops.guarded(shop, level=level)
    assert refusal(attacker, pod) == ""
    backstops.trust(pod, backstops.EARLIER_KEY)
    assert refusal(attacker, pod) == ""


def test_a_pod_that_asks_is_guarded_or_refused(ground: Ground) -> None:
    """Design 9: `on-request`; by label or annotation, and others are left alone."""
    shop = ground.enrol("on-request")
    tenant = ground.tenant(shop, "edit")
    assert refusal(tenant, backstops.plain(shop)) == ""
    for field in ("labels", "annotations"):
        asking = backstops.guarded(shop)
        asking["metadata"][field][names.INJECT] = "true"
        assert refusal(tenant, asking) == ""
        pod = backstops.plain(shop)
        pod["metadata"][field][names.INJECT] = "true"
        assert "this pod is unguarded" in refusal(tenant, pod)
        pod["metadata"][field][names.INJECT] = "false"
        assert refusal(tenant, pod) == ""
        pod["metadata"][field][names.INJECT] = "yes"
        assert 'is "true" or "false"' in refusal(tenant, pod)
    for field, mark in (("labels", names.INJECTED_LABEL), ("annotations", names.ENFORCEMENT)):
        pod = backstops.plain(shop)
        pod["metadata"][field][mark] = "true"
        assert "this pod is unguarded" in refusal(tenant, pod)


@pytest.mark.promise("K6")
@pytest.mark.parametrize("said", [None, "false"])
@pytest.mark.parametrize("level", ["Cooperative", "Enforced"])
def test_a_hand_made_sidecar_that_asks_for_none_is_refused(
    ground: Ground, level: str, said: str | None
) -> None:
    """Attack: in an `on-request` namespace the injector was never asked about such a pod."""
    shop = ground.enrol("on-request", level)
    pod = backstops.guarded(shop, level=level)
    if said is not None:
        pod["metadata"]["annotations"][names.INJECT] = said
    assert "does not ask to be guarded" in refusal(ground.tenant(shop, "edit"), pod)


ENFORCER_FORGERIES: dict[str, Object] = {
    "seccomp-unconfined": {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
    "writable-root": {"securityContext": {"readOnlyRootFilesystem": False}},
    "another-user": {"securityContext": {"runAsUser": 1000}},
    "capability": {
        "securityContext": {"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]}}
    },
    "device-of-a-plugin": {"resources": {"limits": {"example.com/d": "1"}}},
}


@pytest.mark.parametrize("name", ENFORCER_FORGERIES)
def test_a_forged_enforcer_is_refused(ground: Ground, name: str) -> None:
    """Attack: fields of the init container that were open."""
    shop = ground.shop("Enforced")
    pod = backstops.guarded(shop, level="Enforced")
    enforcer = pod["spec"]["initContainers"][0]
    for field, fields in ENFORCER_FORGERIES[name].items():
        enforcer[field] = {**enforcer[field], **fields}
    assert "mesh7-enforce` " in refusal(ground.attacker("edit", shop), pod)


@pytest.mark.parametrize("known", ["", "two", "one", "two one"])
def test_authorities_in_any_order_are_let_pass(ground: Ground, known: str) -> None:
    """docs/administrator/backstops.md: an injector may not have heard of the newest yet."""
    shop = ground.shop()
    pod = backstops.guarded(shop)
    text = "".join(backstops.certificate(one) for one in known.split())
    with_authority(text)(pod)
    assert refusal(ground.attacker("edit", shop), pod) == ""


def test_a_tenants_own_names_and_searches_are_let_pass(ground: Ground) -> None:
    """docs/administrator/backstops.md: the exchange's name alone is led nowhere else."""
    shop = ground.shop()
    pod = backstops.guarded(shop)
    pod["spec"]["hostAliases"] = [{"ip": "10.0.0.9", "hostnames": ["db.example"]}]
    ours = {"options": [{"name": "ndots", "value": "1"}], "searches": ["corp.example"]}
    pod["spec"]["dnsConfig"] = ours
    assert refusal(ground.attacker("edit", shop), pod) == ""


def test_nobody_takes_the_sidecars_name_or_volumes_in_an_unguarded_pod(ground: Ground) -> None:
    """Design 9: whoever has something of ours has all of it."""
    shop = ground.enrol("on-request")
    tenant = ground.tenant(shop, "edit")
    named = backstops.plain(shop)
    named["spec"]["containers"][0]["name"] = names.SIDECAR_CONTAINER
    assert "is mesh7's init container" in refusal(tenant, named)
    holding = backstops.plain(shop)
    secret = {"secretName": names.CREDENTIALS_SECRET}
    holding["spec"]["volumes"] = [{"name": "mesh7-credentials", "secret": secret}]
    assert "this pod is unguarded" in refusal(tenant, holding)
    alike = copy.deepcopy(holding)
    alike["spec"]["initContainers"] = [{"name": names.SIDECAR_CONTAINER, "image": "mine:1"}]
    assert "leave both to the injector" in refusal(tenant, alike)


def test_a_mirror_pod_is_a_nodes_alone(ground: Ground) -> None:
    """What a node runs from its own files is there already; a tenant forges none."""
    shop = ground.shop()
    pod = backstops.plain(shop)
    pod["metadata"]["annotations"]["kubernetes.io/config.mirror"] = "0"
    pod["spec"]["nodeName"] = backstops.NODE
    assert "this pod is unguarded" in refusal(ground.attacker("edit", shop), pod)
    node = {"apiVersion": "v1", "kind": "Node", "name": backstops.NODE}
    uid = ground.cluster.kubectl.json("get", "node", backstops.NODE)["metadata"]["uid"]
    pod["metadata"]["ownerReferences"] = [{**node, "uid": uid, "controller": True}]
    assert refusal(ground.kubelet, pod) == ""


def test_where_no_key_is_said_yet_none_is_compared(ground: Ground) -> None:
    """docs/administrator/backstops.md: a pod that is applied together with its namespace."""
    labels = {names.INJECTION_LABEL: "enabled", names.ENFORCEMENT: "Cooperative"}
    shop = ground.cluster.new_namespace("fresh", labels)
    forge, _ = FORGERIES["own-key"]
    pod = backstops.guarded(shop)
    forge(pod)
    admin = ground.cluster.kubectl
    assert refusal(admin, pod) == ""
    user = f"system:serviceaccount:{controllers.RELEASE}:mesh7-controller"
    controller = ground.cluster.kubectl_of(user, ["system:masters"])
    controller("annotate", "namespace", shop, f"{names.TRUST_KEYS_ANNOTATION}={backstops.KEY}")
    until(lambda: "trusts a key" in refusal(admin, pod), "it is compared", timeout_s=60)
    assert refusal(admin, backstops.guarded(shop)) == ""


def test_pods_of_other_namespaces_need_nothing_of_ours(ground: Ground) -> None:
    """K6: they are untouched."""
    other = ground.cluster.new_namespace("other")
    mixed = ground.enrol("on-request")
    admin = ground.cluster.kubectl
    pod = backstops.guarded(other)
    pod["spec"]["containers"][0]["envFrom"] = [{"secretRef": {"name": names.CREDENTIALS_SECRET}}]
    assert refusal(admin, pod) == ""
    assert refusal(admin, backstops.plain(other)) == ""
    assert refusal(admin, backstops.plain(mixed)) == ""
    assert refusal(admin, backstops.plain(controllers.RELEASE)) == ""


def test_a_release_that_lets_pods_opt_out_lets_them(ground: Ground) -> None:
    """`injection.allowPodOptOut`."""
    shop = ground.shop()
    tenant = ground.attacker("edit", shop)
    pod = backstops.plain(shop)
    pod["metadata"]["labels"][names.INJECT] = "false"
    try:
        _apply(ground, "--set=injection.allowPodOptOut=true")
        until(lambda: not refusal(tenant, pod), "it may opt out", timeout_s=60)
        assert "unguarded" in refusal(tenant, backstops.plain(shop))
    finally:
        _apply(ground)
        until(lambda: refusal(tenant, pod) != "", "it may not", timeout_s=60)


def _apply(ground: Ground, *flags: str) -> None:
    found = backstops.rendered(*flags)
    only = [one for one in found if one["metadata"]["name"] == "mesh7-pods"]
    ground.cluster.apply(yaml.safe_dump_all(only))


def test_the_injector_is_told_the_same_as_the_policies() -> None:
    """One chart writes both; these tests inject with what it writes."""
    maps = [one for one in backstops.chart() if one["kind"] == "ConfigMap"]
    text = next(
        one["data"]["injection.yaml"]
        for one in maps
        if one["metadata"]["name"] == names.INJECTION_CONFIG_MAP
    )
    assert settings.read(text) == backstops.SETTINGS
