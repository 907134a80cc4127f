"""The controller on a real API server: what is applied arrives, signed, and stays as it is."""

import base64
import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.api import controllers, kubelets
from e2e.api.controllers import Controller, Delivered
from e2e.cluster import api_server as api_servers
from e2e.cluster.api_server import ApiServer, Settings
from e2e.cluster.clusters import Cluster
from e2e.cluster.fixtures import need
from mesh7_core import names
from mesh7_operator.authority.kept import Program


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster with the kinds, for this module alone: its controller serves every namespace."""
    need("api")
    with api_servers.raised("controller", Settings(has_controllers=False)) as server:
        controllers.install(server.cluster)
        yield server.cluster


@pytest.fixture(scope="module")
def controller(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    log = tmp_path_factory.mktemp("controller") / "log"
    with controllers.controlling(cluster, log) as controller:
        controller.await_line("everything is listed")
        yield controller


@pytest.fixture
def shop(cluster: Cluster, controller: Controller) -> str:
    """An enrolled namespace with one policy, delivered."""
    name = controllers.enrol(cluster, f"shop-{secrets.token_hex(4)}")
    cluster.apply(controllers.policy(name, "support"))
    delivered = Delivered(cluster, name)
    controller.until(lambda: delivered.policies() == {f"{name}/support"}, "it is delivered")
    return name


def test_what_is_applied_arrives_in_a_bundle_that_a_sidecar_believes(
    cluster: Cluster, shop: str
) -> None:
    """Issue 5: `kubectl apply` must be enough."""
    delivered = Delivered(cluster, shop)
    found = delivered.object()
    assert found is not None
    assert found["metadata"]["labels"] == {"app.kubernetes.io/managed-by": names.FIELD_MANAGER}
    assert found["metadata"]["annotations"][names.BUNDLE_VERSION_ANNOTATION] == str(
        delivered.version()
    )
    status = cluster.kubectl.json("get", "agentpolicy", "support", "-n", shop)["status"]
    accepted = [one for one in status["conditions"] if one["type"] == "Accepted"]
    assert [one["status"] for one in accepted] == ["True"]


def test_a_changed_policy_comes_in_a_newer_version(
    cluster: Cluster, controller: Controller, shop: str
) -> None:
    delivered = Delivered(cluster, shop)
    before = delivered.version()
    cluster.apply(controllers.policy(shop, "support", tools="crm.*"))
    controller.until(lambda: delivered.version() > before, "a newer version is there")
    opened = delivered.opened()
    assert opened is not None
    assert b"crm.*" in opened.payload


def test_a_deleted_policy_leaves_the_bundle(
    cluster: Cluster, controller: Controller, shop: str
) -> None:
    """Issue 5: a policy deleted while pods use it."""
    delivered = Delivered(cluster, shop)
    before = delivered.version()
    cluster.kubectl("delete", "agentpolicy", "support", "-n", shop)
    controller.until(lambda: delivered.version() > before, "a newer version is there")
    assert delivered.policies() == set()


def test_a_baseline_policy_comes_into_every_bundle(
    cluster: Cluster, controller: Controller, shop: str
) -> None:
    release = controllers.RELEASE
    cluster.apply(controllers.policy(release, "fence", tools="*", action="Deny"))
    delivered = Delivered(cluster, shop)
    both = {f"{shop}/support", f"{release}/fence"}
    controller.until(lambda: delivered.policies() == both, "the baseline is in it")
    cluster.kubectl("delete", "agentpolicy", "fence", "-n", release)
    controller.until(
        lambda: delivered.policies() == {f"{shop}/support"}, "the baseline is out of it"
    )


def test_a_veto_travels_in_the_overlay_and_leaves_it_when_it_is_deleted(
    cluster: Cluster, controller: Controller, shop: str
) -> None:
    delivered = Delivered(cluster, shop)
    cluster.apply(f"""
