"""Many gateways on one Redis: one count, one approval, one write a turn, nothing that grows."""

import asyncio
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from mesh7_core.ledger import shortening
from mesh7_core.ledger.approvals import State
from mesh7_core.ledger.asked import Refused, Request
from mesh7_core.ledger.protocol import Caps, Seen, Use
from tests.core.ledger.contract import (
    DAY,
    MINUTE,
    SECOND,
    asked,
    observed,
    opened,
    plain,
    request,
    rule,
    vote,
    window,
)
from tests.core.ledger.redis_parts import EVERY_SERVER, NAMESPACE, connected, seen
from tests.peers import redis_servers

PREFIX = f"m7:{{{NAMESPACE}}}:"


@EVERY_SERVER
@pytest.mark.promise("L1", "AG25")
async def test_of_five_hundred_callers_over_three_gateways_exactly_the_maximum_passes(
    program: Path, tmp_path: Path
) -> None:
    """Issue 4, limits: a burst of 500 callers over three gateways against `max: 100`."""
    limited = plain(window(maximum=100))
    with redis_servers.running(program, tmp_path) as server:
        async with (
            connected(server.port) as one,
            connected(server.port) as two,
            connected(server.port) as three,
        ):
            gateways = [one, two, three]
            answers = await asyncio.gather(
                *(seen(gateways[number % 3], limited) for number in range(500))
            )
    assert Counter(answers) == {Seen.ADMITTED: 100, Seen.SPENT: 400}


@EVERY_SERVER
@pytest.mark.promise("AG25", "D1")
async def test_of_many_claims_over_three_gateways_exactly_one_succeeds(
    program: Path, tmp_path: Path
) -> None:
    """AgentGuard spent one approval once per replica."""
    with redis_servers.running(program, tmp_path) as server:
        async with (
            connected(server.port) as one,
            connected(server.port) as two,
            connected(server.port) as three,
        ):
            identity = await opened(one, request())
            await two.vote(identity, vote())
            claims = await asyncio.gather(
                *(home.claim(identity, "sha256:a", ()) for home in (one, two, three) * 10)
            )
            used = [claim for claim in claims if isinstance(claim, Request)]
            assert [claim.state for claim in used] == [State.USED]
            assert sum(isinstance(claim, Refused) for claim in claims) == 29


@EVERY_SERVER
@pytest.mark.promise("AG25")
async def test_votes_that_race_over_gateways_all_count(program: Path, tmp_path: Path) -> None:
    """Each is exchanged for the version that it was worked out from, or tried once more."""
    three_people = request(asking=(rule(count=3),))
    with redis_servers.running(program, tmp_path) as server:
        async with connected(server.port) as one, connected(server.port) as two:
            identity = await opened(one, three_people)
            await asyncio.gather(
                one.vote(identity, vote("lea")),
                two.vote(identity, vote("tom")),
                one.vote(identity, vote("ida")),
            )
            found = await two.request(identity)
            assert isinstance(found, Request)
            assert found.state is State.APPROVED
            assert sorted(one.name for one in found.votes) == ["ida", "lea", "tom"]


@EVERY_SERVER
@pytest.mark.promise("L1")
async def test_all_calls_of_one_turn_go_out_in_one_write(program: Path, tmp_path: Path) -> None:
    """Issue 4, Redis: concurrent calls of one event-loop turn share one pipeline."""
    with redis_servers.running(program, tmp_path) as server:
        async with (
            redis_servers.proxying(server.port) as proxy,
            connected(proxy.port) as ledger,
        ):
            proxy.writes.clear()
            answers = await asyncio.gather(*(seen(ledger) for _ in range(50)))
            assert Counter(answers) == {Seen.ADMITTED: 3, Seen.SPENT: 47}
            assert [written.count(b"FCALL") for written in proxy.writes] == [50]


@EVERY_SERVER
@pytest.mark.promise("D35", "L8")
async def test_every_key_goes_by_itself_and_none_grows_with_the_calls(
    program: Path, tmp_path: Path
) -> None:
    """Issue 4: keys expire; nothing grows with the number of calls."""
    with redis_servers.running(program, tmp_path) as server:
        async with connected(server.port) as ledger:
            busy = plain(
                window("busy", 1_000_000, MINUTE),
                window("session", 1_000_000, 0, DAY),
                repeats=(window("loop", 1_000_000, SECOND),),
            )
            for _ in range(20):
                await asyncio.gather(*(observed(ledger, busy) for _ in range(100)))
            await observed(ledger, plain(window("ever", 9, 0)))
            now_ms = await ledger.now_ms()
            assert isinstance(now_ms, int)
            expiring = Use("grant", 5, now_ms + DAY)
            await observed(ledger, asked(window("granted"), uses=((expiring,),)))
            await observed(ledger, asked(window("held")))
            identity = await opened(ledger, request())
            await ledger.vote(identity, vote())
            await ledger.claim(identity, "sha256:a", [window("held")])
            await opened(ledger, request(2, digest="sha256:b"))
            await ledger.stand("veto", "{}", "lea")
            keys = sorted(str(key, "utf-8") for key in listed(server.tell("KEYS", "*")))
            lasting = [key for key in keys if server.tell("PTTL", key) == -1]
            assert all(key.startswith(PREFIX) for key in keys)
            assert lasting == [f"{PREFIX}epoch", f"{PREFIX}standing", f"{PREFIX}w:ever"]
            assert int(str(server.tell("LLEN", f"{PREFIX}w:session"))) == 1
            assert int(str(server.tell("LLEN", f"{PREFIX}w:busy"))) <= 257
            assert int(str(server.tell("LLEN", f"{PREFIX}r:loop"))) <= 257


