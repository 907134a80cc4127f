"""The ledger's contract: requests, votes and claims, on every home."""

import asyncio

import pytest

from mesh7_core.ledger.approvals import Refused, Request, State
from mesh7_core.ledger.protocol import Caps, Changed, Full, Opened, Seen, Unknown
from tests.core.ledger.contract import (
    DAY,
    MINUTE,
    NO,
    PATIENCE_S,
    SECOND,
    TRACEPARENT,
    Home,
    asked,
    observed,
    opened,
    plain,
    request,
    request_id,
    rule,
    vote,
    window,
)


async def stored(home: Home, identifier: str) -> Request:
    found = await home.ledger.request(identifier)
    assert isinstance(found, Request)
    return found


def why(found: object) -> str:
    assert isinstance(found, Refused)
    return found.why


async def test_a_request_is_kept_as_it_was_asked(home: Home) -> None:
    now = await home.ledger.now_ms()
    identifier = await opened(home.ledger, request())

    found = await stored(home, identifier)
    assert isinstance(now, int)
    assert 0 <= found.opened_at_ms - now <= home.slack_ms
    assert (found.state, found.votes, found.arguments, found.trace_id, found.asking) == (
        State.PENDING,
        (),
        '{"arguments":{"amount":12345678901234567890.0}}',
        "0af7651916cd43dd8448eb211c80319c",
        (rule(),),
    )
    assert found.traceparent == TRACEPARENT
    assert await home.ledger.requests() == (found,)


async def test_only_a_whole_id_finds_a_request(home: Home) -> None:
    identifier = await opened(home.ledger, request())

    assert await home.ledger.request(identifier[:-1]) == Unknown()
    assert await home.ledger.request("") == Unknown()
    assert await home.ledger.vote(identifier[:-1], vote()) == Unknown()
    assert isinstance(await home.ledger.claim("", "sha256:a", []), Refused)


@pytest.mark.promise("D27")
async def test_identical_pending_calls_share_one_request(home: Home) -> None:
    """D27: ten identical calls asked the person ten times."""
    found = await asyncio.gather(
        *(home.ledger.open(request(number), Caps()) for number in range(1, 11))
    )

    assert len(set(found)) == 1
    assert isinstance(listed := await home.ledger.requests(), tuple)
    assert len(listed) == 1


async def test_a_call_sees_its_request_from_pending_to_used(home: Home) -> None:
    call = asked()
    assert (await observed(home.ledger, call)).seen is Seen.ADMITTED
    identifier = await opened(home.ledger, request())

    pending = await observed(home.ledger, call)
    assert (pending.seen, pending.request_id) == (Seen.PENDING, identifier)
    await home.ledger.vote(identifier, vote())
    approved = await observed(home.ledger, call)
    assert (approved.seen, approved.request_id) == (Seen.APPROVED, identifier)
    await home.ledger.claim(identifier, "sha256:a", [])
    assert (await observed(home.ledger, call)).seen is Seen.ADMITTED


@pytest.mark.promise("A8")
@pytest.mark.promise("D35")
async def test_pending_requests_are_capped_for_a_pod_and_for_the_namespace(home: Home) -> None:
    """Nobody can flood the approver; joining is always possible."""
    caps = Caps(per_pod=2, per_namespace=3)
    for number in (1, 2):
        await opened(home.ledger, request(number, f"sha256:{number}"), caps)

    assert await home.ledger.open(request(3, "sha256:3"), caps) == Full("Pod")
    assert await home.ledger.open(request(4, "sha256:1"), caps) == Opened(request_id(1))
    await opened(home.ledger, request(5, "sha256:5", pod="pod-2"), caps)
    assert await home.ledger.open(request(6, "sha256:6", pod="pod-3"), caps) == Full("Namespace")


@pytest.mark.promise("A8")
async def test_what_is_decided_expired_or_withdrawn_counts_for_no_cap(home: Home) -> None:
    caps = Caps(per_pod=1, per_namespace=1)
    first = await opened(home.ledger, request(1, "sha256:1"), caps)
    await home.ledger.vote(first, vote())
    second = await opened(home.ledger, request(2, "sha256:2"), caps)
    await home.ledger.withdraw(second)
    await opened(home.ledger, request(3, "sha256:3", timeout_ms=10 * SECOND), caps)
    assert await home.ledger.open(request(4, "sha256:4"), caps) == Full("Pod")
    await home.advance(10 * SECOND + home.slack_ms)

    assert await home.ledger.open(request(4, "sha256:4"), caps) == Opened(request_id(4))