apiVersion: {names.API_VERSION}
kind: Grant
metadata: {{name: stop, namespace: {shop}}}
spec: {{effect: Deny, subject: {{serviceAccount: support}}, tools: ["*"], reason: stop}}
""")
    controller.until(lambda: delivered.grants() == {"stop"}, "the veto is delivered")
    bundle = delivered.version()
    cluster.kubectl("delete", "grant", "stop", "-n", shop)
    controller.until(lambda: delivered.grants() == set(), "the veto is lifted")
    assert delivered.version() == bundle


def _tamper(cluster: Cluster, namespace: str, patch: dict[str, object]) -> None:
    cluster.kubectl(
        "patch", "configmap", names.BUNDLE_CONFIG_MAP, "-n", namespace,
        "--type=merge", "-p", json.dumps(patch),
    )  # fmt: skip


FORGED = base64.b64encode(b"forged").decode()
TAMPERINGS: dict[str, dict[str, object]] = {
    "edited": {"binaryData": {"bundle": FORGED}},
    "emptied": {"binaryData": None},
    "moved to data": {"binaryData": None, "data": {"bundle": "forged"}},
    "made immutable": {"immutable": True, "binaryData": {"bundle": FORGED}},
    "stripped of its labels": {"metadata": {"labels": None, "annotations": None}},
    "stuffed": {"data": {"more": "of it"}},
}


@pytest.mark.promise("K9")
@pytest.mark.parametrize("patch", TAMPERINGS.values(), ids=TAMPERINGS.keys())
def test_a_tampered_config_map_is_repaired(
    cluster: Cluster, controller: Controller, shop: str, patch: dict[str, object]
) -> None:
    """Issue 5: editors of the namespace may write it; what they did is undone, and no older."""
    delivered = Delivered(cluster, shop)
    before, version = delivered.object(), delivered.version()
    assert before is not None
    _tamper(cluster, shop, patch)

    def is_repaired() -> bool:
        found = delivered.object()
        return (
            found is not None
            and set(found.get("binaryData", {})) == set(before["binaryData"])
            and found["metadata"].get("labels") == before["metadata"]["labels"]
            and "data" not in found
            and "immutable" not in found
        )

    controller.until(is_repaired, "it is ours again")
    controller.until(lambda: delivered.version() >= version, "a sidecar believes it")
    assert delivered.policies() == {f"{shop}/support"}


@pytest.mark.promise("K9")
def test_a_deleted_config_map_comes_back(
    cluster: Cluster, controller: Controller, shop: str
) -> None:
    delivered = Delivered(cluster, shop)
    before = delivered.version()
    cluster.kubectl("delete", "configmap", names.BUNDLE_CONFIG_MAP, "-n", shop)
    controller.until(lambda: delivered.version() >= before, "it is back")
    assert delivered.policies() == {f"{shop}/support"}


@pytest.mark.promise("K9")
def test_an_older_bundle_of_ours_is_followed_by_a_newer_one(
    cluster: Cluster, controller: Controller, shop: str
) -> None:
    """Issue 5: the ConfigMap replaced by a validly signed older one."""
    delivered = Delivered(cluster, shop)
    older = delivered.envelope()
    assert older is not None
    before = delivered.version()
    cluster.apply(controllers.policy(shop, "support", action="Deny"))
    controller.until(lambda: delivered.version() > before, "a newer version is there")
    newer = delivered.version()
    _tamper(cluster, shop, {"binaryData": {"bundle": base64.b64encode(older).decode()}})
    controller.until(lambda: delivered.version() >= newer, "the newer one is back")
    opened = delivered.opened()
    assert opened is not None
    assert b'"Deny"' in opened.payload


def test_another_field_manager_does_not_keep_it(
    cluster: Cluster, controller: Controller, shop: str
) -> None:
    """Issue 5: conflicting field manager."""
    delivered = Delivered(cluster, shop)
    before = delivered.version()
    cluster.kubectl(
        "apply", "--server-side", "--force-conflicts", "--field-manager=somebody", "-f", "-",
        stdin=json.dumps({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": names.BUNDLE_CONFIG_MAP, "namespace": shop},
            "binaryData": {"bundle": FORGED},
        }),
    )  # fmt: skip
    controller.until(lambda: delivered.version() >= before, "it is ours again")
    assert delivered.policies() == {f"{shop}/support"}


def test_a_namespace_that_leaves_loses_its_bundle(
    cluster: Cluster, controller: Controller, shop: str
) -> None:
    """Issue 5: namespace disenrolled."""
    delivered = Delivered(cluster, shop)
    version = delivered.version()
    series = f'mesh7_bundle_version{{namespace="{shop}"}}'
    controller.until(lambda: controller.metrics().get(series) == version, "it is measured")
    cluster.kubectl("label", "namespace", shop, f"{names.INJECTION_LABEL}-")
    controller.until(lambda: delivered.object() is None, "the bundle is removed")
    controller.until(lambda: series not in controller.metrics(), "its series is dropped")
    cluster.kubectl("label", "namespace", shop, f"{names.INJECTION_LABEL}=enabled")
    controller.until(lambda: delivered.version() > version, "it comes back, newer")


def test_rotated_keys_sign_and_lead_back_to_the_first(
    cluster: Cluster, controller: Controller, shop: str
) -> None:
    """Design 7: each bundle carries current and next keys, signed by the previous one."""
    first = base64.b64decode(controllers.operator(cluster, "keys", "show"))
    old = Delivered(cluster, shop, root=first)
    before = old.version()
    second = base64.b64decode(controllers.operator(cluster, "keys", "rotate"))
    assert second != first
    controller.until(lambda: old.version() > before, "old pods believe a newer version")
    opened = old.opened()
    assert opened is not None
    assert opened.header.key == second
    assert opened.header.key == base64.b64decode(
        json.loads(controllers.operator(cluster, "keys", "show", "-o", "json"))["key"]
    )


def test_one_broken_policy_leaves_the_others_alone(
    cluster: Cluster, controller: Controller, shop: str
) -> None:
    """Design 7: it denies what it selects, and says so in its status."""
    cluster.apply(f"""
