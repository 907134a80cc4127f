"""`kubectl mesh7 …` as people type it."""

import subprocess
import sys
from pathlib import Path

from e2e.cluster.clusters import Cluster

_PATIENCE_S = 100.0
Done = subprocess.CompletedProcess[str]


def run(cluster: Cluster, *arguments: str) -> Done:
    """The administrator runs it to its end, with the real kubectl; its code, stdout and stderr."""
    return run_by(cluster, cluster.admin, *arguments)


def run_by(cluster: Cluster, kubeconfig: Path, *arguments: str) -> Done:
    """The same by whoever has this kubeconfig."""
    scripts = Path(sys.executable).parent
    return subprocess.run(
        [str(cluster.program), "mesh7", *arguments, f"--kubeconfig={kubeconfig}"],
        env={
            "PATH": f"{scripts}:{cluster.program.parent}:/usr/bin:/bin",
            "HOME": str(cluster.folder),
        },
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )
