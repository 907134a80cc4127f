"""The level `node`: an API server with a scheduler and one node that runs real pods.

The API server stands on the host, where tests reach it like any other; the node stands in
namespaces of its own (`rooms`), one link away. Needs root and what `e2e/cluster/prepare` installs.
"""

import contextlib
import http.client
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from e2e.cluster import api_server as api_servers
from e2e.cluster import binaries, endings, homes, images, keys, node_settings, processes, rooms
from e2e.cluster.api_server import ApiServer, Settings
from e2e.cluster.clusters import Cluster
from e2e.cluster.rooms import Plan, Room
from e2e.cluster.waiting import ClusterError

NAME = "node1"
_READY_S = 90.0
_LOAD_S = 100.0  # of the largest image, on a busy machine
_ANSWER_S = 20.0
_BUSYBOX = "/bin/busybox"
_PROGRAMS = ("busybox", "conntrack", "containerd", "ctr", "ip", "iptables", "nsenter", "runc")


def missing() -> list[str]:
    """What this machine lacks for a node, in words; empty when nothing."""
    found = [program for program in _PROGRAMS if shutil.which(program) is None]
    if not Path(node_settings.CNI_PROGRAMS, "ptp").exists():
        found.append(f"{node_settings.CNI_PROGRAMS}/ptp")
    return [*found, *([] if os.geteuid() == 0 else ["being root"])]


class NodeCluster:
    """A cluster with one node.

    Attributes:
        api_server: see `api_server.ApiServer`.
        cluster: it as its users see it.
        room: the node's namespaces; `room.run(program, …)` sees the pods' network.
    """

    def __init__(self, home: Path) -> None:
        """Take up the running cluster of this folder."""
        self._home = home
        self.api_server = ApiServer(home)
        self.room = Room(home)

    @property
    def cluster(self) -> Cluster:
        # Its stories are told with kubectl, as people tell them.
        return replace(self.api_server.cluster, is_spared=False)

    def load(self, archive: Path) -> str:
        """Bring a docker-archive to the node, for pods with `imagePullPolicy: Never`.

        Returns:
            What was imported, in ctr's words.
        """
        return self._ctr("images", "import", str(archive), patience_s=_LOAD_S)

    def start(self) -> None:
        """Start scheduler and node, and wait until the node is ready.

        Raises:
            ClusterError: a component died, or the node is not ready in time; with their last lines.
        """
        folder = binaries.folder()
        home = self._home
        self._start_on_host("kube-scheduler", f"--kubeconfig={home / 'scheduler.yaml'}")
        self.room.start("containerd", _found("containerd"), f"--config={home / 'containerd.toml'}")
        self._wait(self._is_containerd_ready, "containerd answers")
        archive = home / "pause.tar"
        busybox = {"/bin/busybox": Path(_BUSYBOX).read_bytes()}
        images.write_archive(
            archive, node_settings.PAUSE, busybox, ["/bin/busybox", "sleep", "2147483647"]
        )
        self.load(archive)
        self._start_kubelet()
        self.room.start("coredns", str(folder / "coredns"), f"-conf={home / 'Corefile'}")
        proxy = [f"--config={home / 'proxy-config.yaml'}", f"--hostname-override={NAME}"]
        self.room.start("kube-proxy", str(folder / "kube-proxy"), *proxy)
        self._wait(self._is_node_ready, f"the node {NAME} is ready")
        self._wait(self._is_dns_ready, "the name server knows the cluster")

    def _start_kubelet(self) -> None:
        self.room.start(
            "kubelet",
            str(binaries.folder() / "kubelet"),
            f"--config={self._home / 'kubelet-config.yaml'}",
            f"--kubeconfig={self._home / 'kubelet.yaml'}",
            f"--root-dir={self._home / 'kubelet'}",
            f"--hostname-override={NAME}",
            f"--node-ip={self.room.plan.node}",
        )

    def _start_on_host(self, name: str, *flags: str) -> None:
        common = ["--leader-elect=false", "--secure-port=0"]
        program = str(binaries.folder() / name)
        processes.start(self._home, name, [program, *flags, *common])

    def _wait(self, claim: Callable[[], bool], what: str) -> None:
        processes.wait(self._home, claim, what, timeout_s=_READY_S)

    def _is_containerd_ready(self) -> bool:
        with contextlib.suppress(ClusterError):
            return bool(self._ctr("version"))
        return False

    def _is_node_ready(self) -> bool:
        nodes = self.cluster.kubectl.json("get", "nodes")["items"]
        conditions = [one for node in nodes for one in node["status"].get("conditions", [])]
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    def _is_dns_ready(self) -> bool:
        asking = http.client.HTTPConnection(self.room.plan.dns, node_settings.READY_PORT, timeout=2)
        with contextlib.closing(asking):
            try:
                asking.request("GET", "/ready")
                return asking.getresponse().status == http.client.OK
            except (OSError, http.client.HTTPException):
                return False

    def _ctr(self, *arguments: str, patience_s: float = _ANSWER_S) -> str:
        address = f"--address={self._home / 'containerd.sock'}"
        return self.room.run(
            _found("ctr"), address, "--namespace=k8s.io", *arguments, patience_s=patience_s
        )


