"""The level `api`: etcd, kube-apiserver and, unless not wanted, the controller-manager.

All three listen on loopback only, keep everything in one folder, and know nothing of each other's
neighbours: as many clusters as there is memory for run side by side (about 400 MB each).
"""

import contextlib
import http.client
import json
import shutil
import ssl
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from e2e.cluster import binaries, endings, homes, keys, ports, processes
from e2e.cluster.clusters import Cluster, Issuing

_READY_S = 60.0
_STOP_S = 3.0
_ANSWER_S = 5.0
_ISSUER = "https://kubernetes.default.svc.cluster.local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a cluster is to be.

    Attributes:
        has_controllers: run the controller-manager. Without it namespaces have no `default`
            service account and are never gone once deleted, and nothing collects garbage.
        address: where the API server listens.
        service_range: of the addresses of services.
        more: further flags of kube-apiserver.
    """

    has_controllers: bool = True
    address: str = "127.0.0.1"
    service_range: str = "10.96.0.0/16"
    more: tuple[str, ...] = ()


class ApiServer:
    """A cluster without nodes that can be stopped, killed and started again.

    Attributes:
        cluster: it as its users see it.
    """

    def __init__(self, home: Path) -> None:
        """Take up the cluster of this folder; `raised` and `prepare` make new ones."""
        self._home = home
        written = json.loads((home / "settings.json").read_text())
        self._port: int = written["port"]
        self._etcd_ports: list[int] = written["etcd_ports"]
        more = tuple(written["settings"].pop("more"))
        self._settings = Settings(more=more, **written["settings"])
        url = f"https://{self._settings.address}:{self._port}"
        self.cluster = Cluster(
            url=url,
            ca=home / "keys" / "ca.crt",
            admin=home / "admin.yaml",
            folder=home,
            program=binaries.folder() / "kubectl",
            doorkeeper=Issuing(url=url, authority=read_pair(home, "ca")),
        )

    def start(self) -> None:
        """Start what does not run, and wait until it is ready.

        Raises:
            ClusterError: a component died or is not ready in a minute; with its last log lines.
        """
        running = {process.name for process in self._alive()}
        if "etcd" not in running:
            self._start("etcd", self._etcd_flags())
        if "kube-apiserver" not in running:
            self._start("kube-apiserver", self._api_flags())
        self._wait("/readyz", "the API server is ready")
        if not self._settings.has_controllers:
            return
        if "kube-controller-manager" not in running:
            self._start("kube-controller-manager", self._controller_flags())
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        self._wait(account, "the controller-manager has made the first service account")

    def stop(self) -> None:
        """Ask the API server to end, and kill it after three seconds; the others stay.

        It would wait a minute for its watchers, of whom the controllers are always some.
        """
        for process in self._named("kube-apiserver"):
            processes.stop(self._home, process, patience_s=_STOP_S)

    def kill(self) -> None:
        """End the API server by SIGKILL; etcd and the controllers stay."""
        for process in self._named("kube-apiserver"):
            processes.kill(self._home, process)

    def restart(self) -> None:
        """Stop and start the API server: same port, same keys, same objects."""
        self.stop()
        self.start()

    def save(self, folder: Path) -> None:
        """Copy etcd's data into a folder that does not exist yet; all goes on afterwards."""
        self._end_all()
        shutil.copytree(self._home / "etcd", folder)
        self.start()

    def restore(self, folder: Path) -> None:
        """Put back what `save` has copied, as after a disaster: versions count from there on."""
        self._end_all()
        shutil.rmtree(self._home / "etcd")
        shutil.copytree(folder, self._home / "etcd")
        self.start()

    def remove(self) -> None:
        """End everything and leave nothing behind."""
        endings.end(self._home)

    def audit(self) -> list[dict[str, Any]]:
        """The audit log so far, oldest first: who did what, without bodies.

        An event is there before its answer. Reads of system components are left out.
        """
        log = self._home / "audit.jsonl"
        lines = log.read_text().splitlines() if log.exists() else []
        return [json.loads(line) for line in lines]

    def last_lines(self) -> str:
        """The end of each component's log, for people."""
        return processes.all_last_lines(self._home)

    def is_ready(self) -> bool:
        """Whether the API server says so."""
        return self._answers("/readyz")

    def _start(self, name: str, flags: list[str]) -> None:
        processes.start(self._home, name, [str(binaries.folder() / name), *flags])

    def _end_all(self) -> None:
        for process in reversed(processes.recorded(self._home)):
            processes.kill(self._home, process)

    def _named(self, name: str) -> list[processes.Process]:
        return [process for process in processes.recorded(self._home) if process.name == name]

    def _alive(self) -> list[processes.Process]:
        return [p for p in processes.recorded(self._home) if processes.is_alive(p)]

    def _wait(self, path: str, what: str) -> None:
        processes.wait(self._home, lambda: self._answers(path), what, timeout_s=_READY_S)

    def _answers(self, path: str) -> bool:
        context = ssl.create_default_context(cafile=str(self.cluster.ca))
        admin = self._home / "keys" / "admin"
        context.load_cert_chain(admin.with_suffix(".crt"), admin.with_suffix(".key"))
        host = urlsplit(self.cluster.url).netloc
        asking = http.client.HTTPSConnection(host, timeout=_ANSWER_S, context=context)
        with contextlib.closing(asking):
            try:
                asking.request("GET", path)
                return asking.getresponse().status == http.client.OK
            except (OSError, http.client.HTTPException):
                return False

    def _etcd_flags(self) -> list[str]:
        client, peer = (f"http://127.0.0.1:{port}" for port in self._etcd_ports)
        return [
            f"--data-dir={self._home / 'etcd'}",
            "--unsafe-no-fsync",  # a test's data need not outlive a power cut
            "--log-level=warn",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
        ]

    def _api_flags(self) -> list[str]:
        folder = self._home / "keys"
        return [
            f"--etcd-servers=http://127.0.0.1:{self._etcd_ports[0]}",
            f"--bind-address={self._settings.address}",
            f"--advertise-address={self._settings.address}",
            f"--secure-port={self._port}",
            *(["--endpoint-reconciler-type=none"] if self._is_loopback() else []),
            f"--service-cluster-ip-range={self._settings.service_range}",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged",
            f"--client-ca-file={folder / 'ca.crt'}",
            f"--tls-cert-file={folder / 'api.crt'}",
            f"--tls-private-key-file={folder / 'api.key'}",
            f"--service-account-issuer={_ISSUER}",
            f"--service-account-jwks-uri={self.cluster.url}/openid/v1/jwks",
            f"--service-account-key-file={folder / 'accounts.crt'}",
            f"--service-account-signing-key-file={folder / 'accounts.key'}",
            f"--audit-policy-file={self._home / 'audit.yaml'}",
            f"--audit-log-path={self._home / 'audit.jsonl'}",
            *self._settings.more,
        ]

    def _is_loopback(self) -> bool:
        # The endpoints of the service `kubernetes` may not be loopback addresses.
        return self._settings.address.startswith("127.")

    def _controller_flags(self) -> list[str]:
        folder = self._home / "keys"
        return [
            f"--kubeconfig={self._home / 'controllers.yaml'}",
            "--leader-elect=false",
            "--secure-port=0",  # nobody asks it, and its port is the same for all
            "--use-service-account-credentials",
            "--kube-api-qps=500",  # by default it waits three seconds for itself when it starts
            "--kube-api-burst=1000",
            f"--service-account-private-key-file={folder / 'accounts.key'}",
            f"--root-ca-file={folder / 'ca.crt'}",
            f"--cluster-signing-cert-file={folder / 'ca.crt'}",
            f"--cluster-signing-key-file={folder / 'ca.key'}",
        ]


