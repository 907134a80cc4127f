"""Processes of pods, as the machine sees them that is the node: for ends that nobody announces."""

import os
import signal
from pathlib import Path

from e2e.cluster.waiting import ClusterError


def processes(uid: str, word: str) -> list[int]:
    """Those in a pod whose command line has a word in it.

    Args:
        uid: the pod's `metadata.uid`.
        word: any part of the command line.
    """
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            group = (folder / "cgroup").read_text()
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        is_in_pod = uid in group or uid.replace("-", "_") in group
        if is_in_pod and word.encode() in command:
            found.append(int(folder.name))
    return found


def send(uid: str, word: str, number: signal.Signals) -> None:
    """Send a signal to the one that `processes` finds.

    Raises:
        ClusterError: there is none, or there are several.
    """
    match processes(uid, word):
        case [pid]:
            os.kill(pid, number)
        case found:
            raise ClusterError(f"pod {uid}: {len(found)} processes have `{word}`, not one")
