"""`helm install`, `upgrade` and `uninstall` on a real API server, as an administrator does it."""

import base64
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e import charts
from e2e.api import controllers, installed
from e2e.cluster import api_server as api_servers
from e2e.cluster import helm as helms
from e2e.cluster.api_server import Settings
from e2e.cluster.clusters import Cluster
from e2e.cluster.fixtures import need
from e2e.cluster.helm import Helm, HelmError
from e2e.cluster.kubectl import KubectlError
from e2e.cluster.waiting import until
from mesh7_core import names

RELEASE = charts.NAMESPACE
_FOREIGN = ("PodMonitor", "PrometheusRule", "Certificate")
_BUNDLE = base64.b64encode(b"authorities").decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class There:
    cluster: Cluster
    helm: Helm

    def install(self, *flags: str) -> str:
        """As docs/administrator/install.md has it, without waiting for pods: nothing runs them."""
        self.helm("install", "mesh7-crds", str(charts.CRDS_CHART), "-n", RELEASE,
                  "--create-namespace")  # fmt: skip
        return self.helm("install", "mesh7", str(charts.CHART), "-n", RELEASE, *flags)

    def bundles(self) -> set[str]:
        """What the webhook configurations trust the injector by."""
        return {
            hook["clientConfig"].get("caBundle", "")
            for kind in installed.WEBHOOKS
            for hook in self.cluster.kubectl.json("get", kind, "mesh7")["webhooks"]
        }

    def left(self) -> list[str]:
        """Whatever has our label, in all namespaces."""
        kinds = self.cluster.kubectl("api-resources", "--verbs=list", "-o", "name").split()
        found = self.cluster.kubectl(
            "get", ",".join(kinds), "-A", "-l", "app.kubernetes.io/part-of=mesh7", "-o", "name",
            "--ignore-not-found",
        )  # fmt: skip
        return sorted(found.split())


@pytest.fixture
def there() -> Iterator[There]:
    need("api")
    with api_servers.raised("charts", Settings()) as server:
        yield There(cluster=server.cluster, helm=helms.of_admin(server.cluster))


@pytest.mark.promise("K11")
def test_install_upgrade_and_uninstall_leave_no_stuck_object(there: There) -> None:
    """An upgrade keeps what the programs wrote; kinds, and objects with them, stay."""
    said = there.install()
    assert "kubectl label namespace NAME mesh7.dev/injection=on-request" in said
    expected = [one for one in charts.documents() if not _is_hook(one)]
    there.cluster.kubectl("get", "-f", "-", stdin=yaml.safe_dump_all(expected))
    assert there.bundles() == {""}

    _fill(there)
    there.helm("upgrade", "mesh7", str(charts.CHART), "-n", RELEASE, "--set=injector.replicas=3")
    assert there.bundles() == {_BUNDLE}
    assert there.cluster.kubectl.json(
        "get", "configmap", "mesh7-stamp-public", "-n", RELEASE
    )["data"] == {"key": "value"}  # fmt: skip

    there.helm("uninstall", "mesh7", "-n", RELEASE, "--no-hooks")
    assert there.left() == []
    there.helm("uninstall", "mesh7-crds", "-n", RELEASE)
    kinds = there.cluster.kubectl("get", "crd", "-o", "name").split()
    ours = [one for one in kinds if one.endswith(".mesh7.dev")]
    assert len(ours) == len(list((charts.ROOT / "crds").glob("*.yaml")))


def test_an_uninstall_that_cannot_sweep_removes_nothing(there: There) -> None:
    """Nothing runs the Job here, as where its image cannot be pulled (uninstall.md)."""
    there.install("--set=redis.mode=none")
    with pytest.raises(HelmError, match=r"timed out|deadline exceeded"):
        there.helm("uninstall", "mesh7", "-n", RELEASE, "--timeout=3s")
    assert there.bundles() == {""}
    there.helm("uninstall", "mesh7", "-n", RELEASE, "--no-hooks")
    # For its log; its rights are gone, though nobody removed them by hand.
    assert {one.partition("/")[0] for one in there.left()} <= {"job.batch", "pod"}


def test_half_a_sweep_can_be_taken_back(there: There) -> None:
    """docs/administrator/uninstall.md#back-after-half-a-sweep."""
    there.install("--set=redis.mode=none")
    with pytest.raises(HelmError, match=r"timed out|deadline exceeded"):
        there.helm("uninstall", "mesh7", "-n", RELEASE, "--timeout=3s")
    # What a sweep does first.
    there.cluster.kubectl("delete", ",".join(installed.WEBHOOKS), "mesh7")
    controllers_of_ours = ("deployment/mesh7-controller", "-n", RELEASE)
    there.cluster.kubectl("scale", "--replicas=0", *controllers_of_ours)
    upgrade = ("upgrade", "mesh7", str(charts.CHART), "-n", RELEASE, "--reset-then-reuse-values")
    with pytest.raises(HelmError, match="has no deployed releases"):
        there.helm(*upgrade)
    there.helm("rollback", "mesh7", "1", "-n", RELEASE)
    assert there.bundles() == {""}
    assert there.cluster.kubectl.json("get", *controllers_of_ours)["spec"]["replicas"] == 2
    there.helm(*upgrade)


