"""What `kubectl mesh7` explains, accepts, watches and checks on a real API server."""

import base64
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.api import approvals, plugins
from e2e.api.plugins import Plugin
from e2e.cluster.fixtures import need
from e2e.cluster.kubectl import Kubectl
from mesh7_core import names
from mesh7_core.delivery import envelopes, payloads
from mesh7_core.delivery.envelopes import Kind
from mesh7_core.delivery.keys import SigningKey
from tests.core.compiling import clustered
from tests.core.delivery import parts

Object = dict[str, Any]
_PATIENCE_S = 60
_DIGEST = f"sha256:{'b' * 64}"
_RULES = [
    {"name": "read", "tools": ["notes.read"], "action": "Allow"},
    {"name": "own", "tools": ["api.post"], "when": 'http.path == "/own"', "action": "Allow"},
]


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugin]:
    """On a cluster with the chart's admission and an injector; nobody controls it."""
    need("api")
    with plugins.guarded("reading", tmp_path_factory.mktemp("reading")) as found:
        yield found


@pytest.fixture
def controller(plugin: Plugin) -> Kubectl:
    """Its account: what it writes, these tests write."""
    user = f"system:serviceaccount:{names.RELEASE_NAMESPACE}:mesh7-controller"
    # Tests read on the way, which it has no right to.
    return plugin.cluster.kubectl_of(user, ["system:masters"])


@pytest.fixture
def namespace(plugin: Plugin, controller: Kubectl) -> str:
    """An enrolled one, with a guarded pod and a bundle that a key of this test signed."""
    ours = base64.b64encode(parts.FIRST.public).decode()
    # New pods are made with the injector's key; today's is another.
    kubectl = plugin.cluster.kubectl
    where = ("configmap", names.TRUST_CONFIG_MAP, "-n", names.RELEASE_NAMESPACE)
    injectors = kubectl.json("get", *where)["data"]["key"]
    trusted = {names.TRUST_KEYS_ANNOTATION: f"{ours} {injectors}"}
    name = plugin.cluster.new_namespace("read", {names.INJECTION_LABEL: "on-request"}, trusted)
    deliver(controller, name)
    pod = {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "support-0", "namespace": name, "labels": {"app": "support"},
            "annotations": {names.INJECT: "true"},
        },
        "spec": {"containers": [{"name": "agent", "image": "agent.example/agent"}]},
    }  # fmt: skip
    kubectl("create", "-f", "-", stdin=yaml.safe_dump(pod))
    return name


def deliver(controller: Kubectl, namespace: str, signer: SigningKey = parts.FIRST) -> None:
    """What a controller would have written."""
    written_by_people = (
        ("AgentPolicy", "support", {"selector": {}, "rules": _RULES}),
        ("ToolSource", "notes", {"mcp": {"url": "http://n.x.svc/mcp"}}),
        ("ToolSource", "api", {"http": {"url": "http://a.x.svc"}}),
    )
    documents = tuple(
        clustered.an_object(kind, name, spec, namespace) for kind, name, spec in written_by_people
    )
    bundle = payloads.BundleContent(namespace=namespace, labels={}, documents=documents)
    overlay = payloads.OverlayContent(namespace=namespace, documents=())
    written = {
        Kind.BUNDLE: payloads.write_bundle(bundle), Kind.OVERLAY: payloads.write_overlay(overlay),
    }  # fmt: skip
    sealed = {
        kind.value: base64.b64encode(
            envelopes.seal(kind, namespace, 1763712000000, payload, signer, ())
        ).decode()
        for kind, payload in written.items()
    }
    config_map = {
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": names.BUNDLE_CONFIG_MAP, "namespace": namespace},
        "binaryData": sealed,
    }  # fmt: skip
    controller(
        "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump(config_map)
    )


@pytest.mark.parametrize(
    ("words", "decision"),
    [
        (("notes.read",), "Allow"),
        (("notes.write", '{"text": "x"}'), "Deny"),
        (("api", "--http", "POST /own"), "Allow"),
        (("api", "--http", "POST /other"), "Deny"),
    ],
)
def test_a_pods_call_is_explained(
    plugin: Plugin, namespace: str, words: tuple[str, ...], decision: str
) -> None:
    """Issue 7: by the bundle that the pod really has."""
    answer = plugin("explain", "support-0", *words, "-n", namespace, "-o", "json")
    assert answer.code == 0, answer.err
    told = json.loads(answer.out)
    assert (told["agent"], told["decision"]) == (f"{namespace}/default", decision)
    # No kubelet runs here: nobody can ask the pod, and no status counts it.
    assert told["obeyed"] is None


