"""Injection on a real API server: who is guarded, left alone, refused; and what else may fail."""

import json
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.api import installed, late_webhook
from e2e.api.forwarding import Endpoint, forwarding
from e2e.api.installed import Files, Injector
from e2e.cluster import api_server as api_servers
from e2e.cluster.api_server import Settings
from e2e.cluster.clusters import Cluster
from e2e.cluster.fixtures import need
from e2e.cluster.kubectl import KubectlError
from e2e.cluster.waiting import until
from mesh7_core import names

Object = dict[str, Any]
_QUESTION = "mutation.webhook.admission.k8s.io/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A cluster whose API server asks an injector about new pods.

    Attributes:
        kubeconfig: the injector's.
        audit: the API server's log so far.
    """

    cluster: Cluster
    injector: Injector
    files: Files
    kubeconfig: Path
    audit: Callable[[], list[Object]]

    def lead(self, url: str) -> None:
        """Have the API server ask there."""
        authority = self.files.authority.certificate
        kinds = ("MutatingWebhookConfiguration",)
        self.cluster.apply(installed.admission(kinds=kinds, url=url, authority=authority))

    def namespace(self, how: str = "", level: str = "") -> str:
        """A fresh one; enrolled so."""
        labels = {names.INJECTION_LABEL: how, names.ENFORCEMENT: level}
        chosen = {key: value for key, value in labels.items() if value}
        return self.cluster.new_namespace("shop", chosen)

    def create(self, document: Object) -> Object:
        """Have it stored; it as it is stored."""
        text = yaml.safe_dump(document)
        return self.cluster.kubectl.json("create", "-f", "-", stdin=text)

    def refusal(self, document: Object) -> str:
        """What the API server says against it; empty = it would store it."""
        try:
            self.cluster.kubectl(
                "create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(document)
            )
        except KubectlError as error:
            return error.stderr
        return ""

    def questions(self, namespace: str) -> list[str]:
        """What the audit log says of questions about pods made there, one each."""
        return [
            key
            for one in self.audit()
            if one.get("objectRef", {}).get("namespace") == namespace
            and (one["objectRef"]["resource"], one["verb"]) == ("pods", "create")
            for key in one.get("annotations", {})
            if key.startswith(_QUESTION)
        ]


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    need("api")
    folder = tmp_path_factory.mktemp("injection")
    with api_servers.raised("injection", Settings()) as server:
        cluster = server.cluster
        installed.install(cluster)
        kubeconfig = installed.account(cluster, "mesh7-injector", folder)
        files = Files(folder)
        with installed.injecting(kubeconfig, files, "first") as injector:
            found = Guarded(
                cluster=cluster,
                injector=injector,
                files=files,
                kubeconfig=kubeconfig,
                audit=server.audit,
            )
            found.lead(injector.url)
            _await_asked(found)
            yield found


def _await_asked(there: Guarded) -> None:
    bad = _pod(there.namespace("enabled"), hostNetwork=True)
    until(lambda: "host-network" in there.refusal(bad), "it is asked", timeout_s=60)


def _pod(namespace: str, name: str = "support", *, inject: str = "", **spec: object) -> Object:
    about: Object = {"name": name, "namespace": namespace}
    if inject:
        about["annotations"] = {names.INJECT: inject}
    containers = [{"name": "agent", "image": "agent:1"}]
    written = {"containers": containers, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": written}


def _sidecars(pod: Object) -> list[str]:
    """Names of its native sidecars."""
    found = pod["spec"].get("initContainers", [])
    return [one["name"] for one in found if one.get("restartPolicy") == "Always"]


def _token(container: Object) -> str:
    """The volume that is mounted where programs look for their account's token."""
    path = "/var/run/secrets/kubernetes.io/serviceaccount"
    (found,) = [one["name"] for one in container["volumeMounts"] if one["mountPath"] == path]
    return str(found)


def _values(container: Object) -> dict[str, str]:
    return {one["name"]: one.get("value", "") for one in container.get("env", [])}


def _told(there: Guarded, namespace: str) -> dict[str, str]:
    """What an agent of a new pod would be told."""
    text = yaml.safe_dump(_pod(namespace, inject="true"))
    pod = there.cluster.kubectl.json("create", "--dry-run=server", "-f", "-", stdin=text)
    return _values(pod["spec"]["containers"][0])


def _source(namespace: str, name: str) -> str:
    spec = {"mcp": {"url": f"https://{name}.example.com/mcp"}}
    about = {"apiVersion": names.API_VERSION, "kind": names.TOOL_SOURCE}
    named = {"name": name, "namespace": namespace}
    return yaml.safe_dump({**about, "metadata": named, "spec": spec})


