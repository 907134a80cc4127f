"""What the kernel says of who is at the other end of a unix socket."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mesh7_sidecar.net import listener, peer, processes
from mesh7_sidecar.net.exchange import Exchange
from mesh7_sidecar.net.processes import Process
from tests.sidecar.net.conftest import Listen

CONNECT_AND_WAIT = """\
import socket, sys
own = socket.socket(socket.AF_UNIX)
own.connect(sys.argv[1])
sys.stdin.read()
"""


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends that this process holds."""
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.fixture
async def waiting(tmp_path: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, peer.Caller]]:
    """A process that has connected and waits for the end of its stdin, and how it looks to us."""
    place = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))
        server.listen()
        server.setblocking(False)  # noqa: FBT003 - the socket module's signature
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", "-c", CONNECT_AND_WAIT, str(place),
            stdin=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(30):
            end, _ = await asyncio.get_running_loop().sock_accept(server)
        with end:
            caller = peer.caller(end)
            assert caller is not None
            yield process, caller
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


def test_a_peer_is_who_connected(pair: tuple[socket.socket, socket.socket]) -> None:
    caller = peer.caller(pair[0])
    assert caller is not None
    found = caller.look()
    assert found is not None
    assert (found.pid, found.uid, found.gid) == (os.getpid(), os.geteuid(), os.getegid())
    assert Path(found.chain[0].program) == Path(sys.executable).resolve()
    assert found.chain[1].pid == os.getppid()
    assert found.chain[0].session == os.getsid(0)


async def test_another_process_has_us_for_its_parent(
    waiting: tuple[asyncio.subprocess.Process, peer.Caller],
) -> None:
    process, caller = waiting
    found = caller.look()
    assert found is not None
    assert [each.pid for each in found.chain[:2]] == [process.pid, os.getpid()]


@pytest.mark.promise("A5")
async def test_a_process_that_has_ended_has_no_say(
    waiting: tuple[asyncio.subprocess.Process, peer.Caller],
) -> None:
    """Its pid may be somebody else's by now, and its connection in other hands."""
    process, caller = waiting
    assert process.stdin is not None
    process.stdin.close()
    async with asyncio.timeout(30):
        await process.wait()
    assert caller.look() is None


@pytest.mark.promise("A5")
async def test_tcp_knows_nobody(listen: Listen) -> None:
    seen: list[peer.Caller | None] = []

    def app(exchange: Exchange) -> None:
        seen.append(exchange.peer)
        exchange.respond(200, [], b"")

    reader, writer = await asyncio.open_connection(*(await listen(app)).addresses[0])
    writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    assert seen == [None]


async def test_an_exchange_on_a_unix_socket_knows_its_peer(listen: Listen, tmp_path: Path) -> None:
    seen: list[peer.Peer | None] = []

    def app(exchange: Exchange) -> None:
        caller = exchange.peer
        seen.append(caller.look() if caller is not None else None)
        exchange.respond(200, [], b"")

    await listen(app, bound=listener.unix_socket(tmp_path / "s"))
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
    writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    (found,) = seen
    assert found is not None
    assert found.pid == os.getpid()


def _process(pid: int, parent: int, started: int) -> Process:
    return Process(
        pid=pid, parent=parent, group=pid, session=pid, terminal=0, started=started, uid=0,
        program="p",
    )  # fmt: skip


def test_a_lineage_ends_where_the_parent_is_younger_than_its_child() -> None:
    """Another process has the pid of a parent that ended."""
    known = {3: _process(3, 2, 30), 2: _process(2, 1, 40), 1: _process(1, 0, 1)}
    assert processes.lineage(3, known.get) == (known[3],)


def test_a_lineage_that_changes_all_the_time_is_not_known() -> None:
    looks = iter(range(1000))

    def look(pid: int) -> Process | None:
        return _process(pid, 0, next(looks))

    assert processes.lineage(3, look) == ()


def test_a_lineage_without_end_is_not_known() -> None:
    assert processes.lineage(3, lambda pid: _process(pid, pid, 1)) == ()


@pytest.mark.promise("A5")
def test_who_began_a_session_is_known_of_whoever_left_its_parents() -> None:
    """It forked twice, and stayed in the session that a child of process 2 had opened."""
    leader, starter = _process(5, 2, 50), _process(2, 1, 20)
    first = _process(1, 0, 1)
    left = replace(_process(9, 1, 90), session=5)
    known = {9: left, 5: leader, 2: starter, 1: first}
    assert processes.beginnings((left, first), known.get) == (leader, starter)
    assert processes.beginnings((starter, first), known.get) == ()


def test_a_session_that_nobody_leads_any_more_tells_nothing() -> None:
    alone = replace(_process(9, 1, 90), session=5)
    known = {9: alone, 1: _process(1, 0, 1)}
    assert processes.beginnings((alone, known[1]), known.get) == ()


def test_a_name_with_brackets_and_blanks_is_read_as_one(tmp_path: Path) -> None:
    """A process chooses its name, and could otherwise choose its parent."""
    program = tmp_path / "a) S 1 1 (b"
    program.symlink_to(sys.executable)
    ours, theirs = os.pipe()
    pid = os.posix_spawn(
        program, [str(program), "-I", "-S", "-c", "import os; os.write(1, b'.'); os.read(0, 1)"],
        {}, file_actions=[(os.POSIX_SPAWN_DUP2, theirs, 1), (os.POSIX_SPAWN_DUP2, ours, 0)],
    )  # fmt: skip
    found = processes.look(pid)
    os.write(theirs, b"..")
    os.waitpid(pid, 0)
    os.close(ours)
    os.close(theirs)
    assert found is not None
    assert found.parent == os.getpid()