@pytest.mark.promise("A6")
async def test_a_request_expires_by_the_stores_clock_and_a_late_vote_is_told_so(
    home: Home,
) -> None:
    identifier = await opened(home.ledger, request(timeout_ms=10 * SECOND))
    await home.advance(10 * SECOND - 1 - home.slack_ms)
    assert (await stored(home, identifier)).state is State.PENDING
    await home.advance(1 + home.slack_ms)

    assert (await stored(home, identifier)).state is State.EXPIRED
    refused = why(await home.ledger.vote(identifier, vote()))
    assert refused.startswith(f"request `{identifier}` expired at 20")
    assert (await observed(home.ledger, asked())).seen is Seen.ADMITTED


@pytest.mark.promise("A6")
async def test_an_approval_lapses_when_it_is_not_used(home: Home) -> None:
    identifier = await opened(home.ledger, request(use_within_ms=10 * SECOND))
    await home.ledger.vote(identifier, vote())
    await home.advance(10 * SECOND + home.slack_ms)

    assert (await stored(home, identifier)).state is State.LAPSED
    assert "not used before" in why(await home.ledger.claim(identifier, "sha256:a", []))
    assert (await observed(home.ledger, asked())).seen is Seen.ADMITTED


async def test_a_denial_answers_the_same_call_for_as_long_as_a_request_waits(home: Home) -> None:
    """Design 6.3: a denial answers the same digest for `timeout`."""
    one = window(maximum=1)
    identifier = await opened(home.ledger, request(timeout_ms=MINUTE))
    denied = await home.ledger.vote(identifier, vote(verdict=NO, reason="not today"))
    assert isinstance(denied, Request)
    assert [each.reason for each in denied.votes] == ["not today"]

    found = await observed(home.ledger, asked(one))
    assert (found.seen, found.request_id) == (Seen.DENIED, identifier)
    assert await home.ledger.open(request(2), Caps()) == Opened(identifier)
    assert (await observed(home.ledger, plain(one))).seen is Seen.ADMITTED
    await home.advance(MINUTE + home.slack_ms)
    assert (await observed(home.ledger, asked())).seen is Seen.ADMITTED
    assert await home.ledger.open(request(2), Caps()) == Opened(request_id(2))


@pytest.mark.promise("A2")
@pytest.mark.promise("AG25")
async def test_of_racing_claims_one_gets_the_approval(home: Home) -> None:
    identifier = await opened(home.ledger, request())
    await home.ledger.vote(identifier, vote())

    found = await asyncio.gather(
        *(home.ledger.claim(identifier, "sha256:a", []) for _ in range(20))
    )
    used = [each for each in found if isinstance(each, Request)]
    assert [each.state for each in used] == [State.USED]
    assert all("used at" in why(each) for each in found if not isinstance(each, Request))


@pytest.mark.promise("A2")
async def test_an_approval_is_used_for_the_call_it_was_given_for_only(home: Home) -> None:
    identifier = await opened(home.ledger, request())
    assert "is not decided yet" in why(await home.ledger.claim(identifier, "sha256:a", []))
    await home.ledger.vote(identifier, vote())

    assert "another call" in why(await home.ledger.claim(identifier, "sha256:b", []))
    assert isinstance(await home.ledger.claim(identifier, "sha256:a", []), Request)


@pytest.mark.promise("A2")
async def test_the_outcome_of_a_used_approval_is_unknown_until_it_is_noted_once(
    home: Home,
) -> None:
    identifier = await opened(home.ledger, request())
    await home.ledger.finish(identifier, "early")
    await home.ledger.vote(identifier, vote())
    await home.ledger.claim(identifier, "sha256:a", [])
    assert (await stored(home, identifier)).outcome == ""

    await home.ledger.finish(identifier, "ok")
    await home.ledger.finish(identifier, "error")
    assert (await stored(home, identifier)).outcome == "ok"
    await home.ledger.finish(request_id(9), "ok")


async def test_every_rule_needs_its_own_number_of_distinct_people(home: Home) -> None:
    """Design 4: `count` people per rule; one person may count for several."""
    asking = (rule("money", ("finance",), 2), rule("risk", ("security",)))
    identifier = await opened(home.ledger, request(asking=asking))

    first = await home.ledger.vote(identifier, vote("lea", groups=("finance", "security")))
    assert isinstance(first, Request)
    assert first.state is State.PENDING
    again = await home.ledger.vote(identifier, vote("lea", groups=("finance",)))
    assert why(again).startswith("`lea` said approve at 20")
    second = await home.ledger.vote(identifier, vote("kim", groups=("finance",)))
    assert isinstance(second, Request)
    assert (second.state, [each.person for each in second.votes]) == (
        State.APPROVED,
        ["uid:lea", "uid:kim"],
    )


