"""The test cluster itself: a real API server, with everything that mesh7 asks of one."""

import base64
import errno
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster import api_server as api_servers
from e2e.cluster import clusters, endings, homes, processes
from e2e.cluster.api_server import ApiServer, Settings
from e2e.cluster.clusters import Cluster
from e2e.cluster.fixtures import RaiseCluster
from e2e.cluster.kubectl import Kubectl, KubectlError
from e2e.cluster.waiting import ClusterError, until

_SHEEP = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: sheep.farm.example}
spec:
  group: farm.example
  names: {plural: sheep, singular: sheep, kind: Sheep}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [legs]
            properties: {legs: {type: integer}}
            x-kubernetes-validations:
            - {rule: "self.legs == 4", message: a sheep has four legs}
"""
_DOLLY = """
apiVersion: farm.example/v1
kind: Sheep
metadata: {{name: dolly}}
spec: {{legs: {legs}}}
"""
_SHEARING = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: shearing}
spec:
  matchConstraints:
    resourceRules:
    - {apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}
  matchConditions:
  - {name: wool, expression: "object.metadata.name == 'wool'"}
  validations:
  - expression: >-
      authorizer.group('farm.example').resource('sheep').namespace(request.namespace)
      .check('shear').allowed()
    message: only who may shear gets wool
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: shearing}
spec: {policyName: shearing, validationActions: [Deny]}
"""


def _is_refused(kubectl: Kubectl, *arguments: str) -> bool:
    """Whether the admission policy, and nothing else, says no."""
    try:
        kubectl(*arguments)
    except KubectlError as error:
        if "only who may shear gets wool" in error.stderr:
            return True
        raise
    return False


def _gone(cluster: Cluster, *what: str) -> None:
    cluster.kubectl("delete", *what, "--ignore-not-found")


def test_a_custom_resource_is_held_to_its_cel_rules(cluster: Cluster, namespace: str) -> None:
    """Issue 5: structural schemas and CEL rules are judged by the real thing."""
    try:
        cluster.apply(_SHEEP)
        cluster.kubectl.wait("condition=Established", "crd/sheep.farm.example")
        with pytest.raises(KubectlError, match="a sheep has four legs"):
            cluster.apply(_DOLLY.format(legs=3), namespace)
        assert "created" in cluster.apply(_DOLLY.format(legs=4), namespace)
    finally:
        _gone(cluster, "crd", "sheep.farm.example")


def test_an_admission_policy_asks_for_a_verb_of_our_own(cluster: Cluster, namespace: str) -> None:
    """Issue 5: `accept`, `grant` and the like are verbs that only RBAC and our policies know."""
    may = ["create", "clusterrole", "m7-shearer", "--verb=shear", "--resource=sheep.farm.example"]
    jane = cluster.kubectl_of("jane", ["farmers"])
    wool = ["create", "configmap", "wool", "-n", namespace, "--dry-run=server"]
    try:
        cluster.apply(_SHEEP)
        cluster.kubectl.wait("condition=Established", "crd/sheep.farm.example")
        cluster.apply(_SHEARING)
        cluster.kubectl(*may)
        bound = ["create", "rolebinding", "-n", namespace]
        cluster.kubectl(*bound, "writers", "--clusterrole=edit", "--group=farmers")
        until(lambda: _is_refused(jane, *wool), "the policy is in force", timeout_s=60)
        cluster.kubectl(*bound, "shearers", "--clusterrole=m7-shearer", "--user=jane")
        until(lambda: not _is_refused(jane, *wool), "jane may shear", timeout_s=60)
    finally:
        _gone(cluster, "validatingadmissionpolicybinding/shearing")
        _gone(cluster, "validatingadmissionpolicy/shearing", "clusterrole/m7-shearer")
        _gone(cluster, "crd/sheep.farm.example")


def test_rbac_refuses_whom_nobody_bound(cluster: Cluster, namespace: str) -> None:
    mallory = cluster.kubectl_of("mallory")
    with pytest.raises(KubectlError, match='User "mallory" cannot list resource "secrets"'):
        mallory("get", "secrets", "-n", namespace)


def test_a_token_names_its_audience_account_and_pod(cluster: Cluster, namespace: str) -> None:
    """Design 8: `exchange` asks TokenReview about tokens that are bound to a pod."""
    cluster.kubectl("run", "dolly", "--image=none", "-n", namespace)
    token = cluster.token(namespace, "default", "mesh7-exchange", pod="dolly")
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": ["mesh7-exchange"]},
    }
    status = cluster.kubectl.json("create", "-f", "-", stdin=json.dumps(review))["status"]
    assert status["authenticated"] is True
    assert status["user"]["username"] == f"system:serviceaccount:{namespace}:default"
    assert status["user"]["extra"]["authentication.kubernetes.io/pod-name"] == ["dolly"]
    keys = json.loads(cluster.kubectl("get", "--raw", "/openid/v1/jwks"))["keys"]
    header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    assert header["kid"] in {key["kid"] for key in keys}