def test_a_viewer_explains_and_whoever_signs_elsewhere_is_not_believed(
    plugin: Plugin, controller: Kubectl, namespace: str
) -> None:
    """Roles `view` and `mesh7-viewer` are enough; a ConfigMap is nobody's word."""
    for role in ("view", "mesh7-viewer"):
        approvals.bind(plugin.cluster, namespace, role, "User", "vera")
    vera = ("--as=vera", "--as-group=system:authenticated", "-n", namespace)
    answer = plugin("explain", "support-0", "notes.read", *vera)
    assert answer.code == 0, answer.err
    # The injector's key of this test never led to the one that signed.
    assert "by the key that the pod was made with it is not believed" in answer.err
    deliver(controller, namespace, parts.STRANGER)
    answer = plugin("explain", "support-0", "notes.read", "-n", namespace)
    assert answer.code == 1
    assert "is not what the controller signed" in answer.err


def test_a_definition_is_accepted_by_whoever_has_the_verb(
    plugin: Plugin, controller: Kubectl, namespace: str
) -> None:
    """Verb `accept`, asked by admission policy mesh7-accepted; and the source is as it was read."""
    source = {
        "apiVersion": names.API_VERSION, "kind": "ToolSource",
        "metadata": {"name": "notes", "namespace": namespace},
        "spec": {"mcp": {"url": "https://notes.example.com/mcp"}, "pinning": {"mode": "Enforce"}},
    }  # fmt: skip
    plugin.cluster.kubectl("create", "-f", "-", stdin=yaml.safe_dump(source))
    status = {"toolCount": 1, "tools": [{"name": "read", "digest": _DIGEST, "drift": "Added"}]}
    controller(
        "patch", "toolsource", "notes", "-n", namespace, "--subresource=status", "--type=merge",
        "-p", json.dumps({"status": status}),
    )  # fmt: skip
    listed = plugin("tools", "-n", namespace).out
    assert f"notes.read  new         (hidden) {_DIGEST}" in listed
    editor = person(plugin, namespace, "erin", "mesh7-policy-editor")
    for words in (("--dry-run=server",), ()):
        refused = plugin(
            "tools", "accept", "notes.read", "-n", namespace, *words, kubeconfig=editor
        )
        assert refused.code == 1
        assert "needs the verb `accept`" in refused.err
    admin = person(plugin, namespace, "adam", "mesh7-admin")
    done = plugin("tools", "accept", "notes.read", "-n", namespace, kubeconfig=admin)
    assert (done.code, done.err) == (0, "")
    stored = plugin.cluster.kubectl.json("get", "toolsource", "notes", "-n", namespace)
    assert stored["spec"]["pinning"] == {
        "mode": "Enforce", "accepted": [{"tool": "read", "digest": _DIGEST}],
    }  # fmt: skip
    assert "accepted" in plugin("tools", "-n", namespace).out


@pytest.mark.promise("A11")
def test_changes_come_while_they_are_watched(
    plugin: Plugin, controller: Kubectl, namespace: str
) -> None:
    """`watch -A` off a terminal: a line for each change, and no kubectl is left behind."""
    first, second = "r-first", "r-second"
    hold(controller, namespace, first)
    process = subprocess.Popen(
        [str(plugin.cluster.program), "mesh7", "watch", "-A", "-o", "json"],
        env=plugin.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        lines = Lines(process)
        lines.until(f"{namespace}/{first}", "pending")
        hold(controller, namespace, second)
        lines.until(f"{namespace}/{second}", "pending")
        controller(
            "patch", "approvalrequest", first, "-n", namespace, "--subresource=status",
            "--type=merge", "-p", json.dumps({"status": {"state": "Denied"}}),
        )  # fmt: skip
        lines.until(f"{namespace}/{first}", "denied")
        process.send_signal(signal.SIGTERM)
        assert process.wait(_PATIENCE_S) == 130
    finally:
        process.kill()
        process.communicate()


def hold(controller: Kubectl, namespace: str, name: str) -> None:
    """A call waits."""
    request = approvals.request_of(namespace, name)
    controller("create", "-f", "-", stdin=yaml.safe_dump(request))


def person(plugin: Plugin, namespace: str, user: str, role: str) -> Path | None:
    """The kubeconfig of somebody to whom a ClusterRole is bound there."""
    approvals.bind(plugin.cluster, namespace, role, "User", user)
    return plugin.cluster.kubectl_of(user, ["system:authenticated"]).kubeconfig


class Lines:
    """What a program prints, an object a line."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def until(self, identifier: str, state: str) -> None:
        """Read on until a request is in a state."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            if (told["id"], told["state"]) == (identifier, state):
                return
        pytest.fail(f"{identifier} was never {state}")


def test_a_check_tells_the_time_and_who_has_both_rights(plugin: Plugin, namespace: str) -> None:
    """Issue 7: clock skew; who holds both `approve` and `create pods`."""
    for role in ("mesh7-approver", "edit"):
        approvals.bind(plugin.cluster, namespace, role, "Group", "everything")
    answer = plugin("check", "-o", "json")
    found = {
        one["name"]: one
        for category in json.loads(answer.out)["categories"]
        for one in category["checks"]
    }
    assert (found["clocks"]["result"], found["clocks"]["message"]) == ("ok", "")
    assert found["our-roles"]["result"] == "ok"
    both = found["approvers-who-make-pods"]
    assert (both["result"], both["details"]) == ("warn", [f"Group everything: {namespace}"])