apiVersion: {names.API_VERSION}
kind: AgentPolicy
metadata: {{name: broken, namespace: {shop}}}
spec:
  selector: {{matchLabels: {{app: other}}}}
  rules: [{{name: only, tools: ["*"], when: "args.amount <", action: Allow}}]
""")

    def is_refused() -> bool:
        found = cluster.kubectl.json("get", "agentpolicy", "broken", "-n", shop)
        conditions = found.get("status", {}).get("conditions", [])
        return any(one["type"] == "Accepted" and one["status"] == "False" for one in conditions)

    controller.until(is_refused, "its status says so")
    assert Delivered(cluster, shop).policies() == {f"{shop}/support", f"{shop}/broken"}


def test_nothing_is_delivered_before_everything_is_listed(
    tmp_path: Path, raise_own: ApiServer
) -> None:
    """Issue 5: a set that is half listed must never be published."""
    own = raise_own.cluster
    controllers.install(own)
    release = controllers.RELEASE
    shops = [f"shop-{number}" for number in range(8)]
    own.apply(
        "\n---\n".join([
            *(controllers.policy(release, f"fence-{n}", "*", "Deny") for n in range(30)),
            *(f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, "
              f"labels: {{{names.INJECTION_LABEL}: enabled}}}}" for name in shops),
            *(controllers.policy(name, f"own-{n}") for name in shops for n in range(10)),
        ])
    )  # fmt: skip
    with controllers.controlling(own, tmp_path / "log") as controller:
        controller.until(lambda: len(controller.lines("delivered")) >= len(shops), "delivered")
        for name in shops:
            wanted = {f"{release}/fence-{n}" for n in range(30)}
            wanted |= {f"{name}/own-{n}" for n in range(10)}
            assert Delivered(own, name).policies() == wanted
        # Once each: whatever was delivered was whole the first time.
        named = [line["namespace"] for line in controller.lines("delivered")]
        assert sorted(named) == shops


def test_a_cluster_without_the_kinds_is_said_so(raise_own: ApiServer, tmp_path: Path) -> None:
    raise_own.cluster.kubectl("create", "namespace", controllers.RELEASE)
    with controllers.controlling(raise_own.cluster, tmp_path / "log") as controller:
        assert controller.process.wait(controllers.PATIENCE_S) == 1
        assert controller.lines()[-1]["error"] == (
            "kind AgentPolicy of mesh7.dev/v1alpha1 – is not served; apply the manifests in crds/"
        )


def test_an_api_server_that_was_away_is_taken_up_again(
    raise_own: ApiServer, tmp_path: Path
) -> None:
    """Issue 5: API server restarted."""
    own = raise_own.cluster
    controllers.install(own)
    controllers.enrol(own, "shop")
    own.apply(controllers.policy("shop", "support"))
    with controllers.controlling(own, tmp_path / "log") as controller:
        controller.await_line("delivered")
        delivered = Delivered(own, "shop")
        controller.until(lambda: delivered.version() > 0, "it is delivered")
        before = delivered.version()
        raise_own.restart()
        own.apply(controllers.policy("shop", "support", action="Deny"))
        controller.until(lambda: delivered.version() > before, "a newer version")
        assert controller.process.poll() is None


@pytest.fixture
def raise_own() -> Iterator[ApiServer]:
    """A cluster of the test's own, without controllers."""
    need("api")
    with api_servers.raised("controller-own", Settings(has_controllers=False)) as server:
        yield server


@pytest.mark.promise("K15")
def test_who_vouches_for_the_exchange_is_said_on_namespaces(
    cluster: Cluster, controller: Controller, shop: str
) -> None:
    """docs/administrator/backstops.md: what its Secret says, from which the injector has it."""

    def is_said() -> bool:
        about = cluster.kubectl.json("get", "namespace", shop)["metadata"]["annotations"]
        held = kubelets.content(cluster, "secret", Program.EXCHANGE.secret).get("ca.crt", b"")
        return str(about.get(names.AUTHORITIES_ANNOTATION)).encode() == held

    controller.until(is_said, "they are said")


def test_unguarded_pods_are_counted(cluster: Cluster, controller: Controller, shop: str) -> None:
    """Design 8: the audit loop finds unguarded pods in enrolled namespaces."""
    cluster.apply(
        f"apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: default, namespace: {shop}}}"
    )
    cluster.apply(f"""
apiVersion: v1
kind: Pod
metadata: {{name: bare, namespace: {shop}}}
spec: {{containers: [{{name: agent, image: "registry.example/agent:1"}}]}}
""")
    series = f'mesh7_unguarded_pods{{namespace="{shop}"}}'
    controller.until(lambda: controller.metrics().get(series) == 1, "it is counted", 90)
