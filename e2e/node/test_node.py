"""The level `node` itself: real pods, and nothing left of them."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.cluster import cgroups, endings, homes, node, processes
from e2e.cluster.clusters import Cluster
from e2e.cluster.kubectl import Kubectl, KubectlError
from e2e.cluster.node import NodeCluster
from e2e.cluster.waiting import until

_ROOT = Path(__file__).parents[2]
_IMAGE = "{image: localhost/pause:3, imagePullPolicy: Never, "
_GUARDED = f"""
apiVersion: v1
kind: Pod
metadata: {{name: guarded}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  initContainers:
  - {_IMAGE} name: sidecar, restartPolicy: Always,
     startupProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}},
     command: [busybox, sh, -c, "while true; do echo hello | busybox nc -l -p 8080; done"]}}
  containers:
  - {_IMAGE} name: agent, command: [busybox, nc, 127.0.0.1, "8080"]}}
"""
_SERVED = f"""
apiVersion: v1
kind: Pod
metadata: {{name: server, labels: {{app: server}}}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {_IMAGE} name: server,
     command: [busybox, sh, -c, "while true; do echo hello | busybox nc -l -p 8080; done"]}}
---
apiVersion: v1
kind: Service
metadata: {{name: server}}
spec: {{selector: {{app: server}}, ports: [{{port: 80, targetPort: 8080}}]}}
"""


def test_a_pod_with_a_native_sidecar_runs_and_ends(cluster: Cluster, namespace: str) -> None:
    """The agent finds its sidecar listening, and the sidecar does not keep the pod alive."""
    cluster.apply(_GUARDED, namespace)
    cluster.kubectl.wait("jsonpath={.status.phase}=Succeeded", "pod/guarded", f"-n={namespace}")
    assert cluster.kubectl("logs", "guarded", "-c", "agent", "-n", namespace) == "hello\n"


def test_a_service_is_reached_from_pods_and_from_the_host(cluster: Cluster, namespace: str) -> None:
    """So tests speak with what runs in pods, and the API server with webhooks in pods."""
    kubectl = cluster.kubectl
    cluster.apply(_SERVED, namespace)
    kubectl.wait("condition=Ready", "pod/server", f"-n={namespace}")
    [address] = kubectl(
        "get", "service", "server", "-n", namespace, "-o", "jsonpath={.spec.clusterIP}"
    ).split()
    asking = ["busybox", "nc", "-w", "3", address, "80"]
    until(lambda: _answer(asking) == "hello\n", "the host reaches the service", timeout_s=30)
    inside = kubectl("exec", "server", "-n", namespace, "--", *asking)
    assert inside == "hello\n"


def test_pods_find_services_by_name(cluster: Cluster, namespace: str) -> None:
    """As sidecars find Redis and the operator; names of the outside world do not exist."""
    kubectl = cluster.kubectl
    cluster.apply(_SERVED, namespace)
    kubectl.wait("condition=Ready", "pod/server", f"-n={namespace}")
    inside = ["exec", "server", "-n", namespace, "--", "busybox"]
    asking = [*inside, "nc", "-w", "3", f"server.{namespace}.svc", "80"]
    until(lambda: _said(kubectl, asking) == "hello\n", "the name leads there", timeout_s=30)
    with pytest.raises(KubectlError, match="bad address"):
        kubectl(*inside, "wget", "-q", "http://mesh7.example/")


def _said(kubectl: Kubectl, arguments: list[str]) -> str:
    """Empty while it fails."""
    with contextlib.suppress(KubectlError):
        return kubectl(*arguments)
    return ""


def test_a_pod_whose_image_is_not_there_says_so(cluster: Cluster, namespace: str) -> None:
    """Nothing is pulled from anywhere: a test is told what it forgot to load."""
    cluster.kubectl("run", "lost", "--image=localhost/lost:1", "-n", namespace)
    with pytest.raises(KubectlError, match="timed out"):
        cluster.kubectl.wait("condition=Ready", "pod/lost", f"-n={namespace}", timeout_s=3)


def test_nothing_is_left_of_a_node_and_its_pods(node_cluster: NodeCluster) -> None:
    """Processes, groups, links, mounts, files outside its folder; and no kernel setting changed."""
    before = _machine()
    with node.raised("test-node") as raised:
        assert raised.room.plan != node_cluster.room.plan
        raised.cluster.apply(_SERVED)
        raised.cluster.kubectl.wait("condition=Ready", "pod/server")
        assert _machine() == before
        link = raised.room.plan.link
    assert _machine() == before
    assert cgroups.members("mesh7-test-node") == set()
    assert not Path("/sys/class/net", link).exists()
    assert not homes.home_of("test-node").exists()
    assert list(Path("/sys/fs/cgroup").glob("**/mesh7-test-node")) == []


_OWNER = """
import os, signal
from e2e.cluster import node
with node.raised("test-node-orphan") as raised:
    raised.cluster.apply(os.environ["PODS"])
    raised.cluster.kubectl.wait("condition=Ready", "pod/server")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.usefixtures("own_root")
def test_the_next_one_ends_what_a_killed_owner_left() -> None:
    """The daemons, the pods and the processes between them."""
    owner = [sys.executable, "-c", _OWNER]
    subprocess.run(owner, cwd=_ROOT, env={**os.environ, "PODS": _SERVED}, check=False)
    home = homes.home_of("test-node-orphan")
    left = processes.recorded(home)
    assert [process.name for process in left if not processes.is_alive(process)] == []
    assert cgroups.members("mesh7-test-node-orphan") - {process.pid for process in left} != set()
    endings.sweep()
    assert [process.name for process in left if processes.is_alive(process)] == []
    assert cgroups.members("mesh7-test-node-orphan") == set()
    assert not home.exists()


def _answer(argv: list[str]) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60).stdout


def _machine() -> dict[str, object]:
    """What a node could leave on the host, or change there."""
    folders = ("/etc", "/opt", "/run", "/run/netns", "/var/lib", "/var/log", "/var/log/pods")
    settings = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops")
    return {
        "mounts": Path("/proc/self/mounts").read_text(),
        **{folder: _listed(Path(folder)) for folder in folders},
        **{key: Path("/proc/sys", key).read_text() for key in settings},
    }


def _listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