@EVERY_SERVER
@pytest.mark.promise("D35", "D36")
async def test_closed_requests_are_bounded_and_the_longest_closed_go_first(
    program: Path, tmp_path: Path
) -> None:
    """flux7-mesh kept all for ever, and a listing walked through them."""
    with redis_servers.running(program, tmp_path) as server:
        async with connected(server.port) as ledger:
            identity = await opened(ledger, request())
            await ledger.withdraw(identity)
            now_ms = await ledger.now_ms()
            assert isinstance(now_ms, int)
            # As if ten thousand others had closed since.
            others = [(now_ms + 3 * DAY, f"r-{number}") for number in range(9_999)]
            server.tell("ZADD", f"{PREFIX}requests", *(word for pair in others for word in pair))
            last = await opened(ledger, request(2, digest="sha256:b"))
            assert server.tell("EXISTS", f"{PREFIX}q:{identity}") == 0
            assert server.tell("EXISTS", f"{PREFIX}q:{last}") == 1
            assert server.tell("ZCARD", f"{PREFIX}requests") == 10_000


@EVERY_SERVER
async def test_namespaces_do_not_meet(program: Path, tmp_path: Path) -> None:
    """Design 5: the key of a window names its namespace."""
    with redis_servers.running(program, tmp_path) as server:
        async with (
            connected(server.port, namespace="shop") as shop,
            connected(server.port, namespace="bank") as bank,
        ):
            assert [await seen(shop) for _ in range(4)][-1] is Seen.SPENT
            assert await seen(bank) is Seen.ADMITTED
            await opened(shop, request())
            assert await bank.requests() == ()


def listed(reply: object) -> list[bytes]:
    assert isinstance(reply, list)
    return reply


@EVERY_SERVER
@pytest.mark.promise("L8", "D35")
async def test_long_requests_are_read_in_pages_and_calls_are_answered_in_between(
    program: Path, tmp_path: Path
) -> None:
    """Seen: one answer of 350 MB dropped the connection, and 43 limited calls were refused."""
    many, caps = 60, Caps(per_pod=1000, per_namespace=1000)
    text = '{"text":"' + "x" * (shortening.LONGEST_BYTES - 11) + '"}'
    ended: list[str] = []
    with redis_servers.running(program, tmp_path) as server:
        async with connected(server.port) as ledger:
            for number in range(many):
                await opened(
                    ledger, replace(request(number, f"sha256:{number}"), arguments=text), caps
                )

            async def look() -> int:
                listed = await ledger.requests()
                ended.append("listed")
                assert isinstance(listed, tuple)
                return sum(one.arguments == text for one in listed)

            looking = asyncio.create_task(look())
            await asyncio.sleep(0)
            calls = plain(window(maximum=1000))
            for _ in range(many // 2):
                assert await seen(ledger, calls) is Seen.ADMITTED
                ended.append("observed")
            assert await looking == many
            assert ended.index("listed") > many // 4
            assert ledger.trouble() == ""


@EVERY_SERVER
@pytest.mark.promise("D35")
async def test_the_store_itself_keeps_no_more_than_the_bound(program: Path, tmp_path: Path) -> None:
    """Ninety calls of four megabytes made a store grow by 352 MB for a day."""
    with redis_servers.running(program, tmp_path) as server:
        async with connected(server.port) as ledger:
            for number in range(90):
                text = json.dumps({"text": str(number) * 4_100_000})
                one = replace(request(number, f"sha256:{number}"), arguments=text)
                identifier = await opened(ledger, one, Caps(per_pod=100, per_namespace=100))
                await ledger.withdraw(identifier)
            kept = server.tell("GET", f"{PREFIX}bytes")
            assert isinstance(kept, bytes)
            sizes = server.tell("ZRANGE", f"{PREFIX}sizes", 0, -1)
            assert isinstance(sizes, list)
            assert int(kept) == sum(int(one.split()[1]) for one in sizes)
            assert int(kept) < 90 * 32_000
            assert 0 < server_ttl(server, "bytes") == server_ttl(server, "sizes")


def server_ttl(server: redis_servers.Server, name: str) -> int:
    """When a key expires, Unix milliseconds."""
    found = server.tell("PEXPIRETIME", PREFIX + name)
    assert isinstance(found, int)
    return found
