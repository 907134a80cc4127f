"""The MCP clients behind `mesh7 stdio`: which processes an approver must not descend from.

The agent is not `mesh7 stdio` but the program that started it, and what asks for a call must not
answer for it (A5). Between the two may stand launchers, as in `uv run mesh7 stdio` or a script; a
shell that people type into is none: from it descends whatever they do. So, from `mesh7 stdio` up:

- a shell that gives its children a process group each (job control) is people's: stop before it;
- an init system, a user's own too, is nobody's: stop before it;
- a launcher is passed, and counts;
- the first program that is neither is the client, and counts; with a terminal, its parents of the
  same process group count too: they are the same command that somebody typed.

Taken when a client joins: a parent that ends later is lost to whoever looks later. A chain that
breaks off before the client is found is of no use: such a `mesh7 stdio` cannot join.
Pure: no clock, no network, no logging.
"""

import itertools
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from mesh7_sidecar.net.processes import Process

_SHELLS: Final = frozenset(
    {"ash", "bash", "csh", "dash", "elvish", "fish", "ksh", "nu", "sh", "tcsh", "xonsh", "zsh"}
)
_LAUNCHERS: Final = _SHELLS | {
    "env", "hatch", "mesh7", "nice", "nohup", "pdm", "pipx", "poetry", "pyenv", "rye", "setsid",
    "stdbuf", "timeout", "uv", "uvx",
}  # fmt: skip
_INITS: Final = frozenset(
    {"busybox", "catatonit", "docker-init", "dumb-init", "init", "launchd", "runit", "s6-svscan",
     "systemd", "tini"}
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One MCP client.

    Attributes:
        processes: pid and start time of all that it is.
        terminals: those that it runs in.
    """

    processes: frozenset[tuple[int, int]]
    terminals: frozenset[int]


UNSEEN: Final = (
    "what started `mesh7 stdio` cannot be told, so that nobody could keep it from approving its "
    "own calls – start it from a program that goes on, as the same user; where `/proc` is mounted "
    "with `hidepid`, other users' processes cannot be seen"
)
"""Why a `mesh7 stdio` without a client that can be told may not call."""


def client_of(chain: tuple[Process, ...]) -> Client | None:
    """The client of a `mesh7 stdio` whose ancestors these are, itself first; None = not told."""
    own = _own(chain)
    if own is None:
        return None
    return Client(
        processes=frozenset((each.pid, each.started) for each in own),
        terminals=frozenset(each.terminal for each in own if each.terminal),
    )


class Clients:
    """Who has joined, for as long as they are."""

    def __init__(self) -> None:
        self._joined: dict[Hashable, Client] = {}

    def join(self, key: Hashable, chain: tuple[Process, ...]) -> bool:
        """A `mesh7 stdio` is here; `key` is how it will leave. Whether its client is known."""
        client = client_of(chain)
        if client is None:
            return False
        self._joined[key] = client
        return True

    def leave(self, key: Hashable) -> None:
        """It has left."""
        self._joined.pop(key, None)

    def parent_of(self, chain: tuple[Process, ...]) -> Process | None:
        """The nearest in the chain that belongs to a client; None when none does."""
        for process in chain:
            place = process.pid, process.started
            if any(place in client.processes for client in self._joined.values()):
                return process
        return None

    def is_in_terminal(self, terminal: int) -> bool:
        """Whether a client runs in this terminal."""
        return bool(terminal) and any(
            terminal in client.terminals for client in self._joined.values()
        )


def _own(chain: tuple[Process, ...]) -> list[Process] | None:
    own = list(chain[:1])
    is_client_found = False
    for child, process in itertools.pairwise(chain):
        if _name(process) in _INITS or _is_typed_into(process, child):
            return own
        if is_client_found and not (process.terminal and process.group == child.group):
            return own
        own.append(process)
        is_client_found = is_client_found or _name(process) not in _LAUNCHERS
    return own if is_client_found or _is_whole(chain) else None


def _is_whole(chain: tuple[Process, ...]) -> bool:
    """Whether it ends at a process that has no parent."""
    return bool(chain) and not chain[-1].parent


def _is_typed_into(process: Process, child: Process) -> bool:
    """A shell with job control: what it started is a group of its own in the shell's session."""
    return (
        _name(process) in _SHELLS
        and bool(process.terminal)
        and process.session == child.session
        and process.group != child.group
    )


def _name(process: Process) -> str:
    """`zsh` of a login shell's `-zsh` too, and of a path."""
    return process.program.rpartition("/")[2].lstrip("-")
