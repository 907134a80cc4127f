"""A Redis that fails in each way that it can: the ledger says LOST, why, and comes back."""

import asyncio
import socket
from pathlib import Path

import pytest

from mesh7_core.ledger.asked import Request
from mesh7_core.ledger.protocol import LOST, OBSERVED_LOST, Caps, Changed, Observed, Seen
from mesh7_core.ledger.redis import RedisLedger
from mesh7_core.ledger.redis_url import RedisServer
from tests.conftest import Eventually
from tests.core.ledger.contract import (
    MINUTE,
    SECOND,
    observed,
    opened,
    plain,
    request,
    vote,
    window,
)
from tests.core.ledger.redis_parts import (
    EVERY_SERVER,
    NAMESPACE,
    SECRET,
    WRONG,
    asked_until,
    comes_back,
    connected,
    seen,
)
from tests.peers import redis_servers
from tests.peers.speaking import speaking


@EVERY_SERVER
@pytest.mark.promise("L6")
async def test_a_killed_store_is_lost_at_once_and_found_again_when_it_is_back(
    program: Path, tmp_path: Path, eventually: Eventually
) -> None:
    """Issue 4, faults: Redis killed."""
    with redis_servers.running(program, tmp_path) as server:
        async with connected(server.port) as ledger:
            assert await seen(ledger) is Seen.ADMITTED
            server.kill()
            assert await seen(ledger) is Seen.LOST
            assert await ledger.open(request(), Caps()) is LOST
            assert await ledger.vote("r-1", vote()) is LOST
            assert await ledger.requests() is LOST
            assert f"redis at 127.0.0.1:{server.port}: " in ledger.trouble()
            server.start()
            await comes_back(ledger)
            await eventually(lambda: ledger.trouble() == "")


@EVERY_SERVER
@pytest.mark.promise("L6")
async def test_a_store_that_came_back_empty_says_for_one_window_that_it_does_not_know(
    program: Path, tmp_path: Path
) -> None:
    """Design 5: an unknown epoch is a store loss for one window length."""
    told: list[str] = []
    short, long, lifetime = (
        window("short", 1000, SECOND), window("long", 1000, MINUTE), window("ever", 1000, 0),
    )  # fmt: skip
    with redis_servers.running(program, tmp_path) as server:
        async with connected(server.port, on_epoch=told.append) as ledger:
            assert (await observed(ledger, plain(short, long, lifetime))).unknown == ()
            assert len(told) == 1
            server.kill()
            server.start()
            await comes_back(ledger)
            assert (await observed(ledger, plain(short, long, lifetime))).unknown == (0, 1, 2)
            now_known = await asked_until(
                ledger, plain(short, long, lifetime), lambda found: 0 not in found.unknown
            )
            assert now_known.unknown == (1, 2)
            assert len(told) == 2
        async with connected(server.port, known_epoch=told[1]) as restarted:
            found = await observed(restarted, plain(short, long, lifetime))
            assert found.unknown == (1, 2), "a restart must not forget that the past is lost"
        async with connected(server.port, known_epoch=told[0]) as elsewhere:
            assert (await observed(elsewhere, plain(long))).unknown == (0,)
        async with connected(server.port) as fresh:
            assert (await observed(fresh, plain(long))).unknown == ()


@EVERY_SERVER
@pytest.mark.promise("L6")
async def test_a_store_that_is_blocked_is_lost_and_serves_later(
    program: Path, tmp_path: Path
) -> None:
    """Issue 4, faults: blocked for seconds."""
    with redis_servers.running(program, tmp_path) as server:
        async with connected(server.port) as ledger:
            assert await seen(ledger) is Seen.ADMITTED
            server.freeze()
            assert await seen(ledger) is Seen.LOST
            assert "does not answer within a second" in ledger.trouble()
            told: list[Observed] = []
            ledger.observe(plain(window()), told.append)
            assert told == [OBSERVED_LOST], "while it is away nobody waits"
            server.thaw()
            await comes_back(ledger)


@EVERY_SERVER
@pytest.mark.promise("L1")
async def test_a_slow_store_is_waited_for(program: Path, tmp_path: Path) -> None:
    """Issue 4, faults: slow (200 ms added)."""
    with redis_servers.running(program, tmp_path) as server:
        async with redis_servers.proxying(server.port) as proxy, connected(proxy.port) as ledger:
            proxy.delay_s = 0.2
            answers = await asyncio.gather(*(seen(ledger) for _ in range(5)))
            assert answers == [Seen.ADMITTED] * 3 + [Seen.SPENT] * 2
            identity = await opened(ledger, request())
            assert isinstance(await ledger.vote(identity, vote()), Request)


