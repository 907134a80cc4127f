"""The chart on a cluster, as administrators install, upgrade and remove it."""

import base64
import contextlib
import itertools
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from cryptography import x509

from e2e.cluster import helm
from e2e.cluster.clusters import Cluster
from e2e.cluster.kubectl import KubectlError
from e2e.cluster.waiting import ClusterError, until
from e2e.stories import last_words
from mesh7_core import names
from mesh7_operator.authority import kept

CHARTS: Final = Path(__file__).parents[2] / "charts"
NAME: Final = "mesh7"
NAMESPACE: Final = names.RELEASE_NAMESPACE
_PATIENCE_S: Final = 170.0
_HURRY_S: Final = 2.0
_SERVING: Final = {"injector": 8443, "exchange": 8443, "redis": 6379}
_MOUNTING: Final = f"app.kubernetes.io/name in ({', '.join(f'mesh7-{one}' for one in _SERVING)})"
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

    def certificates(self) -> set[x509.Certificate | None]:
        """What the replicas that have certificates serve now; None = it cannot be seen."""
        return {
            _served(one["status"].get("podIP", ""), port)
            for program, port in _SERVING.items()
            for one in self._pods(program)
        }

    def trusted(self) -> set[str]:
        """By whom the API server trusts an injector, PEM."""
        hooks = [
            hook
            for kind in ("mutatingwebhookconfiguration", "validatingwebhookconfiguration")
            for hook in self.cluster.kubectl.json("get", kind, names.WEBHOOKS)["webhooks"]
        ]
        written = (base64.b64decode(hook["clientConfig"].get("caBundle", "")) for hook in hooks)
        return {one for text in written for one in kept.read_certificates(text) or ()}

    @contextlib.contextmanager
    def hurried(self) -> Iterator[None]:
        """While the block runs, kubelets bring certificates to the pods within seconds.

        Otherwise they take a minute or more; a pod that changes is looked at at once.
        """
        ended = threading.Event()

        def hurry() -> None:
            for number in itertools.count():
                with contextlib.suppress(KubectlError):
                    self.kubectl("annotate", "pods", "-l", _MOUNTING,
                                 f"hurried={number}", "--overwrite")  # fmt: skip
                if ended.wait(_HURRY_S):
                    return

        thread = threading.Thread(target=hurry)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def rotate_certificates(self) -> None:
        """A new authority, as docs/administrator/certificates.md says."""
        job = helm.of_admin(self.cluster)(
            "template", NAME, str(CHARTS / "mesh7"), "-n", NAMESPACE, "-f", "-",
            "--kube-version=1.30", "--set", "tasks.rotateCertificates=true",
            "-s", "templates/tasks/rotate-certificates.yaml",
            stdin=yaml.safe_dump(dict(self.values)),
        )  # fmt: skip
        self.cluster.apply(job)
        self.kubectl("wait", "--for=condition=Complete", "job/mesh7-certificates-rotate",
                     "--timeout=60s")  # fmt: skip
        self.cluster.kubectl("delete", "-f", "-", stdin=job)

    def scale(self, program: str, replicas: int) -> None:
        """Change how many there are, and wait until it is so."""
        self.kubectl("scale", f"deployment/mesh7-{program}", f"--replicas={replicas}")
        if replicas:
            self.await_program(program)
        else:
            self.kubectl("wait", "--for=delete", "pod", "-l",
                         f"app.kubernetes.io/name=mesh7-{program}", "--timeout=60s")  # fmt: skip

    @contextlib.contextmanager
    def without(self, *programs: str) -> Iterator[None]:
        """While the block runs, none of these is there; after it, as many as before."""
        found = {
            one: self.cluster.kubectl.json("get", f"deployment/mesh7-{one}", "-n", NAMESPACE)
            for one in programs
        }
        try:
            for one in programs:
                self.kubectl("scale", f"deployment/mesh7-{one}", "--replicas=0")
            for one in programs:
                self.scale(one, 0)
            yield
        finally:
            for one in programs:
                self.kubectl(
                    "scale", f"deployment/mesh7-{one}",
                    f"--replicas={found[one]['spec']['replicas']}",
                )  # fmt: skip
            for one in programs:
                self.await_program(one)

    def await_program(self, program: str) -> None:
        """Wait until all of its replicas are ready."""
        self.kubectl("rollout", "status", f"deployment/mesh7-{program}", "--timeout=100s")

    def upgrade(self, charts: Path = CHARTS, values: Values | None = None) -> None:
        """Other charts or other values, in place; first the kinds, then the programs."""
        helm.of_admin(self.cluster)(
            "upgrade", "mesh7-crds", _chart(charts, "mesh7-crds"), "-n", NAMESPACE
        )
        _helm(self.cluster, "upgrade", values or self.values, _chart(charts, "mesh7"))
        until(
            lambda: (
                not any("deletionTimestamp" in one["metadata"] for one in self._pods("injector"))
            ),
            "no injector of before serves any more (upgrade.md, New pods meanwhile)",
            timeout_s=60,
        )


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
        # Ten minutes are for clusters with many nodes.
        "certificates": {"spread": 20},
        "redis": {"embedded": {"image": images["redis"], "program": "redis-server"}},
    }


def _served(address: str, port: int) -> x509.Certificate | None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((address, port), timeout=5) as plain,
            context.wrap_socket(plain) as spoken,
        ):
            return x509.load_der_x509_certificate(spoken.getpeercert(binary_form=True) or b"")
    except OSError:
        return None


def _image(name: str) -> dict[str, str]:
    repository, _, tag = name.rpartition(":")
    return {"repository": repository, "tag": tag}


def install(cluster: Cluster, chosen: Values, charts: Path = CHARTS) -> Release:
    """The lines of docs/administrator/install.md."""
    helm.of_admin(cluster)(
        "install", "mesh7-crds", _chart(charts, "mesh7-crds"), "-n", NAMESPACE, "--create-namespace"
    )
    _helm(cluster, "install", chosen, _chart(charts, "mesh7"))
    return Release(cluster=cluster, values=chosen)


def _chart(charts: Path, name: str) -> str:
    """Its folder, or the package that `helm package` made of it."""
    found = charts / name
    return str(found if found.exists() else next(charts.glob(f"{name}-[0-9]*.tgz")))


def _helm(cluster: Cluster, word: str, values: Values, chart: str) -> None:
    try:
        helm.of_admin(cluster)(
            word, NAME, chart, "-n", NAMESPACE, "--wait", "--timeout=100s", "-f", "-",
            stdin=yaml.safe_dump(dict(values)), timeout_s=_PATIENCE_S,
        )  # fmt: skip
    except helm.HelmError as error:
        raise ClusterError(f"{error}\n{last_words.state(cluster, NAMESPACE)}") from error