def raise_in(home: Path) -> NodeCluster:
    """Raise a cluster with a node in a new folder.

    Raises:
        ClusterError: it does not start; what did is ended by `endings.end`.
    """
    room = rooms.make(home, f"mesh7-{home.name}")
    more = node_settings.api_server_flags(home)
    plan = room.plan
    wanted = Settings(address=plan.host, service_range=plan.services, more=more)
    api_servers.prepare(home, wanted)
    _prepare(home, plan)
    raised_one = NodeCluster(home)
    raised_one.api_server.start()
    raised_one.start()
    return raised_one


@contextlib.contextmanager
def raised(name: str) -> Iterator[NodeCluster]:
    """A cluster with a node that runs while the block does.

    Raises:
        ClusterError: it does not start.
    """
    endings.sweep()
    home = homes.make(name, is_owned=True)
    try:
        yield raise_in(home)
    finally:
        endings.end(home)


def _prepare(home: Path, plan: Plan) -> None:
    """Certificates and configurations of scheduler and node."""
    server = ApiServer(home).cluster.doorkeeper
    for name, user, groups in (
        ("scheduler", "system:kube-scheduler", []),
        ("proxy", "system:kube-proxy", []),
        ("dns", "mesh7:dns", ["system:masters"]),
        ("kubelet", f"system:node:{NAME}", ["system:nodes"]),
    ):
        (home / f"{name}.yaml").write_text(server.kubeconfig(user, groups))
    api_servers.write_pair(
        home, "kubelet", keys.server(api_servers.read_pair(home, "ca"), [NAME, plan.node])
    )
    for name, text in (
        ("containerd.toml", node_settings.containerd(home, snapshotter=_snapshotter(home))),
        ("cni/10-mesh7.conflist", node_settings.network(home, plan)),
        ("kubelet-config.yaml", node_settings.kubelet(home, plan, f"mesh7-{home.name}")),
        ("proxy-config.yaml", node_settings.proxy(home, plan)),
        ("Corefile", node_settings.names(home, plan)),
        ("resolv.conf", ""),
    ):
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text(text)


def _snapshotter(home: Path) -> str:
    """Overlayfs does not lie on overlayfs: in a container, images are copied instead."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    under = [mount for mount in mounts if home.is_relative_to(mount[1])]
    nearest = max(under, key=lambda mount: len(mount[1]))
    return "native" if nearest[2] == "overlay" else "overlayfs"


def _found(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise ClusterError(f"{program} is missing; install it by: e2e/cluster/prepare")
    return path