@EVERY_SERVER
@pytest.mark.promise("L8")
async def test_counts_survive_a_fail_over(program: Path, tmp_path: Path) -> None:
    """Issue 4, faults: failed over. What had reached the replica is known there."""
    with (
        redis_servers.running(program, tmp_path / "first") as first,
        redis_servers.running(
            program, tmp_path / "second", [f"replicaof 127.0.0.1 {first.port}"]
        ) as second,
    ):
        async with (
            redis_servers.proxying(first.port) as proxy,
            connected(proxy.port) as ledger,
            connected(first.port) as other,
        ):
            assert [await seen(ledger), await seen(other)] == [Seen.ADMITTED, Seen.ADMITTED]
            first.tell("SET", "mark", 1)
            await second.eventually("GET", "mark", answers=b"1")
            first.kill()
            second.tell("REPLICAOF", "NO", "ONE")
            proxy.leads_to = second.port
            proxy.cut()
            assert (await comes_back(ledger)).unknown == ()
            assert [await seen(ledger), await seen(ledger)] == [Seen.ADMITTED, Seen.SPENT]


@EVERY_SERVER
@pytest.mark.promise("L6")
async def test_a_replica_takes_no_counts_and_its_place_is_looked_up_again(
    program: Path, tmp_path: Path
) -> None:
    """Issue 4, faults: read-only. An address can lead elsewhere after a fail-over."""
    with (
        redis_servers.running(program, tmp_path / "first") as first,
        redis_servers.running(program, tmp_path / "second") as second,
    ):
        async with (
            redis_servers.proxying(first.port) as proxy,
            connected(proxy.port) as ledger,
        ):
            assert await seen(ledger) is Seen.ADMITTED
            first.tell("REPLICAOF", "127.0.0.1", second.port)
            assert await seen(ledger) is Seen.LOST
            # One that has taken the other's place already has not even our functions.
            words = ("read-only replica", "lacks our function library")
            assert any(one in ledger.trouble() for one in words), ledger.trouble()
            proxy.leads_to = second.port
            await comes_back(ledger)


@EVERY_SERVER
@pytest.mark.promise("L6")
async def test_a_full_store_takes_nothing_and_loses_nothing(program: Path, tmp_path: Path) -> None:
    """Issue 4, faults: out of memory (`maxmemory`, `noeviction`)."""
    with redis_servers.running(program, tmp_path, ["maxmemory-policy noeviction"]) as server:
        async with connected(server.port) as ledger:
            assert await seen(ledger) is Seen.ADMITTED
            server.tell("CONFIG", "SET", "maxmemory", 1)
            assert await seen(ledger) is Seen.LOST
            assert "memory is full" in ledger.trouble()
            server.tell("CONFIG", "SET", "maxmemory", 0)
            answers = [await seen(ledger) for _ in range(3)]
            assert answers == [Seen.ADMITTED, Seen.ADMITTED, Seen.SPENT]
            assert ledger.trouble() == ""


@EVERY_SERVER
@pytest.mark.promise("L6")
async def test_a_wrong_password_is_said_without_the_password(program: Path, tmp_path: Path) -> None:
    """Issue 4, faults: wrong password."""
    with redis_servers.running(program, tmp_path, [f"requirepass {SECRET}"]) as server:
        async with connected(server.port, password=WRONG) as ledger:
            assert await seen(ledger) is Seen.LOST
            assert "refuses the user or the password" in ledger.trouble()
            assert WRONG not in ledger.trouble()
        async with connected(server.port) as ledger:
            assert await seen(ledger) is Seen.LOST
            assert "wants a password" in ledger.trouble()
        async with connected(server.port, password=SECRET) as ledger:
            assert await seen(ledger) is Seen.ADMITTED


@EVERY_SERVER
@pytest.mark.promise("L6")
async def test_a_library_that_is_gone_is_a_store_loss_until_somebody_loads_it(
    program: Path, tmp_path: Path
) -> None:
    """Issue 4, faults: wrong version of the function library."""
    with redis_servers.running(program, tmp_path) as server:
        async with connected(server.port, load=False) as ledger:
            assert await seen(ledger) is Seen.LOST
            assert "function library" in ledger.trouble()
            async with connected(server.port, load=True) as loader:
                assert await seen(ledger) is Seen.ADMITTED
                server.tell("FUNCTION", "FLUSH")
                assert await seen(ledger) is Seen.LOST
                assert await seen(loader) is Seen.LOST
                await comes_back(loader)
                assert await seen(ledger) is Seen.ADMITTED


