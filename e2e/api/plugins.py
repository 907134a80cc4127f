"""`kubectl mesh7` as people type it, and a cluster whose API server asks an injector."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from e2e.api import installed
from e2e.api.installed import Files
from e2e.cluster import api_server as api_servers
from e2e.cluster.api_server import Settings
from e2e.cluster.clusters import Cluster
from mesh7_core import names
from mesh7_core.injection import settings

_PATIENCE_S = 60
_SCRIPTS = Path(sys.executable).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """`kubectl mesh7 …` as a person types it."""

    cluster: Cluster

    def __call__(self, *arguments: str, kubeconfig: Path | None = None, stdin: str = "") -> Answer:
        """Run a command as the administrator, or as whose kubeconfig it is."""
        return self.kubectl(
            "mesh7", *arguments, f"--kubeconfig={kubeconfig or self.cluster.admin}", stdin=stdin
        )

    @property
    def environment(self) -> dict[str, str]:
        """Of whoever types, as the administrator."""
        return {
            "PATH": f"{_SCRIPTS}:{self.cluster.program.parent}:{os.environ['PATH']}",
            "HOME": str(self.cluster.folder),
            "KUBECONFIG": str(self.cluster.admin),
        }

    def kubectl(self, *arguments: str, stdin: str = "") -> Answer:
        """Kubectl itself, with the plugin in PATH."""
        program = self.cluster.program
        done = subprocess.run(
            [str(program), *arguments],
            input=stdin,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
        return Answer(code=done.returncode, out=done.stdout, err=done.stderr)


@contextmanager
def guarded(name: str, folder: Path) -> Iterator[Plugin]:
    """On a cluster whose API server asks an injector.

    Args:
        name: of the cluster.
        folder: for what the injector is given.
    """
    with api_servers.raised(name, Settings()) as server:
        cluster = server.cluster
        installed.install(cluster)
        files = Files(folder)
        authorities = folder / "ca.crt"
        authorities.write_bytes(files.authority.certificate)
        # As the chart has them: its admission policies know no others.
        (folder / settings.KEY).write_text(_settings(cluster))
        trusted = {"key": files.trust_key}
        cluster.apply(_config_map(names.TRUST_CONFIG_MAP, trusted))
        kubeconfig = installed.account(cluster, "mesh7-injector", folder)
        service = cluster.kubectl.json("get", "service", "kubernetes", "-n", "default")
        flags = (
            f"--authorities-file={authorities}",
            f"--api-server={service['spec']['clusterIP']}",
        )
        with installed.injecting(kubeconfig, files, "first", *flags) as injector:
            asked = installed.admission(
                kinds=installed.WEBHOOKS,
                url=injector.url,
                authority=files.authority.certificate,
            )
            cluster.apply(asked)
            cluster.apply(installed.admission(kinds=installed.POLICIES))
            yield Plugin(cluster=cluster)


def _settings(cluster: Cluster) -> str:
    found = cluster.kubectl.json(
        "get", "configmap", names.INJECTION_CONFIG_MAP, "-n", names.RELEASE_NAMESPACE
    )
    return str(found["data"][settings.KEY])


def _config_map(name: str, data: dict[str, str]) -> str:
    about = {"name": name, "namespace": names.RELEASE_NAMESPACE}
    return yaml.safe_dump(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "data": data}
    )
