"""An installation on a real API server: what the chart renders, and programs with their rights."""

import base64
import contextlib
import copy
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from e2e import charts
from e2e.api import controllers
from e2e.cluster import keys
from e2e.cluster.clusters import Cluster
from e2e.cluster.waiting import ClusterError, until
from mesh7_core.injection import settings

RIGHTS = (
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
)
INJECTION = """
apiVersion: mesh7.dev/v1alpha1
kind: Injection
image: mesh7-sidecar:0.1.0
"""
PROGRAM = (sys.executable, "-c", "from mesh7_operator.main import main; main()")


def install(cluster: Cluster) -> None:
    """What needs no image and no webhook: kinds, namespace, settings, rights, roles."""
    controllers.install(cluster)
    cluster.apply(rendered(kinds=("ConfigMap", *RIGHTS)))


def rendered(name: str = "default", *, kinds: tuple[str, ...]) -> str:
    """What the chart renders of these kinds, of one set of values."""
    return yaml.safe_dump_all(
        one for one in charts.documents(name) if one["kind"] in kinds and not _is_test(one)
    )


def _is_test(document: dict[str, Any]) -> bool:
    """Whether `helm test` makes it, in a namespace of its own."""
    annotations = document["metadata"].get("annotations", {})
    return bool(annotations.get("helm.sh/hook") == "test")


def admission(*, kinds: tuple[str, ...], url: str = "", authority: bytes = b"") -> str:
    """What decides about admission; webhooks are asked at `url` in place of the service."""
    found = copy.deepcopy([one for one in charts.documents() if one["kind"] in kinds])
    bundle = base64.b64encode(authority or b"none").decode()
    for one in found:
        for hook in one.get("webhooks", ()):
            path = hook["clientConfig"]["service"]["path"]
            hook["clientConfig"] = {"url": url + path, "caBundle": bundle}
    return yaml.safe_dump_all(found)


WEBHOOKS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
POLICIES = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")


def account(
    cluster: Cluster, name: str, folder: Path, namespace: str = controllers.RELEASE
) -> Path:
    """A kubeconfig with a token of one of our service accounts, or of another namespace's."""
    token = cluster.token(namespace, name)
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "c",
            "cluster": {
                "server": cluster.url,
                "certificate-authority-data": base64.b64encode(cluster.ca.read_bytes()).decode(),
            },
        }],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }  # fmt: skip
    path = folder / f"{namespace}-{name}.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    path.chmod(0o600)
    return path


class Files:
    """What an injector is given: certificate, stamp key, settings of pods and the key to trust."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = keys.authority("injector")
        self.renew()
        self.seed = os.urandom(32)
        (folder / "seed").write_bytes(self.seed)
        self.trust_key = base64.b64encode(os.urandom(32)).decode()
        (folder / "trust").mkdir()
        (folder / "trust" / "key").write_text(self.trust_key)
        (folder / settings.KEY).write_text(INJECTION)

    def renew(self) -> None:
        """Another certificate of the same authority, swapped in file by file."""
        pair = keys.server(self.authority, ["127.0.0.1"])
        for name, text in (("tls.crt", pair.certificate), ("tls.key", pair.key)):
            fresh = self.folder / f"{name}.new"
            fresh.write_bytes(text)
            fresh.replace(self.folder / name)


class Injector:
    """One `mesh7-operator injector` process."""

    def __init__(self, kubeconfig: Path, files: Files, name: str, *flags: str) -> None:
        self._log = files.folder / f"{name}.log"
        with self._log.open("wb") as out:
            self.process = subprocess.Popen(
                [
                    *PROGRAM, "injector", f"--kubeconfig={kubeconfig}",
                    "--metrics-address=127.0.0.1:0", "--listen=127.0.0.1:0",
                    f"--certificate={files.folder / 'tls.crt'}",
                    f"--private-key={files.folder / 'tls.key'}",
                    f"--stamp-key-file={files.folder / 'seed'}",
                    f"--settings-file={files.folder / settings.KEY}",
                    f"--trust-directory={files.folder / 'trust'}", *flags,
                ],
                stderr=out,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def log(self) -> str:
        """What it said so far."""
        return self._log.read_text()

    def until(self, claim: Callable[[], bool], what: str) -> None:
        """Wait, and show its log when it was in vain."""
        try:
            until(claim, what, timeout_s=controllers.PATIENCE_S)
        except ClusterError as error:
            raise ClusterError(f"{error}\n{self.log()[-4000:]}") from error

    def await_ready(self) -> None:
        """Wait until it may be sent questions."""
        self.until(self.is_ready, "the injector is ready")

    def is_ready(self) -> bool:
        """What `/readyz` says."""
        if not self._address("probes and metrics are served"):
            return False
        try:
            return bool(self.ask("/readyz"))
        except OSError:
            return False

    @property
    def port(self) -> int:
        """Where the API server asks it."""
        return int(self._address("admissions are served").rpartition(":")[2])

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def ask(self, path: str) -> str:
        """One of its probes, or its metrics."""
        address = self._address("probes and metrics are served")
        with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
            text: bytes = answer.read()
        return text.decode()

    def served(self, authority: bytes) -> bytes:
        """The certificate that it serves now, DER."""
        context = ssl.create_default_context(cadata=authority.decode())
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as spoken,
        ):
            return spoken.getpeercert(binary_form=True) or b""

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it, and answer its exit status."""
        self.process.send_signal(number)
        return self.process.wait(controllers.PATIENCE_S)

    def _address(self, message: str) -> str:
        for line in self.log().splitlines():
            if line.startswith("{") and line.endswith("}"):
                record: dict[str, Any] = json.loads(line)
                if record["message"] == message:
                    return str(record["address"])
        return ""


@contextlib.contextmanager
def injecting(kubeconfig: Path, files: Files, name: str, *flags: str) -> Iterator[Injector]:
    """An injector that is ready, while the block runs."""
    injector = Injector(kubeconfig, files, name, *flags)
    try:
        injector.await_ready()
        yield injector
    finally:
        if injector.process.poll() is None:
            injector.end(signal.SIGKILL)
