"""What the kernel says of a process: its parent, its terminal, when it started, its program.

Everybody may read most of this of everybody, so none of it is secret; and a process may change
much of its own (its name, its parent by forking twice), so none of it is proof (THREAT_MODEL.md).
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MAXIMUM_DEPTH: Final = 64
"""Of a chain of ancestors; a longer one is taken for unknown."""
_LOOKS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process at one moment.

    Attributes:
        parent: its pid; 0 = none that can be seen from here.
        group: of processes, as job control knows it.
        terminal: the controlling terminal's device number; 0 = none.
        started: comparable with others' since the machine started; with the pid it names one
            process, which a pid alone does not: pids are given again.
        uid: whom it runs as.
        program: the executable's path; its bare name where the path may not be read.
    """

    pid: int
    parent: int
    group: int
    session: int
    terminal: int
    started: int
    uid: int
    program: str


Look = Callable[[int], Process | None]
"""One process by its pid; None when there is none, or it may not be seen."""


def look(pid: int) -> Process | None:
    """What is known of a process now."""
    if sys.platform == "darwin":
        from mesh7_sidecar.net import darwin  # noqa: PLC0415 - ctypes is for that system alone

        found = darwin.look(pid)
        return None if found is None else Process(**found)
    return _look_on_linux(pid)


def lineage(pid: int, look_at: Look = look) -> tuple[Process, ...]:
    """The process, its parent, and so on to the first; empty when it cannot be told for sure.

    A parent that ends while we read leaves a chain of two times, so two looks must agree.
    """
    earlier = _chain(pid, look_at)
    for _ in range(_LOOKS):
        now = _chain(pid, look_at)
        if now == earlier:
            return now
        earlier = now
    return ()


def beginnings(chain: tuple[Process, ...], look_at: Look = look) -> tuple[Process, ...]:
    """Who began the sessions that these are in, with their own ancestors; none of `chain`.

    Whoever forks twice loses its parents, and stays in the session unless it opens another. A
    session whose first process has ended tells nothing.
    """
    known = {each.pid for each in chain}
    found: list[Process] = []
    pending = [each.session for each in chain]
    while pending and len(found) < MAXIMUM_DEPTH:
        leader = pending.pop()
        if leader in known:
            continue
        for process in lineage(leader, look_at):
            if process.pid in known:
                break
            known.add(process.pid)
            found.append(process)
            pending.append(process.session)
    return tuple(found)


def _chain(pid: int, look_at: Look) -> tuple[Process, ...]:
    found: list[Process] = []
    while pid > 0 and len(found) < MAXIMUM_DEPTH:
        process = look_at(pid)
        if process is None:
            break
        if found and process.started > found[-1].started:
            break  # younger than its child: another process has the parent's pid by now
        found.append(process)
        pid = process.parent
    return () if len(found) == MAXIMUM_DEPTH else tuple(found)


def _look_on_linux(pid: int) -> Process | None:
    place = Path("/proc", str(pid))
    try:
        text = (place / "stat").read_bytes()
        uid = place.stat().st_uid
    except OSError:
        return None
    # The name stands in brackets and may hold brackets and blanks: only the last one ends it.
    start, end = text.find(b"("), text.rfind(b")")
    fields = text[end + 2 :].split()
    name = text[start + 1 : end].decode(errors="backslashreplace")
    return Process(
        pid=pid, parent=int(fields[1]), group=int(fields[2]), session=int(fields[3]),
        terminal=int(fields[4]), started=int(fields[19]), uid=uid, program=_path(place, name),
    )  # fmt: skip


def _path(place: Path, name: str) -> str:
    try:
        return os.fsencode((place / "exe").readlink()).decode(errors="backslashreplace")
    except OSError:  # of another user, or one that has ended
        return name