def test_a_deleted_namespace_is_really_gone(cluster: Cluster, namespace: str) -> None:
    """The controller-manager takes its five seconds, and then there is nothing."""
    cluster.kubectl("create", "configmap", "wool", "-n", namespace)
    cluster.kubectl("delete", "namespace", namespace, "--timeout=60s")
    with pytest.raises(KubectlError, match="NotFound"):
        cluster.kubectl("get", "namespace", namespace)


def test_clusters_stand_side_by_side(cluster: Cluster, raise_cluster: RaiseCluster) -> None:
    other = raise_cluster(Settings(has_controllers=False)).cluster
    other.kubectl("create", "namespace", "only-there")
    with pytest.raises(KubectlError, match="NotFound"):
        cluster.kubectl("get", "namespace", "only-there")


def test_a_restart_keeps_address_and_objects(api_server: ApiServer) -> None:
    """Issue 5: the API server is restarted under the controller, gently or not."""
    api_server.cluster.kubectl("create", "namespace", "lasting")
    api_server.restart()
    api_server.cluster.kubectl("get", "namespace", "lasting")
    api_server.kill()
    assert not api_server.is_ready()
    api_server.start()
    api_server.cluster.kubectl("get", "namespace", "lasting")


def test_any_other_cluster_serves_by_its_kubeconfig(
    session_api_server: ApiServer | None, tmp_path: Path
) -> None:
    """MESH7_KUBECONFIG: there is no CA's key, so the administrator acts as the others."""
    if session_api_server is None:
        pytest.skip("this session runs on one anyway")
    ours = session_api_server.cluster
    other = clusters.elsewhere(ours.admin, tmp_path, ours.program)
    assert (other.url, other.ca.read_text()) == (ours.url, ours.ca.read_text())
    with pytest.raises(KubectlError, match='User "mallory" cannot list resource "secrets"'):
        other.kubectl_of("mallory")("get", "secrets")
    other.kubectl_of("jane", ["system:masters"])("get", "secrets")


def test_the_audit_log_says_who_did_what(api_server: ApiServer) -> None:
    """Tests of least privilege read it."""
    api_server.cluster.kubectl_of("jane", ["system:masters"])("create", "namespace", "janes")
    [event] = [e for e in api_server.audit() if e["user"]["username"] == "jane" and _creates(e)]
    assert event["objectRef"] | {"name": "janes"} == event["objectRef"]


def _creates(event: dict[str, Any]) -> bool:
    return bool(event["verb"] == "create")


def test_a_component_that_dies_shows_its_last_words(raise_cluster: RaiseCluster) -> None:
    with pytest.raises(ClusterError, match=r"(?s)kube-apiserver – died.*unknown flag: --nonsense"):
        raise_cluster(Settings(more=("--nonsense",)))


@pytest.mark.usefixtures("own_root")
def test_nothing_is_left_of_a_cluster() -> None:
    """Processes, files, ports."""
    with api_servers.raised("test-leaves-nothing", Settings(has_controllers=False)) as server:
        home = homes.home_of("test-leaves-nothing")
        started = processes.recorded(home)
        port = int(server.cluster.url.rpartition(":")[2])
    assert [process.name for process in started] == ["etcd", "kube-apiserver"]
    assert [process.name for process in started if processes.is_alive(process)] == []
    assert not home.exists()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


_OWNER = """
import os, signal
from e2e.cluster import api_server
from e2e.cluster.api_server import Settings
with api_server.raised("test-orphan", Settings(has_controllers=False)):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.usefixtures("own_root")
def test_the_next_one_ends_what_a_killed_owner_left() -> None:
    """The owner has no chance to clean up; whoever raises a cluster next does it."""
    owner = [sys.executable, "-c", _OWNER]
    subprocess.run(owner, cwd=Path(__file__).parents[2], check=False)
    left = processes.recorded(homes.home_of("test-orphan"))
    assert [process.name for process in left if processes.is_alive(process)] == [
        "etcd",
        "kube-apiserver",
    ]
    endings.sweep()
    assert [process.name for process in left if processes.is_alive(process)] == []
    assert "test-orphan" not in homes.names()