def test_kinds_and_objects_outlive_their_chart(there: There) -> None:
    """docs/administrator/uninstall.md: they go by name alone."""
    there.install("--set=redis.mode=none")
    there.helm("uninstall", "mesh7-crds", "-n", RELEASE)
    [line] = [
        line.split()
        for line in (charts.ROOT / "docs/administrator/uninstall.md").read_text().splitlines()
        if line.startswith("kubectl delete crd ")
    ]
    # No controller runs here that would have asked for them: of a kind that nobody has asked for
    # an API server says `storage is (re)initializing` to itself, and never ends deleting it.
    there.cluster.kubectl("get", "mesh7", "--all-namespaces")
    deleted = there.cluster.kubectl(*line[1:]).splitlines()
    assert len(deleted) == len(list((charts.ROOT / "crds").glob("*.yaml")))


@pytest.mark.parametrize("name", charts.sets())
def test_the_api_server_takes_every_object_to_the_letter(cluster: Cluster, name: str) -> None:
    """Unknown and doubled fields are refused; nothing is stored."""
    controllers.install(cluster)
    objects = [one for one in charts.documents(name) if one["kind"] not in _FOREIGN]
    # What others hang on has to be there even so.
    first = [one for one in objects if one["kind"] in {"Namespace", "ServiceAccount"}]
    cluster.apply(yaml.safe_dump_all(first))
    cluster.kubectl.apply(yaml.safe_dump_all(objects), "--dry-run=server", "--validate=strict")


def test_every_pod_stands_the_pod_security_standard_restricted(cluster: Cluster) -> None:
    """docs/administrator/install.md tells people to hold the release namespace to it."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = cluster.new_namespace(labels=labels)
    for name in charts.sets():
        for one in charts.documents(name):
            spec = one.get("spec", {}).get("template", {}).get("spec")
            if spec is None and one["kind"] == "Pod":
                spec = one["spec"]
            if spec is not None:
                spec = {**spec, "serviceAccountName": "default"}
                metadata = {"name": "x", "namespace": namespace}
                pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
                cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))


def test_the_api_server_knows_every_word_of_the_admission_policies(there: There) -> None:
    """It types what it can of each expression, and says so in the status."""
    controllers.install(there.cluster)
    there.cluster.apply(installed.rendered(kinds=("ValidatingAdmissionPolicy",)))

    def policies() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = there.cluster.kubectl.json(
            "get", "validatingadmissionpolicies"
        )["items"]
        return [one for one in found if one["metadata"]["name"].startswith("mesh7-")]

    until(
        lambda: all("typeChecking" in one.get("status", {}) for one in policies()),
        "expressions are typed",
        timeout_s=60,
    )
    warnings = {
        one["metadata"]["name"]: one["status"]["typeChecking"]["expressionWarnings"]
        for one in policies()
        if one["status"]["typeChecking"].get("expressionWarnings")
    }
    assert warnings == {}


def test_helm_test_tells_whether_a_pod_would_be_guarded(there: There, tmp_path: Path) -> None:
    """With the rights of its account, which stores nothing."""
    there.install("--set=redis.mode=none")
    objects = [one for one in charts.documents() if one["metadata"]["labels"].get(
        "app.kubernetes.io/name") == "mesh7-verify" and one["kind"] != "Pod"]  # fmt: skip
    there.cluster.apply(yaml.safe_dump_all(objects))
    kubeconfig = installed.account(there.cluster, "mesh7-verify", tmp_path)
    command = [
        *installed.PROGRAM, "verify", f"--kubeconfig={kubeconfig}",
        "--namespace=mesh7-system-test", "--output=json",
    ]  # fmt: skip
    refused = subprocess.run(
        [*command, "--patience=0"], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert "failed calling webhook" in refused.stderr

    files = installed.Files(tmp_path)
    # The controller's part.
    trust = {"key": files.trust_key}
    metadata = {"name": names.TRUST_CONFIG_MAP, "namespace": RELEASE}
    there.cluster.apply(json.dumps(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": trust}
    ))  # fmt: skip
    injector = installed.account(there.cluster, "mesh7-injector", tmp_path)
    with installed.injecting(injector, files, "first") as running:
        authority = files.authority.certificate
        webhooks = installed.admission(
            kinds=installed.WEBHOOKS, url=running.url, authority=authority
        )
        there.cluster.kubectl("replace", "-f", "-", stdin=webhooks)
        found = subprocess.run(
            [*command, "--patience=30"], capture_output=True, text=True, check=False
        )
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout) == {
        "did": "would guard",
        "namespace": "mesh7-system-test",
        "level": "Cooperative",
        "image": "mesh7-sidecar:0.1.0",
    }
    with pytest.raises(KubectlError, match="NotFound"):
        there.cluster.kubectl("get", "pod", "mesh7-verify", "-n", "mesh7-system-test")


def _is_hook(one: dict[str, Any]) -> bool:
    return "helm.sh/hook" in one["metadata"].get("annotations", {})


def _fill(there: There) -> None:
    """What controller and injector write into objects of the chart."""
    for kind in installed.WEBHOOKS:
        count = len(there.cluster.kubectl.json("get", kind, "mesh7")["webhooks"])
        patch = [
            {"op": "add", "path": f"/webhooks/{n}/clientConfig/caBundle", "value": _BUNDLE}
            for n in range(count)
        ]
        there.cluster.kubectl("patch", kind, "mesh7", "--type=json", "-p", json.dumps(patch))
    there.cluster.kubectl(
        "patch", "configmap", "mesh7-stamp-public", "-n", RELEASE, "-p", '{"data":{"key":"value"}}'
    )
