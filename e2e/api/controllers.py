"""A controller as a real process, and what it has delivered as a sidecar would read it."""

import base64
import contextlib
import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from e2e.cluster.clusters import Cluster
from e2e.cluster.kubectl import KubectlError
from e2e.cluster.waiting import ClusterError, until
from mesh7_core import names
from mesh7_core.delivery import envelopes, keys, payloads

ROOT = Path(__file__).parents[2]
RELEASE = names.RELEASE_NAMESPACE
PATIENCE_S = 60.0
_PROGRAM = (sys.executable, "-c", "from mesh7_operator.main import main; main()")


class Controller:
    """One `mesh7-operator controller`.

    Args:
        kubeconfig: as whom.
        log: a file for its log.
        flags: further flags; without a `--redis…` it does without Redis.
    """

    def __init__(self, kubeconfig: Path, log: Path, flags: Sequence[str] = ()) -> None:
        chosen = flags if any("redis" in flag for flag in flags) else ["--redis-mode=none", *flags]
        self._log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [
                    *_PROGRAM, "controller", f"--kubeconfig={kubeconfig}",
                    "--metrics-address=127.0.0.1:0", *chosen,
                ],
                stderr=out,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def lines(self, message: str = "") -> list[dict[str, Any]]:
        """What it logged so far; of one message when that is given."""
        text = self._log.read_text().splitlines()
        read = [json.loads(line) for line in text if line.startswith("{") and line.endswith("}")]
        return [line for line in read if not message or line["message"] == message]

    def await_line(self, message: str, timeout_s: float = PATIENCE_S) -> dict[str, Any]:
        """Wait until it says so, and answer the last such line."""
        self.until(lambda: bool(self.lines(message)), f"it logs `{message}`", timeout_s)
        return self.lines(message)[-1]

    def until(self, claim: Callable[[], bool], what: str, timeout_s: float = PATIENCE_S) -> None:
        """Wait, and show its log when it was in vain."""
        try:
            until(claim, what, timeout_s=timeout_s)
        except ClusterError as error:
            log = self._log.read_text()[-6000:]
            raise ClusterError(f"{error}\n{log}") from error

    def metrics(self) -> dict[str, float]:
        """By name with labels."""
        text = self._ask("/metrics").decode()
        found = re.findall(r"(?m)^([a-z0-9_]+(?:\{[^}]*\})?) (\S+)$", text)
        return {name: float(value) for name, value in found}

    def health(self) -> dict[str, Any]:
        """What `/healthz` answers while all is well."""
        answer: dict[str, Any] = json.loads(self._ask("/healthz"))
        return answer

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it, and answer its exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def _ask(self, path: str) -> bytes:
        address = self.await_line("probes and metrics are served")["address"]
        with urllib.request.urlopen(f"http://{address}{path}", timeout=30) as answer:
            content: bytes = answer.read()
        return content


@contextlib.contextmanager
def controlling(
    cluster: Cluster, log: Path, flags: Sequence[str] = (), *, user: str = ""
) -> Iterator[Controller]:
    """A controller that runs while the block does, as administrator: the one, or of this name."""
    kubeconfig = cluster.kubeconfig(user, ["system:masters"]) if user else cluster.admin
    controller = Controller(kubeconfig, log, flags)
    try:
        yield controller
    finally:
        if controller.process.poll() is None:
            controller.end(signal.SIGKILL)


def install(cluster: Cluster) -> None:
    """The kinds, and the release namespace."""
    cluster.apply(ROOT / "crds")
    plurals = ("agentpolicies", "toolsources", "grants", "approvalrequests", "auditqueries")
    kinds = [f"crd/{plural}.{names.GROUP}" for plural in plurals]
    cluster.kubectl.wait("condition=Established", *kinds)
    cluster.apply(f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {RELEASE}}}")


def enrol(cluster: Cluster, name: str) -> str:
    """An enrolled namespace."""
    cluster.apply(
        f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, "
        f"labels: {{{names.INJECTION_LABEL}: enabled}}}}"
    )
    return name


def policy(namespace: str, name: str, tools: str = "billing.*", action: str = "Allow") -> str:
    """A policy of one rule for everybody."""
    return f"""
apiVersion: {names.API_VERSION}
kind: AgentPolicy
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  selector: {{}}
  rules: [{{name: only, tools: ["{tools}"], action: {action}}}]
"""


def operator(cluster: Cluster, *arguments: str) -> str:
    """`mesh7-operator` with this cluster's kubeconfig; its stdout."""
    done = subprocess.run(
        [*_PROGRAM, *arguments, f"--kubeconfig={cluster.admin}"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout


class Delivered:
    """ConfigMap `mesh7-bundle` of a namespace, read as a sidecar does.

    Args:
        root: public key that the sidecar's pod was given; None = today's.
    """

    def __init__(self, cluster: Cluster, namespace: str, root: bytes | None = None) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._root = root or base64.b64decode(operator(cluster, "keys", "show"))

    def object(self) -> dict[str, Any] | None:
        """As the API server has it; None = there is none."""
        try:
            return self._cluster.kubectl.json(
                "get", "configmap", names.BUNDLE_CONFIG_MAP, "-n", self._namespace
            )
        except KubectlError as error:
            if "NotFound" in error.stderr:
                return None
            raise

    def envelope(self, kind: envelopes.Kind = envelopes.Kind.BUNDLE) -> bytes | None:
        """The bytes; None = they are not there."""
        found = (self.object() or {}).get("binaryData", {}).get(kind.value)
        return base64.b64decode(found) if found else None

    def opened(self, kind: envelopes.Kind = envelopes.Kind.BUNDLE) -> envelopes.Opened | None:
        """The content, if a sidecar would believe it."""
        data = self.envelope(kind)
        header = envelopes.read_header(data or b"")
        if data is None or isinstance(header, envelopes.Refused):
            return None
        trusted = keys.reachable(self._root, header.links)
        opened = envelopes.unseal(data, kind, self._namespace, trusted)
        return opened if isinstance(opened, envelopes.Opened) else None

    def version(self, kind: envelopes.Kind = envelopes.Kind.BUNDLE) -> int:
        """0 = there is nothing that a sidecar would believe."""
        opened = self.opened(kind)
        return opened.header.version if opened else 0

    def policies(self) -> set[str]:
        """Policies in the bundle, `<namespace>/<name>`."""
        opened = self.opened()
        if opened is None:
            return set()
        content = payloads.read_bundle(opened.payload)
        return {
            f"{one.namespace}/{one.name}"
            for one in content.documents
            if one.kind == names.AGENT_POLICY
        }

    def grants(self) -> set[str]:
        """Names of the grants in the overlay."""
        opened = self.opened(envelopes.Kind.OVERLAY)
        if opened is None:
            return set()
        return {one.name for one in payloads.read_overlay(opened.payload).documents}