def prepare(home: Path, settings: Settings) -> None:
    """Write everything that a new cluster needs into its folder; nothing runs yet."""
    port = ports.free(settings.address)
    written = {
        "port": port,
        "etcd_ports": [ports.free(), ports.free()],
        "settings": asdict(settings),
    }
    (home / "settings.json").write_text(json.dumps(written))
    (home / "audit.yaml").write_text((Path(__file__).parent / "audit.yaml").read_text())
    (home / "keys").mkdir()
    ca = keys.authority("mesh7 test cluster")
    first_service = str(IPv4Network(settings.service_range)[1])
    spoken = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"]
    spoken += ["kubernetes.default.svc.cluster.local", settings.address, first_service]
    admin = keys.client(ca, "admin", ["system:masters"])
    write_pair(home, "ca", ca)
    write_pair(home, "api", keys.server(ca, spoken))
    write_pair(home, "accounts", keys.signing_key())
    write_pair(home, "admin", admin)
    url = f"https://{settings.address}:{port}"
    (home / "admin.yaml").write_text(keys.kubeconfig(url, ca.certificate, admin))
    controllers = keys.client(ca, "system:kube-controller-manager")
    (home / "controllers.yaml").write_text(keys.kubeconfig(url, ca.certificate, controllers))


@contextlib.contextmanager
def raised(name: str, settings: Settings | None = None) -> Iterator[ApiServer]:
    """A cluster that runs while the block does.

    Args:
        name: see `homes.home_of`.
        settings: the usual ones when not given.

    Raises:
        ClusterError: it does not start.
    """
    endings.sweep()
    home = homes.make(name, is_owned=True)
    prepare(home, settings or Settings())
    server = ApiServer(home)
    try:
        server.start()
        yield server
    finally:
        server.remove()


def write_pair(home: Path, name: str, pair: keys.Pair) -> None:
    """Keep a certificate and its key in the cluster's folder."""
    (home / "keys" / f"{name}.crt").write_bytes(pair.certificate)
    (home / "keys" / f"{name}.key").write_bytes(pair.key)
    (home / "keys" / f"{name}.key").chmod(0o600)


def read_pair(home: Path, name: str) -> keys.Pair:
    """What `write_pair` has kept."""
    folder = home / "keys"
    return keys.Pair(
        certificate=(folder / f"{name}.crt").read_bytes(), key=(folder / f"{name}.key").read_bytes()
    )
