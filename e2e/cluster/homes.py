"""Where clusters keep their state, whose they are, and how those of dead owners go.

A cluster of a test session belongs to that process; one raised by hand belongs to nobody and stays.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from e2e.cluster import processes
from e2e.cluster.waiting import ClusterError

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")


def root() -> Path:
    """The folder of all clusters of this user; outside every checkout."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return state / "mesh7" / "clusters"


def home_of(name: str) -> Path:
    """The folder of one cluster, which need not exist.

    Raises:
        ClusterError: the name is not one.
    """
    if not _NAME.fullmatch(name):
        raise ClusterError(
            f"`{name}`: is no name for a cluster; use a-z, 0-9 and hyphens, up to 31"
        )
    return root() / name


def names() -> list[str]:
    """The clusters that have a folder, running or not."""
    return sorted(path.name for path in root().glob("*") if path.is_dir())


def make(name: str, *, is_owned: bool) -> Path:
    """Make the folder of a new cluster.

    Args:
        name: free until now.
        is_owned: by this process: the cluster ends with it, at the latest when another one begins.

    Raises:
        ClusterError: there is one by this name.
    """
    home = home_of(name)
    owner = {"pid": os.getpid(), "started": processes.start_of(os.getpid())} if is_owned else {}
    with _alone():
        try:
            home.mkdir(parents=True, mode=0o700)
        except FileExistsError as error:
            raise ClusterError(
                f"cluster `{name}` exists; end it by: make cluster-down ARGS='--name {name}'"
            ) from error
        (home / "owner.json").write_text(json.dumps(owner))
    return home


def orphans() -> list[Path]:
    """Clusters whose owner is gone without ending them; what a SIGKILL leaves."""
    with _alone():
        return [home_of(name) for name in names() if _is_orphan(home_of(name))]


@contextlib.contextmanager
def ending(home: Path) -> Iterator[bool]:
    """One at a time ends a cluster; False: somebody else just has."""
    try:
        lock = (home / "ending.lock").open("w")
    except FileNotFoundError:
        yield False
        return
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield home.exists()


def remove(home: Path) -> None:
    """Forget a cluster whose processes have ended."""
    with _alone():
        shutil.rmtree(home, ignore_errors=True)
    if home.exists():
        raise ClusterError(f"{home}: cannot be removed; is something mounted in it?")


def _is_orphan(home: Path) -> bool:
    if not (home / "owner.json").exists():  # whoever made it was killed that very moment
        return True
    owner = json.loads((home / "owner.json").read_text())
    return bool(owner) and not processes.runs(owner["pid"], owner["started"])


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Nobody else makes, judges or removes a folder meanwhile."""
    root().mkdir(parents=True, exist_ok=True)
    with (root() / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
