"""Components as processes: started, recorded on disk, ended; whoever comes later can end them too.

A process is known by its number and its start time together, because numbers are used again.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from e2e.cluster.waiting import ClusterError, NotInTimeError, until

_LAST_LINES = 40
_DEATH_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One that runs, or ran.

    Attributes:
        started: what the system says of its start, opaque; tells later ones by its number apart.
        log: what it wrote, both streams.
        order: grows from one to the next.
    """

    name: str
    pid: int
    started: str
    log: str
    order: int = 0


def start(
    home: Path, name: str, argv: Sequence[str], environment: Mapping[str, str] | None = None
) -> Process:
    """Start a component in a session of its own, so that a Ctrl-C is ours to act upon.

    Args:
        home: the cluster's folder; the log goes to `log/NAME`, appended; the record to `processes`.
        name: unique in this cluster.
        argv: the program by its whole path, and its arguments.
        environment: all that it gets beside `PATH` and `HOME` (which is `home`).
    """
    log = home / "log" / name
    for folder in (log.parent, home / "processes"):
        folder.mkdir(parents=True, exist_ok=True)
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    given = {"PATH": os.environ["PATH"], "HOME": str(home), **(environment or {})}
    pid = os.posix_spawn(argv[0], list(argv), given, file_actions=actions, setsid=True)
    process = Process(
        name=name,
        pid=pid,
        started=start_of(pid) or "",
        log=str(log),
        order=time.monotonic_ns(),
    )
    _record(home, name).write_text(json.dumps(asdict(process)))
    return process


def recorded(home: Path) -> list[Process]:
    """What was started for this cluster and not ended since, oldest first."""
    records = (home / "processes").glob("*.json")
    texts = [text for path in records if (text := _text(path))]
    return sorted((Process(**json.loads(text)) for text in texts), key=lambda one: one.order)


def is_alive(process: Process) -> bool:
    """Whether this very process runs; what remains of our own child is reaped."""
    if start_of(process.pid) != process.started:
        return False
    try:
        return os.waitpid(process.pid, os.WNOHANG)[0] == 0
    except ChildProcessError:  # somebody else's child is theirs to reap
        return runs(process.pid, process.started)


def must_live(process: Process) -> None:
    """Raise with its last lines when it died.

    Raises:
        ClusterError: it did.
    """
    if not is_alive(process):
        raise ClusterError(f"{process.name} – died; its last lines:\n{last_lines(process)}")


def wait(home: Path, claim: Callable[[], bool], what: str, *, timeout_s: float) -> None:
    """Wait until a claim holds, as long as every component lives.

    Raises:
        ClusterError: it did not come true, with the last lines of all; or one died, with its own.
    """

    def holds() -> bool:
        for process in recorded(home):
            must_live(process)
        return claim()

    try:
        until(holds, what, timeout_s=timeout_s)
    except NotInTimeError as error:
        raise ClusterError(f"{error}\n{all_last_lines(home)}") from error


def all_last_lines(home: Path) -> str:
    """The end of each component's log, for people."""
    return "\n".join(f"{process.name}:\n{last_lines(process)}" for process in recorded(home))


def last_lines(process: Process) -> str:
    """The end of its log, for people."""
    log = Path(process.log)
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join(f"  {line}" for line in lines[-_LAST_LINES:]) or "  (nothing)"


def stop(home: Path, process: Process, *, patience_s: float) -> None:
    """Ask it to end, kill it when it does not in time, and forget it.

    Raises:
        ClusterError: it outlived even SIGKILL by ten seconds.
    """
    _signal(process, signal.SIGTERM)
    with contextlib.suppress(ClusterError):
        until(lambda: not is_alive(process), f"{process.name} ends", timeout_s=patience_s)
    kill(home, process)


def kill(home: Path, process: Process) -> None:
    """End it with no warning, and forget it."""
    _signal(process, signal.SIGKILL)
    until(lambda: not is_alive(process), f"{process.name} dies of SIGKILL", timeout_s=_DEATH_S)
    _record(home, process.name).unlink(missing_ok=True)


def runs(pid: int, started: str) -> bool:
    """Whether this very process runs; one that is dead and not yet reaped does not."""
    fields = _fields(pid)
    return fields is not None and fields[1] == started and fields[0] not in {"Z", "X"}


def start_of(pid: int) -> str | None:
    """When this process started, in the system's words; None: there is none."""
    fields = _fields(pid)
    return fields[1] if fields else None


def _fields(pid: int) -> tuple[str, str] | None:
    """State and start time."""
    if not Path("/proc/self/stat").exists():
        return _fields_by_ps(pid)
    try:
        # The name may hold blanks and brackets; what follows its last bracket does not.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[0][:1], fields[19]


def _fields_by_ps(pid: int) -> tuple[str, str] | None:
    asked = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, *when = asked.stdout.split() or [""]
    return (state[:1], " ".join(when)) if state else None


def _signal(process: Process, number: signal.Signals) -> None:
    if is_alive(process):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


def _record(home: Path, name: str) -> Path:
    return home / "processes" / f"{name}.json"


def _text(path: Path) -> str:
    """Empty when somebody else has ended the process meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        return path.read_text()
    return ""
