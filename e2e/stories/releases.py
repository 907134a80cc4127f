"""The chart on a cluster, as administrators install, upgrade and remove it."""

import contextlib
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from cryptography import x509

from e2e.cluster import helm
from e2e.cluster.clusters import Cluster
from e2e.cluster.kubectl import KubectlError
from e2e.cluster.waiting import ClusterError
from mesh7_core import names

CHARTS: Final = Path(__file__).parents[2] / "charts"
NAME: Final = "mesh7"
NAMESPACE: Final = names.RELEASE_NAMESPACE
_PATIENCE_S: Final = 170.0
Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One that is installed."""

    cluster: Cluster
    values: Values

    def kubectl(self, *arguments: str) -> str:
        """The administrator's, in the release namespace."""
        return self.cluster.kubectl(*arguments, "-n", NAMESPACE)

    def pods(self, program: str) -> list[str]:
        """Names of the pods of `controller`, `injector`, `exchange` or `redis`."""
        return [one["metadata"]["name"] for one in self._pods(program)]

    def _pods(self, program: str) -> list[dict[str, Any]]:
        chosen = ("-l", f"app.kubernetes.io/name=mesh7-{program}")
        found: list[dict[str, Any]] = json.loads(
            self.kubectl("get", "pods", "-o", "json", *chosen)
        )["items"]
        return found

    def authorities(self) -> set[bytes]:
        """Who issued the certificates that the injectors serve now: key identifiers."""
        return {_authority(one["status"]["podIP"]) for one in self._pods("injector")}

    def rotate_certificates(self) -> None:
        """A new authority, as docs/administrator/certificates.md says."""
        job = helm.of_admin(self.cluster)(
            "template", NAME, str(CHARTS / "mesh7"), "-n", NAMESPACE, "-f", "-",
            "--set", "tasks.rotateCertificates=true",
            "-s", "templates/tasks/rotate-certificates.yaml",
            stdin=yaml.safe_dump(dict(self.values)),
        )  # fmt: skip
        self.cluster.apply(job)
        self.kubectl("wait", "--for=condition=Complete", "job", "--all", "--timeout=60s")
        self.cluster.kubectl("delete", "-f", "-", stdin=job)

    def scale(self, program: str, replicas: int) -> None:
        """Change how many there are, and wait until it is so."""
        self.kubectl("scale", f"deployment/mesh7-{program}", f"--replicas={replicas}")
        if replicas:
            self.await_program(program)
        else:
            self.kubectl("wait", "--for=delete", "pod", "-l",
                         f"app.kubernetes.io/name=mesh7-{program}", "--timeout=60s")  # fmt: skip

    def await_program(self, program: str) -> None:
        """Wait until all of its replicas are ready."""
        self.kubectl("rollout", "status", f"deployment/mesh7-{program}", "--timeout=100s")

    def upgrade(self, charts: Path = CHARTS, values: Values | None = None) -> None:
        """Other charts or other values, in place; first the kinds, then the programs."""
        helm.of_admin(self.cluster)(
            "upgrade", "mesh7-crds", str(charts / "mesh7-crds"), "-n", NAMESPACE
        )
        _helm(self.cluster, "upgrade", values or self.values, charts / "mesh7")


def values(images: Mapping[str, str]) -> Values:
    """What the test cluster asks for: its images are on the node already.

    Args:
        images: of the fixture `product_images`.
    """
    return {
        "image": {
            "pullPolicy": "Never",
            **{one: _image(images[one]) for one in ("operator", "sidecar")},
        },
        "redis": {"embedded": {"image": images["redis"], "program": "redis-server"}},
    }


def _authority(address: str) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((address, 8443), timeout=5) as plain,
        context.wrap_socket(plain) as spoken,
    ):
        served = x509.load_der_x509_certificate(spoken.getpeercert(binary_form=True) or b"")
    found = served.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    return found.value.key_identifier or b""


def _image(name: str) -> dict[str, str]:
    repository, _, tag = name.rpartition(":")
    return {"repository": repository, "tag": tag}


def install(cluster: Cluster, chosen: Values, charts: Path = CHARTS) -> Release:
    """The lines of docs/administrator/install.md."""
    helm.of_admin(cluster)(
        "install", "mesh7-crds", str(charts / "mesh7-crds"), "-n", NAMESPACE, "--create-namespace"
    )
    _helm(cluster, "install", chosen, charts / "mesh7")
    return Release(cluster=cluster, values=chosen)


def _helm(cluster: Cluster, word: str, values: Values, chart: Path) -> None:
    try:
        helm.of_admin(cluster)(
            word, NAME, str(chart), "-n", NAMESPACE, "--wait", "--timeout=100s", "-f", "-",
            stdin=yaml.safe_dump(dict(values)), timeout_s=_PATIENCE_S,
        )  # fmt: skip
    except helm.HelmError as error:
        raise ClusterError(f"{error}\n{state(cluster, NAMESPACE)}") from error


def state(cluster: Cluster, namespace: str) -> str:
    """Pods, events and the ends of all logs, for errors."""
    shown = [cluster.kubectl("get", "pods,events", "-n", namespace, "-o", "wide")]
    for pod in cluster.kubectl.json("get", "pods", "-n", namespace)["items"]:
        name = pod["metadata"]["name"]
        with contextlib.suppress(KubectlError):
            log = cluster.kubectl("logs", name, "-n", namespace, "--all-containers", "--tail=12")
            shown.append(f"--- {name}\n{log}")
    return "\n".join(shown)[-10_000:]