async def test_who_is_in_none_of_the_groups_is_told_which_they_are(home: Home) -> None:
    asking = (rule("money", ("finance",)), rule("risk", ("security", "audit")))
    identifier = await opened(home.ledger, request(asking=asking))

    refused = await home.ledger.vote(identifier, vote("eve", groups=("interns",)))
    assert why(refused) == (
        "`eve` is in none of the groups that may decide this: `audit`, `finance`, `security`"
    )
    no = await home.ledger.vote(identifier, vote("eve", NO, groups=()))
    assert isinstance(no, Refused)
    assert (await stored(home, identifier)).votes == ()


async def test_one_no_of_anybody_who_may_decide_is_the_end(home: Home) -> None:
    asking = (rule("money", ("finance",)), rule("risk", ("security",)))
    identifier = await opened(home.ledger, request(asking=asking))
    await home.ledger.vote(identifier, vote("lea", groups=("finance",)))

    denied = await home.ledger.vote(identifier, vote("kim", NO, groups=("security",)))
    assert isinstance(denied, Request)
    assert denied.state is State.DENIED
    late = await home.ledger.vote(identifier, vote("max", groups=("security",)))
    assert why(late).startswith(f"request `{identifier}` was denied by `kim` at 20")


@pytest.mark.promise("A6")
async def test_a_vote_on_what_is_decided_is_told_what_happened(home: Home) -> None:
    identifier = await opened(home.ledger, request())
    await home.ledger.vote(identifier, vote("lea"))
    assert "was approved by `lea` at" in why(await home.ledger.vote(identifier, vote("kim")))
    await home.ledger.claim(identifier, "sha256:a", [])

    used = why(await home.ledger.vote(identifier, vote("kim", NO)))
    assert "was approved by `lea` and used at" in used


async def test_only_what_is_pending_can_be_withdrawn(home: Home) -> None:
    first = await opened(home.ledger, request(1, "sha256:1"))
    second = await opened(home.ledger, request(2, "sha256:2"))
    await home.ledger.vote(second, vote())
    await home.ledger.withdraw(first)
    await home.ledger.withdraw(second)
    await home.ledger.withdraw(request_id(9))

    assert (await stored(home, first)).state is State.WITHDRAWN
    assert (await stored(home, second)).state is State.APPROVED
    assert "was withdrawn at" in why(await home.ledger.vote(first, vote()))
    assert (await observed(home.ledger, asked(digest="sha256:1"))).seen is Seen.ADMITTED


@pytest.mark.promise("D35")
async def test_closed_requests_are_kept_for_a_day(home: Home) -> None:
    """So that the approver sees that the same call ran before, and memory does not grow."""
    first = await opened(home.ledger, request(1, "sha256:1", timeout_ms=10 * SECOND))
    second = await opened(home.ledger, request(2, "sha256:2"))
    await home.ledger.vote(second, vote())
    await home.ledger.claim(second, "sha256:2", [])
    await home.advance(DAY - home.slack_ms - 1)
    assert isinstance(await home.ledger.request(first), Request)
    assert isinstance(await home.ledger.request(second), Request)
    await home.advance(11 * SECOND + home.slack_ms)

    assert await home.ledger.requests() == ()
    assert await home.ledger.request(first) == Unknown()


async def test_requests_are_listed_oldest_first(home: Home) -> None:
    for number in (3, 1, 2):
        await opened(home.ledger, request(number, f"sha256:{number}"))
        await home.advance(SECOND)

    listed = await home.ledger.requests()
    assert isinstance(listed, tuple)
    assert [each.id for each in listed] == [request_id(3), request_id(1), request_id(2)]


async def test_whoever_subscribes_is_told_of_every_change_until_it_has_enough(home: Home) -> None:
    changes: asyncio.Queue[Changed] = asyncio.Queue()
    end = home.ledger.subscribe(changes.put_nowait)
    identifier = await opened(home.ledger, request())
    await home.ledger.vote(identifier, vote())
    await home.ledger.claim(identifier, "sha256:a", [])
    await home.ledger.stand("kill-all", "{}", "lea")

    async with asyncio.timeout(PATIENCE_S):
        told = [await changes.get() for _ in range(4)]
    assert told == [Changed(identifier)] * 3 + [Changed("")]
    end()
    end()
    await home.ledger.fall("kill-all")
    assert changes.empty()
