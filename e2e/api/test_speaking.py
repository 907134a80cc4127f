"""What is done without kubectl is done, and said, as kubectl does and says it."""

import json
import subprocess
from collections.abc import Sequence
from typing import Any

import pytest
import yaml

from e2e.api import controllers
from e2e.cluster import making, reading
from e2e.cluster.clusters import Cluster
from e2e.cluster.kubectl import KubectlError
from e2e.cluster.speaking import NotSpokenError

DRY = ("create", "--dry-run=server", "-f", "-")
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "wool"}}
POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "dolly"}}
ROLE = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"}}
FULL = {"containers": [{"name": "a", "image": "none"}]}


def kubectl(cluster: Cluster, arguments: Sequence[str], stdin: str = "") -> str:
    """Kubectl itself: its stdout, or its stderr when it fails."""
    done = subprocess.run(
        [cluster.program, f"--kubeconfig={cluster.admin}", *arguments],
        input=stdin, env={"HOME": str(cluster.folder)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout if done.returncode == 0 else done.stderr


def said(cluster: Cluster, arguments: Sequence[str], stdin: str) -> str:
    """The same without it."""
    try:
        return making.make(cluster.admin, arguments, stdin)
    except making.RefusedError as error:
        return str(error)


@pytest.mark.parametrize(
    "document",
    [
        CONFIG,
        CONFIG | {"metadata": {"name": "No_Name"}},
        CONFIG | {"foo": 1},
        POD | {"spec": {"containers": []}},
        POD | {"spec": FULL},
        POD | {"spec": {**FULL, "restartPolicy": "x", "dnsPolicy": "y"}},
        POD | {"metadata": {"name": "dolly", "namespace": "nowhere"}, "spec": FULL},
        ROLE | {"rules": []},
    ],
)
def test_what_is_made_and_what_is_refused(cluster: Cluster, document: dict[str, Any]) -> None:
    text = json.dumps(document)
    assert said(cluster, DRY, text) == kubectl(cluster, DRY, text)


def test_what_is_applied_is_applied_over_by_kubectl(cluster: Cluster, namespace: str) -> None:
    apply = ("apply", "-f", "-", "-n", namespace)
    before, after = (json.dumps(CONFIG | {"data": data}) for data in ({"a": "1"}, {"b": "2"}))
    assert said(cluster, apply, before) == "configmap/wool created\n"
    with pytest.raises(NotSpokenError):
        making.make(cluster.admin, apply, after)
    assert kubectl(cluster, apply, after) == "configmap/wool configured\n"
    found = cluster.kubectl.json("get", "configmap", "wool", "-n", namespace)
    assert found["data"] == {"b": "2"}


@pytest.mark.parametrize(
    "what",
    [
        ("namespace", "default"),
        ("namespaces",),
        ("clusterrole/view",),
        ("clusterrole", "-l", "kubernetes.io/bootstrapping=rbac-defaults"),
        ("crd",),
        ("cm", "-n", "kube-system"),
        ("roles.rbac.authorization.k8s.io", "-A"),
    ],
)
def test_what_is_read(cluster: Cluster, what: tuple[str, ...]) -> None:
    # Other tests write meanwhile what they left behind.
    found = reading.read(cluster.admin, what)
    shown = json.loads(kubectl(cluster, ("get", *what, "-o", "json")))
    assert found.keys() == shown.keys()
    assert (found["apiVersion"], found["kind"]) == (shown["apiVersion"], shown["kind"])
    one, other = found.get("items", [found])[:1], shown.get("items", [shown])[:1]
    assert [each.keys() for each in one] == [each.keys() for each in other]


def test_what_is_not_there(cluster: Cluster) -> None:
    what = ("get", "configmap", "nothing")
    with pytest.raises(KubectlError) as error:
        cluster.kubectl.json(*what)
    assert error.value.stderr == kubectl(cluster, what)


def test_ours_is_applied_over_as_kubectl_would(cluster: Cluster, namespace: str) -> None:
    controllers.install(cluster)
    apply = ("apply", "-f", "-", "-n", namespace)
    policy = yaml.safe_load(controllers.policy(namespace, "one"))
    policy["metadata"]["labels"] = {"old": "1"}
    assert "created" in said(cluster, apply, json.dumps(policy))
    assert "unchanged" in kubectl(cluster, apply, json.dumps(policy))
    policy["metadata"]["labels"] = {"new": "1"}
    policy["spec"]["defaultAction"] = "Deny"
    policy["spec"]["rules"][0] = {"name": "other", "tools": ["b.*"], "action": "Deny"}
    text = json.dumps(policy)
    assert said(cluster, apply, text) == "agentpolicy.mesh7.dev/one configured\n"
    assert kubectl(cluster, apply, text) == "agentpolicy.mesh7.dev/one unchanged\n"
    found = cluster.kubectl.json("get", "agentpolicy", "one", "-n", namespace)
    assert found["metadata"]["labels"] == {"new": "1"}
    assert found["spec"]["rules"] == policy["spec"]["rules"]
