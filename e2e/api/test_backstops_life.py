"""Normal life goes on beside admission policies: nodes, controllers, upgrades, deletions."""

import contextlib
import json
from collections.abc import Iterator

import pytest
import yaml

from e2e.api import asking, backstops, controllers, installed
from e2e.api.backstops import Ground, Object, refusal, said
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.waiting import until
from mesh7_core import names

pytestmark = pytest.mark.promise("K6")


@contextlib.contextmanager
def _upgraded(ground: Ground) -> Iterator[None]:
    """The policies of a release with a newer sidecar, while the block runs."""
    shop = ground.shop()
    admin = ground.cluster.kubectl
    _apply(ground, "--set=image.sidecar.tag=0.2.0")
    try:
        until(lambda: refusal(admin, backstops.guarded(shop)) != "", "it counts", timeout_s=60)
        yield
    finally:
        _apply(ground)
        until(lambda: not refusal(admin, backstops.guarded(shop)), "it is over", timeout_s=60)


def test_an_upgrade_that_accepts_the_image_before_refuses_no_pod_meanwhile(ground: Ground) -> None:
    """docs/administrator/upgrade.md: injectors learn of the newer one after the policies do."""
    shop = ground.shop("Enforced")
    admin = ground.cluster.kubectl
    newer, unknown = (backstops.guarded(shop, level="Enforced") for _ in range(2))
    for pod, image in ((newer, "mesh7-sidecar:0.2.0"), (unknown, "mesh7-sidecar:0.0.9")):
        for container in pod["spec"]["initContainers"]:
            container["image"] = image
    accepting = f"--set=injection.acceptedImages={{{backstops.IMAGE}}}"
    try:
        _apply(ground, "--set=image.sidecar.tag=0.2.0", accepting)
        until(lambda: not refusal(admin, newer), "it counts", timeout_s=60)
        assert refusal(admin, backstops.guarded(shop, level="Enforced")) == ""
        assert "is a native sidecar" in refusal(admin, unknown)
    finally:
        _apply(ground)
        until(lambda: refusal(admin, newer) != "", "it is over", timeout_s=60)


def _apply(ground: Ground, *flags: str) -> None:
    ground.cluster.apply(yaml.safe_dump_all(backstops.rendered(*flags)))


def test_a_pod_of_the_release_before_lives_on(ground: Ground) -> None:
    """An upgrade freezes nobody's labels, finalizers, status; its image may only become newer."""
    shop = ground.enrol("enabled", "Enforced")
    ground.run(shop, level="Enforced")
    tenant = ground.tenant(shop, "edit")
    pod = ["pod", "agent", "-n", shop]
    with _upgraded(ground):
        tenant("label", *pod, "team=shop")
        tenant("annotate", *pod, "note=x")
        _patch_metadata(ground, shop, finalizers=["example.com/wait"])
        _patch_metadata(ground, shop, finalizers=None)
        _report(ground, shop)
        assert "changes with the release alone" in _patched_image(ground, shop, "mesh7-sidecar:0.3")
        assert _patched_image(ground, shop, "mesh7-sidecar:0.2.0") == ""
    tenant("label", *pod, "team-")
    tenant("delete", *pod, "--grace-period=0", "--force")


def _patch_metadata(ground: Ground, namespace: str, **fields: object) -> None:
    patch = json.dumps({"metadata": fields})
    ground.cluster.kubectl("patch", "pod", "agent", "-n", namespace, "--type=merge", "-p", patch)


def _patched_image(ground: Ground, namespace: str, image: str) -> str:
    containers = [{"name": name, "image": image} for name in ("mesh7-enforce", "mesh7")]
    patch = json.dumps({"spec": {"initContainers": containers}})
    return said(ground.cluster.kubectl, "patch", "pod", "agent", "-n", namespace, "-p", patch)


