"""The function library: named by its text, kept beside the one before it, never replaced."""

from pathlib import Path

import pytest

from mesh7_core.ledger import functions
from mesh7_core.ledger.protocol import Seen
from tests.core.ledger.redis_parts import EVERY_SERVER, connected, seen
from tests.peers import redis_servers

RELEASED = {0: ""}
"""Revision → name of the library in each release so far; a release adds its line."""
_EMPTY = "redis.register_function('{name}_nothing', function() return 1 end)\n"


def loaded(server: redis_servers.Server) -> set[str]:
    """The names of all libraries of a server."""
    answered = server.tell("FUNCTION", "LIST")
    assert isinstance(answered, list)
    return {entry[1].decode() for entry in answered}


def load(server: redis_servers.Server, name: str) -> None:
    text = f"#!lua name={name}\n" + _EMPTY.format(name=name)
    server.tell("FUNCTION", "LOAD", text)


def test_another_text_is_another_library() -> None:
    """Design 5: the library is named by its content hash, its functions too."""
    one, other = (functions.library_of(f"#!lua name=@LIBRARY@\n-- {text}") for text in "ab")
    assert one.name != other.name
    assert one.name.startswith(f"m7_{functions.REVISION}_")
    assert one.text == f"#!lua name={one.name}\n-- a"


def test_a_released_library_is_not_changed_under_its_revision() -> None:
    """A new text needs a new `REVISION`: by it a gateway knows which library is the older one."""
    ours = functions.library_of(functions.written())
    assert RELEASED.get(functions.REVISION, ours.name) == ours.name


@EVERY_SERVER
async def test_a_gateway_keeps_its_library_and_the_one_before_and_others_peoples(
    program: Path, tmp_path: Path
) -> None:
    """Issue 4: N and N-1 kept. What is newer, or not ours, stays too."""
    ours = functions.library_of(functions.written(), 5)
    with redis_servers.running(program, tmp_path) as server:
        for name in ("m7_1_a", "m7_3_b", "m7_4_c", "m7_6_d", "theirs", "m7_theirs"):
            load(server, name)
        async with connected(server.port, library=ours) as ledger:
            assert await seen(ledger) is Seen.ADMITTED
        assert loaded(server) == {"m7_4_c", "m7_6_d", "theirs", "m7_theirs", ours.name}


@EVERY_SERVER
@pytest.mark.promise("L8")
async def test_gateways_of_two_releases_count_together(program: Path, tmp_path: Path) -> None:
    """An update rolls: for a while both releases call the same store."""
    newer = functions.library_of(functions.written() + "\n-- newer\n", functions.REVISION + 1)
    with redis_servers.running(program, tmp_path) as server:
        async with connected(server.port) as old, connected(server.port, library=newer) as new:
            answers = [await seen(ledger) for ledger in (old, new, old, new)]
            assert answers == [Seen.ADMITTED] * 3 + [Seen.SPENT]


@EVERY_SERVER
async def test_gateways_that_start_together_load_it_once(program: Path, tmp_path: Path) -> None:
    with redis_servers.running(program, tmp_path) as server:
        async with connected(server.port) as one, connected(server.port) as two:
            assert [await seen(one), await seen(two)] == [Seen.ADMITTED] * 2
        assert loaded(server) == {functions.library_of(functions.written()).name}


@EVERY_SERVER
async def test_a_user_that_may_not_load_is_told_who_should(program: Path, tmp_path: Path) -> None:
    rules = ["on", "nopass", "~*", "&*", "+@all", "-function"]
    with redis_servers.running(program, tmp_path) as server:
        server.tell("ACL", "SETUSER", "gateway", *rules)
        async with connected(server.port, user="gateway") as ledger:
            assert await seen(ledger) is Seen.LOST
            assert "only a user with the right to FUNCTION can load it" in ledger.trouble()
            async with connected(server.port):
                assert await seen(ledger) is Seen.ADMITTED
