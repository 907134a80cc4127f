"""`kubectl mesh7` by the real kubectl, on a real API server, as people with and without rights."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from e2e.api import plugins
from e2e.api.plugins import Plugin
from e2e.cluster.clusters import Cluster
from e2e.cluster.fixtures import need
from e2e.cluster.waiting import until
from mesh7_cli import plugin as mesh7_plugin
from mesh7_cli.cluster import looking
from mesh7_cli.cluster.kubectl import Kubectl
from mesh7_core import names

Object = dict[str, Any]
_DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: {namespace}}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      containers: [{{name: agent, image: "agent:1"}}]
"""


@pytest.fixture
def plugin(cluster: Cluster) -> Plugin:
    """On a cluster without mesh7, or with its kinds alone."""
    return Plugin(cluster=cluster)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugin]:
    """On a cluster whose API server asks an injector."""
    need("api")
    with plugins.guarded("plugin", tmp_path_factory.mktemp("plugin")) as found:
        yield found


def _enrolled(plugin: Plugin) -> str:
    return plugin.cluster.new_namespace("shop", {names.INJECTION_LABEL: "enabled"})


def _pod(namespace: str, spec: Object | None = None) -> Object:
    about = {"name": "support", "namespace": namespace}
    written = {"containers": [{"name": "agent", "image": "agent:1"}], **(spec or {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": written}


def _stored(plugin: Plugin, pod: Object) -> Object:
    """As the API server would store it, without what differs each time."""
    text = yaml.safe_dump(pod)
    found = plugin.cluster.kubectl.json("create", "--dry-run=server", "-f", "-", stdin=text)
    for mark in ("uid", "creationTimestamp", "managedFields"):
        found["metadata"].pop(mark, None)
    # The token's volume has a name of its own each time.
    volumes = [one["name"] for one in found["spec"]["volumes"]]
    text = json.dumps(found)
    for name in volumes:
        if name.startswith("kube-api-access-"):
            text = text.replace(name, "kube-api-access")
    again: Object = json.loads(text)
    # Whose volumes come first means nothing.
    again["spec"]["volumes"].sort(key=lambda one: str(one["name"]))
    return again


@pytest.mark.promise("K5")
def test_what_inject_prints_is_what_admission_makes(guarded: Plugin) -> None:
    """Issue 6: the same function behind `kubectl mesh7 inject -f`."""
    pod = _pod(_enrolled(guarded))
    until(
        lambda: "initContainers" in _stored(guarded, pod)["spec"],
        "the injector is asked",
        timeout_s=60,
    )
    answer = guarded("inject", "-f", "-", "-o", "json", stdin=yaml.safe_dump(pod))
    assert answer.code == 0, answer.err
    printed = json.loads(answer.out)
    by_admission = _stored(guarded, pod)
    assert _stored(guarded, printed) == by_admission
    (sidecar,) = printed["spec"]["initContainers"]
    (stored,) = by_admission["spec"]["initContainers"]
    assert sidecar == stored


def test_a_refusal_is_told_as_admission_would_tell_it(guarded: Plugin) -> None:
    """Issue 6: helps people see what would happen."""
    namespace = _enrolled(guarded)
    text = _DEPLOYMENT.format(namespace=namespace).replace(
        "containers:", "hostNetwork: true\n      containers:"
    )
    answer = guarded("inject", "-f", "-", stdin=text)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("stdin:1: deployment/web: spec.template.spec.hostNetwork: ")


def test_a_viewer_sees_the_status_of_a_namespace(guarded: Plugin) -> None:
    """Issue 6: works with a viewer's rights; settings of injection are everybody's to read."""
    namespace = _enrolled(guarded)
    for role in ("view", "mesh7-viewer"):
        guarded.cluster.kubectl(
            "create", "rolebinding", role, f"--clusterrole={role}", "--user=vera", "-n", namespace
        )
    vera = guarded.cluster.kubeconfig("vera")
    answer = guarded("status", "-n", namespace, "--no-headers", kubeconfig=vera)
    assert answer.code == 0, answer.err
    assert answer.out.split() == [
        namespace, "enabled", "Cooperative", "0/0", "-", "0", "-", "0/0", "-", "-",
    ]  # fmt: skip
    assert answer.err == ""


def test_somebody_without_rights_is_told_who_may_not_what(guarded: Plugin) -> None:
    """Issue 6: forbidden: who, verb, what, which ClusterRole to bind; by `--as`, too."""
    namespace = _enrolled(guarded)
    text = _DEPLOYMENT.format(namespace=namespace)
    answer = guarded("inject", "-f", "-", "--as=mallory", stdin=text)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == (
        f"error: `mallory` may not get namespaces in namespace `{namespace}` – have an "
        f"administrator bind ClusterRole `view` (kubectl create rolebinding in `{namespace}`)\n"
    )


def test_a_check_sees_what_is_there_and_what_is_not(guarded: Plugin) -> None:
    """Issue 6: on a real API server: policies and webhooks are, programs are not."""
    answer = guarded("check", "-o", "json")
    assert answer.code == 1, answer.err
    found = {
        check["name"]: check["result"]
        for category in json.loads(answer.out)["categories"]
        for check in category["checks"]
    }
    assert found["programs"] == "fatal"
    there = (
        "api-server", "kubectl-version", "api-server-version", "admission-policies-served", "kinds",
        "settings", "trust-key", "webhooks", "webhook-authorities", "admission-policies",
        "stock-roles", "powerful-agents",
    )  # fmt: skip
    assert {name: found[name] for name in there} == dict.fromkeys(there, "ok")


def test_secrets_are_read_without_their_private_keys(
    plugin: Plugin, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As kubectl's own JSONPath prints them: one Secret, several, and none."""
    for name, keys in {"one": ("tls.crt", "ca.crt", "tls.key"), "two": ("tls.crt",)}.items():
        literals = [f"--from-literal={key}={name} {key}" for key in keys]
        plugin.cluster.kubectl("create", "secret", "generic", name, *literals, "-n", namespace)
    monkeypatch.setenv("PATH", str(plugin.cluster.program.parent))
    kubectl = Kubectl([f"--kubeconfig={plugin.cluster.admin}"])

    def read(*names: str) -> dict[str, dict[str, str]]:
        keys, where = ("tls.crt", "ca.crt"), f"--namespace={namespace}"
        found = looking.look(kubectl, looking.secret_keys(names, keys, "--ignore-not-found", where))
        return {
            one["metadata"]["name"]: {
                key: base64.b64decode(text).decode() for key, text in one["data"].items()
            }
            for one in json.loads(json.dumps(looking.items(found)))
        }

    one, two = {"tls.crt": "one tls.crt", "ca.crt": "one ca.crt"}, {"tls.crt": "two tls.crt"}
    assert read("one") == {"one": one}
    assert read("one", "two", "three") == {"one": one, "two": two}
    assert read("three", "one") == {"one": one}
    assert read("three") == {}


def test_an_empty_cluster_can_be_installed_to(plugin: Plugin) -> None:
    """Issue 6: `check --pre`, before anything of ours is there."""
    answer = plugin("check", "--pre")
    assert answer.code == 0, answer.out + answer.err
    assert "  ok     you may install mesh7\n" in answer.out


def test_somebody_without_rights_cannot_install(plugin: Plugin) -> None:
    """Issue 6: rights to install."""
    answer = plugin("check", "--pre", "--as", "mallory")
    assert answer.code == 1
    assert "  fatal  you may install mesh7\n" in answer.out


def test_a_server_that_is_not_there_is_told(plugin: Plugin) -> None:
    """Issue 6: not reachable."""
    answer = plugin("status", "--server=https://127.0.0.1:1")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("error: the API server does not answer: ")


def test_kubectl_completes_with_the_plugin(plugin: Plugin, namespace: str) -> None:
    """Issue 6: the real kubectl asks `kubectl_complete-mesh7`."""
    commands = plugin.kubectl("__complete", "mesh7", "")
    offered = [line.partition("\t")[0] for line in commands.out.splitlines()]
    assert offered == [*mesh7_plugin.COMMANDS, ":4"]
    found = plugin.kubectl("__complete", "mesh7", "status", "-n", namespace[:4])
    assert namespace in found.out.splitlines()
    forms = plugin.kubectl("__complete", "mesh7", "status", "--output", "")
    assert forms.out.splitlines() == ["table", "wide", "json", "yaml", "name", ":4"]
