"""The sidecar of a made-up pod as a real process, fed by what is really delivered."""

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from e2e.cluster.clusters import Cluster
from e2e.cluster.kubectl import KubectlError
from e2e.cluster.waiting import ClusterError, until
from mesh7_core import names
from mesh7_operator.store import passwords
from tests.peers import ports
from tests.sidecar.bundles.delivering import ConfigMap

PATIENCE_S: Final = 60.0
KUBELET_S: Final = 0.2
"""How often the mounted ConfigMap is brought up to date; the real kubelet takes its time."""
ROOT: Final = Path(__file__).parents[2]
HERE: Final = socket.gethostname().lower()
"""A name that leads to this machine: sources in a cluster may not say `localhost`."""
LOOPBACK: Final = {"MESH7_DIALLED": "127.0.0.0/8,::1/128"}


class Sidecar:
    """The gateway of one made-up pod.

    Args:
        folder: of its own; its state lies there, and its log.
        environment: `MESH7_…` beside what every sidecar gets.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port, self.admin_port = ports.free(), ports.free()
        self.bundle_directory = folder / "bundle"
        self._log = folder / "sidecar.log"
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "MESH7_STATE": str(folder / "state"),
            "MESH7_BUNDLE_DIR": str(self.bundle_directory),
            "MESH7_LISTEN": f"127.0.0.1:{self.port}",
            "MESH7_ADMIN": f"127.0.0.1:{self.admin_port}",
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was started and not ended."""
        return self._process is not None

    def start(self) -> None:
        """Start it; it need not be ready."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mesh7_sidecar"],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self._environment,
            )  # fmt: skip

    def log(self) -> str:
        """What it said so far."""
        return self._log.read_text("utf-8", "replace") if self._log.exists() else ""

    def until(self, claim: Callable[[], bool], what: str, timeout_s: float = PATIENCE_S) -> None:
        """Wait, and show its log when it was in vain."""
        try:
            until(claim, what, timeout_s=timeout_s)
        except ClusterError as error:
            raise ClusterError(f"{error}\n{self.log()[-6000:]}") from error

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it; its exit status."""
        assert self._process is not None
        self._process.send_signal(number)
        status = self._process.wait(PATIENCE_S)
        self._process = None
        return status

    def ready(self) -> Mapping[str, object]:
        """What `/readyz` says; empty before it answers."""
        return _asked(f"http://127.0.0.1:{self.admin_port}/readyz")

    def await_ready(self) -> None:
        """Wait until a bundle is in force and calls are served."""
        self.until(lambda: self.ready().get("ready") is True, "a bundle is in force")
        self.until(lambda: bool(self.decide("made.up")), "calls are served")

    def decide(self, tool: str, arguments: Mapping[str, object] | None = None) -> str:
        """`Allow`, `Deny` or `Hold`, and why: `Deny no-match`; empty when it does not answer."""
        body = json.dumps({"tool": tool, "arguments": arguments or {}}).encode()
        found = _asked(f"http://127.0.0.1:{self.port}/v1/decide", body)
        return f"{found.get('decision')} {found.get('reason')}" if found else ""

    def call(self, tool: str, arguments: Mapping[str, object]) -> str | None:
        """Call a tool for real: its first text; None when it is refused."""
        body = json.dumps({"arguments": arguments}).encode()
        found = _asked(f"http://127.0.0.1:{self.port}/v1/tools/{tool}", body)
        match found.get("content"):
            case [{"text": str(text)}, *_] if not found.get("isError"):
                return text
            case _:
                return None


@contextlib.contextmanager
def guarding(folder: Path, environment: Mapping[str, str]) -> Iterator[Sidecar]:
    """A sidecar that runs while the block does."""
    sidecar = Sidecar(folder, environment)
    sidecar.start()
    try:
        yield sidecar
    finally:
        if sidecar.is_running:
            sidecar.end(signal.SIGKILL)


def of_pod(namespace: str, trust_key: str, agent: str = "support") -> dict[str, str]:
    """What the injector writes into a pod."""
    return {
        "MESH7_NAMESPACE": namespace,
        "MESH7_SERVICE_ACCOUNT": agent,
        "MESH7_POD_NAME": f"{agent}-0",
        "MESH7_POD_UID": f"uid-of-{agent}-0",
        "MESH7_TRUST_KEY": trust_key,
    }


def with_redis(cluster: Cluster, namespace: str, url: str, folder: Path) -> dict[str, str]:
    """The Redis credentials that the exchange would hand out to the namespace now."""
    secret = cluster.kubectl.json(
        "get", "secret", "mesh7-redis-master", "-n", names.RELEASE_NAMESPACE
    )
    master = base64.b64decode(secret["data"]["master"])
    given = passwords.credential(master, namespace, "uid", datetime.now(UTC))
    file = folder / "redis-password"
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(given.password)
    url = url.replace("redis://", f"redis://{given.user}@")
    return {"MESH7_REDIS_URL": url, "MESH7_REDIS_PASSWORD_FILE": str(file)}


@contextlib.contextmanager
def mounting(cluster: Cluster, namespace: str, directory: Path) -> Iterator[None]:
    """Keep a folder as the kubelet keeps a mounted ConfigMap, while the block runs.

    A ConfigMap that is deleted stays mounted as it was.
    """
    mounted, ended = ConfigMap(directory), threading.Event()
    before: dict[str, bytes] = {}

    def look() -> None:
        nonlocal before
        try:
            found = cluster.kubectl.json(
                "get", "configmap", names.BUNDLE_CONFIG_MAP, "-n", namespace
            )
        except KubectlError:
            return
        written = found.get("binaryData", {})
        files = {name: base64.b64decode(content) for name, content in written.items()}
        if files != before:
            before = files
            mounted.write(**files)

    def keep() -> None:
        while not ended.wait(KUBELET_S):
            look()

    look()
    thread = threading.Thread(target=keep, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def serving_sums() -> Iterator[str]:
    """A real MCP server with the tool `add`; its URL, without a path."""
    with socket.create_server((socket.gethostbyname(HERE), 0)) as bound:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.peers.fastmcp_server", str(bound.fileno())],
            cwd=ROOT, pass_fds=[bound.fileno()],
        )  # fmt: skip
        try:
            yield f"http://{HERE}:{bound.getsockname()[1]}"
        finally:
            process.terminate()
            process.wait(10)


def sums(namespace: str, url: str) -> str:
    """The ToolSource `sums` of that server."""
    return f"""
apiVersion: mesh7.dev/v1alpha1
kind: ToolSource
metadata: {{name: sums, namespace: {namespace}}}
spec: {{mcp: {{url: "{url}/mcp"}}}}
"""


def _asked(url: str, body: bytes | None = None) -> Mapping[str, object]:
    headers = {"content-type": "application/json"} if body is not None else {}
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - our own
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - our own
            found: object = json.load(answer)
    except urllib.error.HTTPError as error:
        found = json.load(error)
    except OSError:
        return {}
    return found if isinstance(found, dict) else {}
