"""A store that others can write to counts, and says nothing of what people decided."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mesh7_core.ledger.absent import AbsentLedger, CountingLedger
from mesh7_core.ledger.asked import Request, State, Verdict
from mesh7_core.ledger.memory import MemoryLedger
from mesh7_core.ledger.protocol import LOST, Caps, Changed, Observation, Seen, Use
from mesh7_core.ledger.redis import RedisLedger
from tests.core.ledger.contract import MINUTE, asked, observed, opened, plain, request, vote, window
from tests.core.ledger.redis_parts import connected
from tests.peers import redis_servers

VALKEY = redis_servers.programs()["valkey"]


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[RedisLedger]:
    """The namespace's own ledger, that anybody with its credential may write to."""
    with redis_servers.running(VALKEY, tmp_path) as server:
        async with connected(server.port) as ledger:
            yield ledger


async def forged_approval(home: RedisLedger) -> None:
    identity = await opened(home, request())
    approved = await home.vote(identity, vote())
    assert isinstance(approved, Request)
    assert approved.state is State.APPROVED


async def forged_denial(home: RedisLedger) -> None:
    identity = await opened(home, request())
    denied = await home.vote(identity, vote(verdict=Verdict.DENY))
    assert isinstance(denied, Request)
    assert denied.state is State.DENIED


async def forged_question(home: RedisLedger) -> None:
    await opened(home, request())


FORGED = {
    Seen.APPROVED: forged_approval, Seen.DENIED: forged_denial, Seen.PENDING: forged_question,
}  # fmt: skip


@pytest.mark.promise("K9")
@pytest.mark.parametrize("forged", FORGED)
async def test_what_people_are_said_to_have_decided_is_a_store_loss(
    home: RedisLedger, forged: Seen
) -> None:
    """Design 6.5: a decision is the operator's signed word, and Redis is nobody's."""
    await FORGED[forged](home)
    exact = asked(window())
    assert (await observed(home, exact)).seen is forged
    assert (await observed(CountingLedger(home), exact)).seen is Seen.LOST


async def test_nothing_that_people_do_reaches_the_home(home: RedisLedger) -> None:
    await forged_approval(home)
    counting, changes = CountingLedger(home), list[Changed]()
    counting.subscribe(changes.append)
    (known,) = everything(await home.requests())
    assert await counting.open(request(), Caps()) is LOST
    assert await counting.claim(known.id, known.digest, ()) is LOST
    assert await counting.vote(known.id, vote()) is LOST
    assert await counting.withdraw(known.id) is LOST
    assert await counting.finish(known.id, "ok") is LOST
    assert await counting.requests() is LOST
    assert await counting.request(known.id) is LOST
    assert await counting.stand("veto", "{}", "lea") is LOST
    assert await counting.fall("veto") is LOST
    assert await counting.standing() is LOST
    assert everything(await home.requests()) == (known,)
    assert changes == []


def everything(found: object) -> tuple[Request, ...]:
    assert isinstance(found, tuple)
    return found


async def test_limits_loops_and_uses_of_grants_count_as_at_home(home: RedisLedger) -> None:
    """Issue 5: limits are shared while approvals are not."""
    counting = CountingLedger(home)
    once = plain(window("once", 1))
    assert [(await observed(counting, once)).seen for _ in range(2)] == [Seen.ADMITTED, Seen.SPENT]
    loop = plain(repeats=(window("loop", 1),))
    assert (await observed(counting, loop)).seen is Seen.ADMITTED
    assert (await observed(counting, loop)).seen is Seen.REPEATED
    granted = asked(uses=((Use("grant", 1, 0),),))
    assert (await observed(counting, granted)).seen is Seen.GRANTED
    assert await counting.used(["grant"]) == (1,)
    assert await home.used(["grant"]) == (1,)
    assert isinstance(await counting.now_ms(), int)
    assert counting.trouble() == ""


async def test_a_place_that_is_reserved_for_nothing_is_given_back(home: RedisLedger) -> None:
    counting = CountingLedger(home)
    reserved = asked(window("one", 1))
    assert (await observed(counting, reserved)).seen is Seen.ADMITTED
    assert (await observed(counting, plain(window("one", 1)))).seen is Seen.SPENT
    assert await counting.give_back(reserved.digest, reserved.windows) is None
    assert (await observed(counting, plain(window("one", 1)))).seen is Seen.ADMITTED


async def test_a_dry_run_of_a_call_that_asks_says_that_nobody_can_be_asked(
    home: RedisLedger,
) -> None:
    """P1: what `/v1/decide` says is what a call would come to."""
    exact = asked(window())
    dry = Observation(exact.windows, digest=exact.digest, is_dry=True)
    assert (await observed(CountingLedger(home), dry)).seen is Seen.LOST
    assert (await observed(home, dry)).seen is Seen.ADMITTED


async def test_another_home_loses_no_call_that_is_under_way(home: RedisLedger) -> None:
    """pod.py: the store comes when the exchange answers, and calls go on meanwhile."""
    counting = CountingLedger(MemoryLedger(lambda: MINUTE))
    answers: list[Seen] = []
    exact = plain(window("many", 1000))

    def ask() -> None:
        counting.observe(exact, lambda found: answers.append(found.seen))

    counting.home = home
    for _ in range(100):
        ask()
    counting.home = AbsentLedger("gone")
    ask()
    counting.home = home
    ask()
    async with asyncio.timeout(30):
        while len(answers) < 102:
            await home.now_ms()
    assert sorted(answers, key=str) == [Seen.ADMITTED] * 101 + [Seen.LOST]


async def test_without_a_home_everything_is_lost_and_says_why() -> None:
    counting = CountingLedger(AbsentLedger("no store is configured"))
    assert (await observed(counting, plain(window()))).seen is Seen.LOST
    assert await counting.give_back("sha256:a", ()) is LOST
    assert await counting.used(["grant"]) is LOST
    assert await counting.now_ms() is LOST
    assert counting.trouble() == "no store is configured"