@pytest.mark.promise("K5")
def test_an_annotated_pod_gets_a_native_sidecar_and_knows_its_tools(there: Guarded) -> None:
    shop = there.namespace("on-request")
    there.cluster.apply(_source(shop, "billing"))
    until(lambda: "MESH7_MCP_BILLING_URL" in _told(there, shop), "it is known", timeout_s=60)
    pod = there.create(_pod(shop, inject="true"))
    assert _sidecars(pod) == ["mesh7"]
    sidecar = pod["spec"]["initContainers"][0]
    assert sidecar["image"] == "mesh7-sidecar:0.1.0"
    assert _values(sidecar)["MESH7_TRUST_KEY"] == there.files.trust_key
    (agent,) = pod["spec"]["containers"]
    assert _values(agent) == {
        "MESH7_URL": "http://127.0.0.1:7007",
        "MESH7_MCP_BILLING_URL": "http://127.0.0.1:7007/mcp/billing",
    }
    assert pod["metadata"]["labels"][names.INJECTED_LABEL] == "true"
    assert pod["metadata"]["annotations"][names.ENFORCEMENT] == "Cooperative"


@pytest.mark.promise("K5")
def test_every_pod_of_an_enabled_namespace_is_guarded(there: Guarded) -> None:
    shop = there.namespace("enabled")
    assert _sidecars(there.create(_pod(shop))) == ["mesh7"]
    assert "opt-out-not-allowed: " in there.refusal(_pod(shop, "out", inject="false"))


def test_a_pod_is_asked_about_once_and_our_containers_have_no_token_of_the_api_server(
    there: Guarded,
) -> None:
    """docs/reference/injection.md: a token is mounted where nothing is, after us too."""
    shop = there.namespace("enabled")
    pod = there.create(_pod(shop))
    assert len(there.questions(shop)) == 1
    (sidecar,), (agent,) = pod["spec"]["initContainers"], pod["spec"]["containers"]
    assert _token(sidecar) == "mesh7-podinfo"
    assert _token(agent).startswith("kube-api-access-")


@pytest.mark.promise("K6")
@pytest.mark.parametrize("how", ["", "on-request"])
def test_a_pod_that_asks_for_nothing_elsewhere_never_waits_for_us(there: Guarded, how: str) -> None:
    """Design 9: outside, nothing is ever called."""
    other = there.namespace(how)
    assert _sidecars(there.create(_pod(other))) == []
    assert there.questions(other) == []


@pytest.mark.promise("K5")
def test_a_guarded_pod_made_again_is_the_same(there: Guarded) -> None:
    """Idempotent: whoever exports a pod, or another injector after us, changes nothing."""
    shop = there.namespace("enabled")
    stored = there.create(_pod(shop))
    again = json.loads(json.dumps(stored))
    again["metadata"] = {
        "name": "again", "namespace": shop, "labels": stored["metadata"]["labels"],
        "annotations": stored["metadata"]["annotations"],
    }  # fmt: skip
    again.pop("status")
    made = there.create(again)
    assert made["spec"] == stored["spec"]
    assert made["metadata"]["annotations"] == stored["metadata"]["annotations"]


@pytest.mark.promise("K5")
def test_a_container_that_another_webhook_adds_is_guarded_too(
    there: Guarded, tmp_path: Path
) -> None:
    """`reinvocationPolicy: IfNeeded`: we are asked once more."""
    shop = there.namespace("enabled")
    with late_webhook.adding(there.cluster, shop, tmp_path):

        def stored() -> Object:
            text = yaml.safe_dump(_pod(shop))
            return there.cluster.kubectl.json("create", "--dry-run=server", "-f", "-", stdin=text)

        until(lambda: len(stored()["spec"]["containers"]) == 2, "it is added", timeout_s=60)
        pod = stored()
    assert _sidecars(pod) == ["mesh7"]
    for container in pod["spec"]["containers"]:
        assert _values(container)["MESH7_URL"] == "http://127.0.0.1:7007"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"hostNetwork": True}, "host-network: spec.hostNetwork: "),
        ({"hostPID": True}, "host-processes: spec.hostPID: "),
        ({"shareProcessNamespace": True}, "shared-processes: spec.shareProcessNamespace: "),
    ],
)
def test_kubectl_shows_why_a_pod_may_not_be(there: Guarded, spec: Object, said: str) -> None:
    """The reason's code first; docs/reference/injection.md has a section for each."""
    refusal = there.refusal(_pod(there.namespace("enabled"), **spec))
    assert f'"enabled-pods.mesh7.dev" denied the request: {said}' in refusal


def test_a_mark_that_contradicts_itself_is_refused(there: Guarded) -> None:
    pod = _pod(there.namespace("on-request"), inject="true")
    pod["metadata"]["labels"] = {names.INJECT: "false"}
    assert "contradiction: " in there.refusal(pod)


def test_a_namespace_whose_label_means_nothing_has_no_new_pods(there: Guarded) -> None:
    """It may be meant as either, so nobody guesses."""
    refusal = there.refusal(_pod(there.namespace("enable")))
    assert '"mislabelled-pods.mesh7.dev" denied the request: invalid-value: ' in refusal


