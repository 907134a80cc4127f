"""Helm with one kubeconfig: what people type, and its answers as text."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import binaries
from e2e.cluster.clusters import Cluster
from e2e.cluster.waiting import ClusterError

_PATIENCE_S = 180.0


class HelmError(ClusterError):
    """Helm said no.

    Attributes:
        stderr: what it wrote there.
    """

    def __init__(self, arguments: Sequence[str], code: int, stderr: str) -> None:
        super().__init__(f"helm {' '.join(arguments)} – exit {code}: {stderr.strip()}")
        self.stderr = stderr


@dataclass(frozen=True, slots=True, kw_only=True)
class Helm:
    """Helm as one user.

    Attributes:
        kubeconfig: who and where.
        home: stands for the user's home, so that caches and settings are the cluster's.
    """

    kubeconfig: Path
    home: Path

    def __call__(self, *arguments: str, stdin: str = "", timeout_s: float = _PATIENCE_S) -> str:
        """Run it, and answer its stdout.

        Raises:
            HelmError: it exits with another code than 0.
            subprocess.TimeoutExpired: it did not end in time.
        """
        done = subprocess.run(
            [str(binaries.folder() / "helm"), *arguments],
            input=stdin,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.home),
                "KUBECONFIG": str(self.kubeconfig),
            },
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode != 0:
            raise HelmError(arguments, done.returncode, done.stderr)
        return done.stdout


def of_admin(cluster: Cluster) -> Helm:
    """Helm of the cluster's administrator."""
    return Helm(kubeconfig=cluster.admin, home=cluster.folder)