def _report(ground: Ground, namespace: str) -> None:
    """What a kubelet writes."""
    running = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    patch = {"status": {"phase": "Running", "conditions": [running]}}
    path = f"/api/v1/namespaces/{namespace}/pods/agent/status"
    status, answer = asking.merge(ground.cluster, ground.kubelet.kubeconfig, path, patch)
    assert status == asking.OK, answer


@pytest.mark.parametrize("how", ["guarded", "unguarded"])
def test_a_node_reports_and_anybody_deletes(ground: Ground, how: str) -> None:
    """Also a pod that was there before its namespace was enrolled."""
    shop = ground.cluster.new_namespace("early")
    pod = backstops.plain(shop) if how == "unguarded" else backstops.guarded(shop)
    pod["spec"]["nodeName"] = backstops.NODE
    ground.cluster.kubectl("create", "-f", "-", stdin=yaml.safe_dump(pod))
    enrolling = [f"{names.INJECTION_LABEL}=enabled", f"{names.ENFORCEMENT}=Cooperative"]
    ground.cluster.kubectl("label", "namespace", shop, *enrolling)
    admin = ground.cluster.kubectl
    until(
        lambda: "unguarded" in refusal(admin, backstops.plain(shop, "late")),
        "it is enrolled", timeout_s=60,
    )  # fmt: skip
    _report(ground, shop)
    tenant = ground.tenant(shop, "edit")
    tenant("label", "pod", "agent", "-n", shop, "team=shop")
    _patch_metadata(ground, shop, finalizers=["example.com/wait"])
    _patch_metadata(ground, shop, finalizers=None)
    tenant("delete", "pod", "agent", "-n", shop, "--grace-period=0", "--force")


def test_a_sidecar_may_be_given_more_memory(ground: Ground) -> None:
    """In place, by whoever may resize pods: resources decide nothing."""
    shop = ground.enrol()
    ground.run(shop)
    tenant = ground.tenant(shop, "edit")
    resources = {"requests": {"cpu": "60m"}}
    patch = json.dumps({"spec": {"initContainers": [{"name": "mesh7", "resources": resources}]}})
    how = ["patch", "pod", "agent", "-n", shop, "--subresource=resize", "-p", patch]
    assert said(tenant, *how) == ""


def test_the_api_server_finds_no_fault_in_the_policies(ground: Ground) -> None:
    """It checks their expressions against the kinds' schemas, and says so in status."""

    def checked() -> dict[str, dict[str, object]]:
        found = ground.cluster.kubectl.json("get", "validatingadmissionpolicies")
        return {one["metadata"]["name"]: one.get("status", {}) for one in found["items"]}

    until(lambda: all("typeChecking" in one for one in checked().values()), "checked", timeout_s=60)
    faults = {name: one["typeChecking"] for name, one in checked().items() if one["typeChecking"]}
    assert faults == {}


def test_policies_spare_what_the_cluster_runs_on(ground: Ground) -> None:
    """A mistake of ours in them must not keep a cluster from coming back."""
    bindings = [
        one for one in backstops.chart() if one["kind"] == "ValidatingAdmissionPolicyBinding"
    ]
    for_pods = {
        one["metadata"]["name"]: one["spec"]["matchResources"]["namespaceSelector"]
        for one in bindings
        if "matchResources" in one["spec"]
    }
    assert set(for_pods) == {
        "mesh7-bindings", "mesh7-changes", "mesh7-custody", "mesh7-debug-containers",
        "mesh7-levels", "mesh7-pods", "mesh7-shells",
    }  # fmt: skip
    spared = ["kube-system", "kube-public", "kube-node-lease", names.RELEASE_NAMESPACE]
    wanted = [
        {"key": names.INJECTION_LABEL, "operator": "Exists"},
        {"key": names.NAMESPACE_NAME_LABEL, "operator": "NotIn", "values": spared},
    ]
    assert all(one == {"matchExpressions": wanted} for one in for_pods.values())
    for namespace in ("kube-system", names.RELEASE_NAMESPACE):
        pod = backstops.plain(namespace)
        pod["spec"]["hostNetwork"] = True
        assert refusal(ground.cluster.kubectl, pod) == ""