def _workload(kind: str, namespace: str, **spec: object) -> str:
    template = {
        "metadata": {"labels": {"app": "support"}},
        "spec": {"containers": [{"name": "agent", "image": "agent:1"}], **spec},
    }
    about = {"name": "support", "namespace": namespace}
    if kind == "Job":
        template["spec"] |= {"restartPolicy": "Never"}  # type: ignore[operator]
        written: Object = {"apiVersion": "batch/v1", "spec": {"template": template}}
    else:
        selected = {"selector": {"matchLabels": {"app": "support"}}, "template": template}
        more = {"serviceName": "support"} if kind == "StatefulSet" else {}
        written = {"apiVersion": "apps/v1", "spec": {**selected, **more}}
    return yaml.safe_dump({**written, "kind": kind, "metadata": about})


@pytest.mark.promise("K5")
@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "Job"])
def test_pods_of_controllers_are_guarded(there: Guarded, kind: str) -> None:
    if kind == "DaemonSet":
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "farm"}}
        there.cluster.apply(yaml.safe_dump(node))
    shop = there.namespace("enabled")
    there.cluster.apply(_workload(kind, shop))

    def pods() -> list[Object]:
        found: list[Object] = there.cluster.kubectl.json("get", "pods", "-n", shop)["items"]
        return found

    until(lambda: len(pods()) == 1, "its pod is there", timeout_s=60)
    assert _sidecars(pods()[0]) == ["mesh7"]


@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_why_a_controllers_pod_may_not_be_is_in_its_event(there: Guarded, kind: str) -> None:
    shop = there.namespace("enabled")
    there.cluster.apply(_workload(kind, shop, hostNetwork=True))

    def said() -> str:
        chosen = ["-n", shop, "--field-selector=reason=FailedCreate"]
        found = there.cluster.kubectl.json("get", "events", *chosen)["items"]
        return " ".join(one["message"] for one in found)

    until(lambda: "host-network: spec.hostNetwork: " in said(), "it is said", timeout_s=60)


def test_a_dry_run_leaves_nothing_behind(there: Guarded) -> None:
    shop = there.namespace("enabled")

    def is_uncounted() -> bool:
        before = re.findall("(?m)^mesh7_injections_total.*", there.injector.ask("/metrics"))
        assert there.refusal(_pod(shop)) == ""
        assert "host-network" in there.refusal(_pod(shop, hostNetwork=True))
        after = re.findall("(?m)^mesh7_injections_total.*", there.injector.ask("/metrics"))
        return after == before

    # A controller may make a pod of another test at the same moment, but not each time.
    assert any(is_uncounted() for _ in range(10))


def test_a_level_holds_from_the_next_pod_on(there: Guarded) -> None:
    """And the account's rights reach as far as the question: the NetworkPolicy is looked for."""
    shop = there.namespace("enabled")
    assert there.refusal(_pod(shop)) == ""
    there.cluster.kubectl("label", "namespace", shop, f"{names.ENFORCEMENT}=Guarded")
    assert "no-network-policy: " in there.refusal(_pod(shop))
    about = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
    named = {"name": names.NETWORK_POLICY, "namespace": shop}
    there.cluster.apply(yaml.safe_dump({**about, "metadata": named, "spec": {"podSelector": {}}}))
    assert "no-network-policy: " not in there.refusal(_pod(shop))


@pytest.mark.promise("K6")
def test_without_the_injector_enrolled_pods_are_refused_and_others_are_not(there: Guarded) -> None:
    enabled, asking, plain = (there.namespace(how) for how in ("enabled", "on-request", ""))
    there.lead("https://127.0.0.1:1")
    try:
        until(
            lambda: "failed calling webhook" in there.refusal(_pod(enabled)),
            "it is refused", timeout_s=60,
        )  # fmt: skip
        assert "failed calling webhook" in there.refusal(_pod(asking, inject="true"))
        assert there.refusal(_pod(asking)) == ""
        assert there.refusal(_pod(plain)) == ""
        assert there.refusal(_pod(names.RELEASE_NAMESPACE, serviceAccountName="default")) == ""
    finally:
        there.lead(there.injector.url)
        until(lambda: not there.refusal(_pod(enabled)), "it is back", timeout_s=60)


@pytest.mark.promise("K6")
def test_one_of_two_injectors_may_be_killed(there: Guarded) -> None:
    """No pod is refused for it: the other one answers."""
    files, kubeconfig, shop = there.files, there.kubeconfig, there.namespace("enabled")
    with (
        installed.injecting(kubeconfig, files, "one") as first,
        installed.injecting(kubeconfig, files, "two") as second,
        forwarding([Endpoint(one.port, one.is_ready) for one in (first, second)]) as port,
    ):
        there.lead(f"https://127.0.0.1:{port}")
        try:
            until(lambda: _asks(there, first, shop), "the first is asked", timeout_s=60)
            first.end(signal.SIGKILL)
            refused = [there.refusal(_pod(shop, f"pod-{at}")) for at in range(10)]
        finally:
            there.lead(there.injector.url)
        assert refused == [""] * 10
        assert 'door="inject",kind="Pod",outcome="allowed"' in second.ask("/metrics")


def _asks(there: Guarded, injector: Injector, namespace: str) -> bool:
    assert there.refusal(_pod(namespace)) == ""
    return 'door="inject"' in injector.ask("/metrics")
