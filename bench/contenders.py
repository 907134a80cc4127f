"""Who is measured: a program that stands between the load and the upstream, or nobody."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bench import calls, children

_READY_WITHIN_S = 30.0
_STEP_S = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One row of the table.

    Attributes:
        argv: how its process is started; empty = none, the load goes to the upstream itself.
        port: where it listens on loopback.
        path: the request target of a call.
        names: known tools are called, or made-up ones.
        marker: must be in its answer, else the run is worth nothing.
        shares: the name of another contender whose process this row uses; empty = its own.
    """

    name: str
    argv: tuple[str, ...]
    port: int
    path: str
    names: calls.Names
    marker: str
    shares: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A contender that answers.

    Attributes:
        child: its process, None for direct.
        ready_s: from the process's start to the first right answer; None when it shares.
    """

    contender: Contender
    child: children.Child | None
    ready_s: float | None


def made_up(contender: Contender, marker: str) -> Contender:
    """The same process asked for tools that do not exist."""
    return replace(
        contender,
        name=f"{contender.name}, made-up names",
        names=calls.Names.MADE_UP,
        marker=marker,
        shares=contender.name,
    )


@contextlib.contextmanager
def all_started(contenders: list[Contender], core: int, folder: Path) -> Iterator[list[Started]]:
    """Every contender ready, one after the other, so that each has the core for itself."""
    with contextlib.ExitStack() as stack:
        started: dict[str, Started] = {}
        for contender in contenders:
            child, ready_s = None, None
            if contender.shares:
                child = started[contender.shares].child
            elif contender.argv:
                begun = time.monotonic()
                name = contender.name.replace(" ", "-").replace(",", "")
                argv = list(contender.argv)
                child = stack.enter_context(children.running(name, argv, core, folder))
                wait(contender, child)
                ready_s = time.monotonic() - begun
            wait(contender, child)
            started[contender.name] = Started(contender=contender, child=child, ready_s=ready_s)
        yield list(started.values())


def wait(contender: Contender, child: children.Child | None) -> None:
    """Return once it gives the right answer; end the run when it does not."""
    deadline = time.monotonic() + _READY_WITHIN_S
    while True:
        answer = calls.ask(contender.port, contender.path, contender.names) or ""
        if contender.marker in answer:
            return
        if child is not None and not child.is_alive:
            raise children.died(child)
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: {contender.name} does not answer rightly:\n{answer}")
        time.sleep(_STEP_S)