def test_the_emergency_page_lets_pods_start_unguarded(ground: Ground) -> None:
    """docs/administrator/emergency.md, as it is written there; custody holds on."""
    page = (controllers.ROOT / "docs" / "administrator" / "emergency.md").read_text()
    line = next(one for one in page.splitlines() if one.startswith("kubectl delete mutating"))
    shop = ground.shop()
    admin = ground.cluster.kubectl
    try:
        admin(*line.split()[1:], "--ignore-not-found")
        until(lambda: not refusal(admin, backstops.plain(shop)), "it is let pass", timeout_s=60)
        pod = backstops.plain(shop)
        secret = {"secretRef": {"name": names.CREDENTIALS_SECRET}}
        pod["spec"]["containers"][0]["envFrom"] = [secret]
        assert "take it out of env and envFrom" in refusal(admin, pod)
    finally:
        _apply(ground)
        backstops.await_in_force(ground)


def test_guarded_pods_are_made_again_after_uninstall_and_install(ground: Ground) -> None:
    """Found in a story of issue 6: they were refused, for want of the policies' parameters.

    Once policies with a kind of parameters had gone, an API server saw no newer one any more.
    """
    shop = ground.enrol()
    admin = ground.cluster.kubectl
    try:
        _delete(ground)
        until(lambda: not refusal(admin, backstops.plain(shop)), "they are gone", timeout_s=60)
        key = f"{names.TRUST_KEYS_ANNOTATION}={backstops.EARLIER_KEY}"
        admin("annotate", "namespace", shop, key, "--overwrite")
    finally:
        _apply(ground)
        backstops.await_in_force(ground)
    pod = backstops.guarded(shop)
    assert "trusts a key" in refusal(admin, pod)
    backstops.trust(pod, backstops.EARLIER_KEY)
    assert refusal(admin, pod) == ""


@pytest.mark.promise("K15")
@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("field", ["annotations", "labels"])
def test_whoever_binds_a_pod_rewrites_no_mark(ground: Ground, field: str, old: bool) -> None:
    """Attack: annotations of a Binding land on the pod, and no policy saw them."""
    shop = ground.enrol("enabled", "Enforced")
    admin = ground.cluster.kubectl
    for name in ("agent", "other"):
        admin("create", "-f", "-", stdin=yaml.safe_dump(backstops.guarded(shop, name, "Enforced")))
    scheduler = ground.tenant(shop, "system:kube-scheduler")
    marks = {names.ENFORCEMENT: "Cooperative"}
    assert "writes nothing of mesh7.dev" in _bound(scheduler, shop, "agent", old, {field: marks})
    kept = admin.json("get", "pod", "agent", "-n", shop)["metadata"]["annotations"]
    assert kept[names.ENFORCEMENT] == "Enforced"
    assert _bound(scheduler, shop, "other", old, {"annotations": {"example.com/x": "y"}}) == ""


def _bound(kubectl: Kubectl, namespace: str, pod: str, old: bool, said_of: Object) -> str:
    """Have it run on the node, by the pod's own door or the older one."""
    path = f"/api/v1/namespaces/{namespace}/" + ("bindings" if old else f"pods/{pod}/binding")
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": pod, "namespace": namespace, **said_of},
        "target": {"apiVersion": "v1", "kind": "Node", "name": backstops.NODE},
    }
    return said(kubectl, "create", "--raw", path, "-f", "-", stdin=json.dumps(binding))


def _delete(ground: Ground) -> None:
    for kind in installed.POLICIES:
        found = [one["metadata"]["name"] for one in backstops.rendered() if one["kind"] == kind]
        ground.cluster.kubectl("delete", kind.lower(), *found)