@pytest.mark.promise("L6")
@pytest.mark.parametrize(
    "spoken", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+OK\r\n+OK\r\n+OK\r\n", b"%\xff\xff\r\n", b""]
)
async def test_a_server_that_speaks_something_else_is_lost(spoken: bytes) -> None:
    """Issue 4, faults: garbage instead of RESP."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(spoken)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with speaking(speak) as port, connected(port) as ledger:
        assert await seen(ledger) is Seen.LOST
        assert ledger.trouble() != ""


@pytest.mark.promise("L6")
async def test_a_port_where_nobody_listens_is_lost(free_port: int) -> None:
    async with connected(free_port) as ledger:
        assert await seen(ledger) is Seen.LOST
        assert ledger.trouble() == (
            f"redis at 127.0.0.1:{free_port}: nobody listens there; check host and port, and"
            " whether it runs"
        )


@pytest.mark.promise("L6")
async def test_a_store_that_was_not_reached_yet_is_lost_and_said_to_be(free_port: int) -> None:
    """/readyz of a pod called a store well that was still being connected to."""
    server = RedisServer(host="127.0.0.1", port=free_port)
    ledger = RedisLedger(server, NAMESPACE, load=True)
    assert await seen(ledger) is Seen.LOST
    assert ledger.trouble() == (
        f"redis at 127.0.0.1:{free_port}: it does not answer yet; we go on trying"
    )


@pytest.mark.promise("L6")
async def test_a_server_that_accepts_and_says_nothing_is_lost() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with connected(silent.getsockname()[1]) as ledger:
            assert await seen(ledger) is Seen.LOST
            assert "does not answer" in ledger.trouble()


@EVERY_SERVER
async def test_who_may_not_listen_serves_calls_and_says_that_it_hears_nothing(
    program: Path, tmp_path: Path
) -> None:
    """Limits need no messages; that approvals are seen late must be said."""
    with redis_servers.running(program, tmp_path) as server:
        server.tell("ACL", "SETUSER", "deaf", "on", "nopass", "~*", "+@all", "-subscribe")
        async with connected(server.port, user="deaf") as ledger:
            assert await seen(ledger) is Seen.ADMITTED
            assert ledger.trouble() == (
                f"redis at 127.0.0.1:{server.port}: the user may not do this; give it the rules of"
                " docs/administrator/redis.md; what others decide is seen when a call is repeated"
            )


@EVERY_SERVER
async def test_after_a_lost_connection_everything_may_have_changed(
    program: Path, tmp_path: Path, eventually: Eventually
) -> None:
    """The protocol: `Changed("")` after a lost connection, for what was missed."""
    told: list[Changed] = []
    with redis_servers.running(program, tmp_path) as server:
        async with (
            redis_servers.proxying(server.port) as proxy,
            connected(proxy.port) as ledger,
            connected(server.port) as other,
        ):
            end = ledger.subscribe(told.append)
            identity = await opened(other, request())
            await eventually(lambda: told == [Changed(identity)])
            proxy.cut()
            await eventually(lambda: told == [Changed(identity), Changed("")])
            await other.vote(identity, vote())
            await eventually(lambda: told[2:] == [Changed(identity)])
            end()


@EVERY_SERVER
@pytest.mark.promise("L6")
async def test_a_long_message_costs_its_connection_and_not_the_memory(
    program: Path, tmp_path: Path, eventually: Eventually
) -> None:
    """Review of issue 5: twenty of 31 MB, by whoever may publish there, took 269 MB."""
    told: list[Changed] = []
    with redis_servers.running(program, tmp_path) as server:
        async with connected(server.port) as ledger:
            ledger.subscribe(told.append)
            server.tell("PUBLISH", "m7:{shop}:changed", b"x" * 60_000)
            await eventually(lambda: told == [Changed("x" * 60_000)])
            server.tell("PUBLISH", "m7:{shop}:changed", b"x" * 31_000_000)
            await eventually(lambda: told[1:] == [Changed("")])
            assert await seen(ledger) is Seen.ADMITTED, "calls go another way"
            server.tell("PUBLISH", "m7:{shop}:changed", b"r-1")
            await eventually(lambda: told[2:] == [Changed("r-1")])
