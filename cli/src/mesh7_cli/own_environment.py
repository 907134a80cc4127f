"""The environment that manifests of a folder are read with, and programs are started in."""

import os
import sys
from pathlib import Path


def read() -> dict[str, str]:
    """Our environment, with the programs installed beside mesh7 found first.

    So `command: [mcp-server-git]` runs the server of our own virtual environment although
    nobody activated it.
    """
    beside = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", os.defpath)
    return dict(os.environ) | {"PATH": f"{beside}{os.pathsep}{path}"}
