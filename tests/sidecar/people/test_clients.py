"""Which processes count as the MCP client behind a `mesh7 stdio`."""

from dataclasses import replace

import pytest

from mesh7_sidecar.net.processes import Process
from mesh7_sidecar.people.clients import Clients, client_of


def _chain(*rows: tuple[int, str, int, int, int]) -> tuple[Process, ...]:
    """`(pid, program, group, session, terminal)` from `mesh7 stdio` up."""
    return tuple(
        Process(
            pid=pid, parent=0, group=group, session=session, terminal=terminal,
            started=1000 - place, uid=1000, program=program,
        )
        for place, (pid, program, group, session, terminal) in enumerate(rows)
    )  # fmt: skip


INIT = (1, "/usr/lib/systemd/systemd", 1, 1, 0)
SHELL = (50, "/usr/bin/zsh", 50, 50, 34817)
CASES = {
    "a client in a terminal, its own command and nothing above": (
        _chain((70, "python3", 60, 50, 34817), (60, "node", 60, 50, 34817), SHELL, INIT),
        {70, 60},
    ),
    "a client that gives its servers a session": (
        _chain((70, "python3", 70, 70, 0), (60, "python3", 60, 50, 34817), SHELL, INIT),
        {70, 60},
    ),
    "a client that gives its servers a group": (
        _chain((70, "python3", 70, 50, 34817), (60, "codex", 60, 50, 34817), SHELL, INIT),
        {70, 60},
    ),
    "launchers are passed": (
        _chain(
            (70, "python3", 60, 50, 34817),
            (68, "/usr/bin/uv", 60, 50, 34817),
            (67, "/bin/sh", 60, 50, 34817),
            (60, "node", 60, 50, 34817),
            SHELL,
            INIT,
        ),
        {70, 68, 67, 60},
    ),
    "the same command's parents count": (
        _chain(
            (70, "python3", 60, 50, 34817),
            (65, "node", 60, 50, 34817),
            (60, "npm", 60, 50, 34817),
            SHELL,
            INIT,
        ),
        {70, 65, 60},
    ),
    "a desktop program, and not the desktop": (
        _chain(
            (70, "python3", 40, 40, 0),
            (60, "/opt/app/client", 40, 40, 0),
            (40, "/usr/bin/gnome-shell", 40, 40, 0),
            INIT,
        ),
        {70, 60},
    ),
    "a user's own init is nobody's": (
        _chain((70, "python3", 60, 60, 0), (40, "/usr/lib/systemd/systemd", 40, 40, 0), INIT),
        {70},
    ),
    "typed into a shell by hand": (
        _chain((70, "python3", 70, 50, 34817), SHELL, INIT),
        {70},
    ),
    "a login shell's name": (
        _chain((70, "python3", 70, 50, 34817), (50, "-bash", 50, 50, 34817), INIT),
        {70},
    ),
    "an agent that is the first process of a container": (
        _chain((7, "python3", 1, 1, 0), (1, "/usr/local/bin/node", 1, 1, 0)),
        {7, 1},
    ),
}


@pytest.mark.promise("A5")
@pytest.mark.parametrize("case", CASES)
def test_the_client_is_who_started_mesh7_stdio(case: str) -> None:
    """docs/administrator/approvers.md."""
    chain, pids = CASES[case]
    found = client_of(chain)
    assert found is not None
    assert {pid for pid, _ in found.processes} == pids


BROKEN_OFF = {
    "nothing is known": (),
    "its parent cannot be seen": _chain((70, "python3", 70, 70, 0)),
    "a launcher is all that can be seen": _chain(
        (70, "python3", 70, 70, 0), (68, "/usr/bin/uv", 68, 68, 0)
    ),
}


@pytest.mark.promise("A5")
@pytest.mark.parametrize("case", BROKEN_OFF)
def test_a_client_that_cannot_be_told_does_not_join(case: str) -> None:
    """What nobody remembers nobody refuses: docs/administrator/approvers.md, `hidepid`."""
    *seen, last = BROKEN_OFF[case] or [None]
    chain = () if last is None else (*seen, replace(last, parent=50))
    clients = Clients()
    assert client_of(chain) is None
    assert not clients.join("one", chain)
    assert clients.parent_of(chain) is None


@pytest.mark.promise("A5")
def test_a_client_that_is_seen_joins_whatever_started_it() -> None:
    """With `hidepid` the users' own processes are seen, and those of root are not."""
    (own, client) = _chain((70, "python3", 60, 60, 0), (60, "node", 60, 60, 0))
    assert Clients().join("one", (own, replace(client, parent=50)))


@pytest.mark.promise("A5")
def test_another_process_with_a_clients_old_pid_is_not_taken_for_it() -> None:
    """Pids are given again; the start time tells."""
    clients = Clients()
    clients.join("one", _chain((70, "python3", 60, 60, 0), (60, "node", 60, 60, 0)))
    (_, agent) = _chain((70, "python3", 60, 60, 0), (60, "node", 60, 60, 0))
    later = Process(
        pid=60, parent=1, group=60, session=60, terminal=5, started=5000, uid=1000, program="zsh"
    )
    assert clients.parent_of((agent,)) == agent
    assert clients.parent_of((later,)) is None


def test_who_has_left_is_no_client() -> None:
    clients = Clients()
    chain = _chain((70, "python3", 60, 60, 34817), (60, "node", 60, 60, 34817))
    clients.join("one", chain)
    assert clients.is_in_terminal(34817)
    clients.leave("one")
    clients.leave("one")
    assert clients.parent_of(chain) is None
    assert not clients.is_in_terminal(34817)
