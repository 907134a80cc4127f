"""A cluster's own branch of the control groups, version 1 or 2: who is in it is ours to kill.

The kubelet puts pods below it and we put the node's daemons there, whose children stay. So nothing
that runs for a node is missed, and nothing else is hit.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from e2e.cluster.waiting import ClusterError, until

_ROOT = Path("/sys/fs/cgroup")
_DAEMONS = "daemons"
_NEEDED = {"cpu", "cpuset", "hugetlb", "io", "memory", "pids"}  # by the kubelet
_PATIENCE_S = 20.0


def make(name: str) -> None:
    """Make the branch in every hierarchy.

    Raises:
        ClusterError: this user may not.
    """
    for hierarchy in _hierarchies():
        branch = hierarchy / name
        try:
            branch.mkdir(exist_ok=True)
            _give_controllers(hierarchy, branch)
        except OSError as error:
            raise ClusterError(
                f"{branch}: {error.strerror}; run as root, outside containers"
            ) from error
    (_first() / name / _DAEMONS).mkdir(exist_ok=True)


def doorway(name: str) -> Path:
    """The file that moves whoever's number is written to it among the daemons."""
    return _first() / name / _DAEMONS / "cgroup.procs"


def members(name: str) -> set[int]:
    """Everybody in the branch, in whichever hierarchy."""
    return {
        int(line)
        for folder in _branches(name)
        for procs in folder.rglob("cgroup.procs")
        for line in _lines(procs)
    }


def remove(name: str) -> None:
    """Kill everybody in the branch, and remove it.

    Raises:
        ClusterError: somebody cannot be killed, or a group not be removed.
    """

    def is_empty() -> bool:
        left = members(name)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    until(is_empty, f"all processes of the group `{name}` are dead", timeout_s=_PATIENCE_S)
    until(lambda: _is_removed(name), f"the group `{name}` is removed", timeout_s=_PATIENCE_S)


def _is_removed(name: str) -> bool:
    """The kernel may call a group busy for a moment after its last process."""
    for folder in _branches(name):
        below = sorted(path for path in folder.rglob("*") if path.is_dir())
        for group in [*reversed(below), folder]:
            with contextlib.suppress(OSError):
                group.rmdir()
    return not list(_branches(name))


def _branches(name: str) -> Iterator[Path]:
    """Where the branch exists; a runtime may have made it where we did not."""
    for hierarchy in (*_hierarchies(), _ROOT / "unified"):
        if (hierarchy / name).is_dir():
            yield hierarchy / name


def _hierarchies() -> list[Path]:
    if _is_second():
        return [_ROOT]
    mounted = [path for path in _ROOT.iterdir() if path.is_dir() and not path.is_symlink()]
    return sorted(path for path in mounted if (path / "tasks").exists())


def _first() -> Path:
    """The hierarchy by which daemons are kept together."""
    return _ROOT if _is_second() else _ROOT / "pids"


def _is_second() -> bool:
    return (_ROOT / "cgroup.controllers").exists()


def _give_controllers(parent: Path, branch: Path) -> None:
    """A new group has no CPUs in version 1, and no controllers in version 2, until it is told."""
    for key in ("cpuset.mems", "cpuset.cpus"):
        if (parent / key).exists() and not _is_second():
            (branch / key).write_text((parent / key).read_text())
    if _is_second():
        there = (parent / "cgroup.controllers").read_text().split()
        wanted = " ".join(f"+{one}" for one in there if one in _NEEDED)
        (parent / "cgroup.subtree_control").write_text(wanted)
        (branch / "cgroup.subtree_control").write_text(wanted)


def _lines(path: Path) -> list[str]:
    with contextlib.suppress(OSError):  # gone meanwhile, or threaded
        return path.read_text().split()
    return []
