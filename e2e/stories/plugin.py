"""`kubectl mesh7 …` as an administrator types it."""

import subprocess
import sys
from pathlib import Path

from e2e.cluster.clusters import Cluster

_PATIENCE_S = 100.0


def run(cluster: Cluster, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end, with the real kubectl; its code, stdout and stderr."""
    scripts = Path(sys.executable).parent
    return subprocess.run(
        [str(cluster.program), "mesh7", *arguments, f"--kubeconfig={cluster.admin}"],
        env={
            "PATH": f"{scripts}:{cluster.program.parent}:/usr/bin:/bin",
            "HOME": str(cluster.folder),
        },
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )
