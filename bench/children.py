"""Programs that a run starts: pinned to a core, metered through /proc, ended by their pid."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_TICK_US = 1_000_000 / os.sysconf("SC_CLK_TCK")
_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cores:
    """Which core carries what: the measured program one, load and upstream another."""

    measured: int
    load: int


def cores() -> Cores:
    """The first two cores that this process may use; one core alone serves for both."""
    usable = sorted(os.sched_getaffinity(0))
    return Cores(measured=usable[0], load=usable[-1] if len(usable) == 1 else usable[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A running program."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def is_alive(self) -> bool:
        """It has not ended."""
        return self.process.poll() is None

    def cpu_us(self) -> float:
        """CPU time since its start, all threads, user and system; ticks of 10 ms."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii")
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * _TICK_US

    def resident_mb(self) -> float:
        """Resident memory now, in units of 1,000,000 bytes."""
        for line in (
            Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii").splitlines()
        ):
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024 / 1e6
        return 0.0


@contextlib.contextmanager
def running(name: str, argv: Sequence[str | Path], core: int, folder: Path) -> Iterator[Child]:
    """Run a program on one core while the block runs; its output goes to `folder/name.log`."""
    log = folder / f"{name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *argv],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    child = Child(name=name, process=process, log=log)
    try:
        yield child
    finally:
        _end(child)


def _end(child: Child) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.process.terminate()
    try:
        child.process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.process.pid, signal.SIGKILL)
        child.process.wait(_PATIENCE_S)


def capture(argv: Sequence[str | Path], core: int, timeout_s: float) -> str:
    """Run a program on one core to its end and answer what it printed.

    Raises:
        SystemExit: it failed; says what it printed.
    """
    done = subprocess.run(
        ["taskset", "-c", str(core), *argv],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout_s,
        check=False,
        text=True,
    )
    if done.returncode != 0:
        raise SystemExit(f"bench: `{argv[0]}` failed with {done.returncode}:\n{done.stderr}")
    return done.stdout


def died(child: Child) -> SystemExit:
    """The error for a program that ended before it was wanted, with the end of its output."""
    said = child.log.read_text(encoding="utf-8", errors="replace")[-2000:]
    return SystemExit(f"bench: {child.name} is not running, code {child.process.poll()}:\n{said}")


def settle() -> None:
    """Let the machine come to rest between two measurements."""
    time.sleep(0.2)
