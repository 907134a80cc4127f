"""The ledger's contract: limits and loops, on every home."""

import asyncio

import pytest

from mesh7_core.ledger.protocol import LOST, Observed, Refused, Seen, Window
from tests.core.ledger.contract import (
    DAY,
    MINUTE,
    SECOND,
    Home,
    asked,
    observed,
    opened,
    plain,
    request,
    vote,
    window,
)


async def seen(home: Home, *windows: Window, times: int = 1) -> list[Seen]:
    return [(await observed(home.ledger, plain(*windows))).seen for _ in range(times)]


def said(found: Observed) -> tuple[Seen, int, int]:
    return found.seen, found.index, found.retry_after_ms


@pytest.mark.promise("L1")
@pytest.mark.promise("AG25")
@pytest.mark.parametrize("maximum", [1, 100, 256, 257, 400])
async def test_a_burst_gets_exactly_as_many_places_as_there_are(home: Home, maximum: int) -> None:
    """Design 5: exactly `max` pass in a burst, whoever they come from."""
    one = window(maximum=maximum)

    found = await asyncio.gather(*(observed(home.ledger, plain(one)) for _ in range(maximum + 50)))

    assert [each.seen for each in found].count(Seen.ADMITTED) == maximum
    assert [each.seen for each in found].count(Seen.SPENT) == 50


@pytest.mark.promise("L1")
@pytest.mark.promise("AG24")
async def test_no_boundary_lets_twice_the_limit_pass(home: Home) -> None:
    """AgentGuard's fixed window admitted twice the limit around its boundary."""
    one = window(maximum=2, window_ms=10 * SECOND)
    assert await seen(home, one) == [Seen.ADMITTED]
    await home.advance(9 * SECOND)
    assert await seen(home, one, times=2) == [Seen.ADMITTED, Seen.SPENT]
    await home.advance(1 * SECOND + home.slack_ms)

    assert await seen(home, one, times=2) == [Seen.ADMITTED, Seen.SPENT]


async def test_a_refused_call_is_told_when_to_come_back_and_then_passes(home: Home) -> None:
    """A retry-after that is true: not a moment later than needed, and never too early."""
    one = window(maximum=2, window_ms=10 * SECOND)
    await seen(home, one)
    await home.advance(3 * SECOND)
    await seen(home, one)
    await home.advance(1 * SECOND)

    found = await observed(home.ledger, plain(one))
    assert found.seen is Seen.SPENT
    assert 6 * SECOND - home.slack_ms <= found.retry_after_ms <= 6 * SECOND
    await home.advance(found.retry_after_ms - 1 - home.slack_ms)
    assert await seen(home, one) == [Seen.SPENT]
    await home.advance(1 + home.slack_ms)
    assert await seen(home, one) == [Seen.ADMITTED]


async def test_above_256_a_call_ages_at_most_a_256th_of_the_window_late(home: Home) -> None:
    """windows.py: beyond 256 the count errs towards refusing, by one slice at most."""
    one = window(maximum=300, window_ms=256 * SECOND)
    await seen(home, one, times=300)

    found = await observed(home.ledger, plain(one))
    assert 256 * SECOND - home.slack_ms <= found.retry_after_ms <= 257 * SECOND
    await home.advance(found.retry_after_ms)
    assert await seen(home, one) == [Seen.ADMITTED]


async def test_a_maximum_of_none_admits_nothing_and_no_waiting_helps(home: Home) -> None:
    found = await observed(home.ledger, plain(window(maximum=0)))

    assert said(found) == (Seen.SPENT, 0, 0)


@pytest.mark.promise("D25")
async def test_a_lifetime_total_never_forgets_however_idle(home: Home) -> None:
    one = window(maximum=2, window_ms=0)
    await seen(home, one)
    await home.advance(400 * DAY)

    assert await seen(home, one, times=2) == [Seen.ADMITTED, Seen.SPENT]
    found = await observed(home.ledger, plain(one))
    assert said(found) == (Seen.SPENT, 0, 0)


@pytest.mark.promise("L8")
async def test_a_lifetime_total_that_may_lapse_does_so_only_when_nobody_came_by(
    home: Home,
) -> None:
    """A session's total ends with the session: idle for an hour."""
    one = window(maximum=2, window_ms=0, idle_ms=60 * MINUTE)
    await seen(home, one)
    await home.advance(50 * MINUTE)
    assert await seen(home, one) == [Seen.ADMITTED]
    await home.advance(50 * MINUTE)
    assert await seen(home, one) == [Seen.SPENT]
    await home.advance(10 * MINUTE + home.slack_ms)

    assert await seen(home, one) == [Seen.ADMITTED]


@pytest.mark.promise("L4")
async def test_every_subject_has_a_window_of_its_own(home: Home) -> None:
    first, second = window("p/writes:Pod:a", 1), window("p/writes:Pod:b", 1)

    assert await seen(home, first, times=2) == [Seen.ADMITTED, Seen.SPENT]
    assert await seen(home, second) == [Seen.ADMITTED]


@pytest.mark.promise("L3")
async def test_all_windows_of_a_call_or_none(home: Home) -> None:
    """One atomic operation: a full window costs the others nothing."""
    wide, narrow = window("p/wide:Agent:a", 2), window("p/narrow:Agent:a", 1)
    assert await seen(home, wide, narrow) == [Seen.ADMITTED]

    found = await observed(home.ledger, plain(wide, narrow))
    assert (found.seen, found.index) == (Seen.SPENT, 1)
    assert await seen(home, wide, times=2) == [Seen.ADMITTED, Seen.SPENT]


@pytest.mark.promise("L5")
@pytest.mark.promise("AG24")
async def test_a_changed_maximum_holds_from_the_next_call(home: Home) -> None:
    await seen(home, window(maximum=5), times=5)

    assert await seen(home, window(maximum=3)) == [Seen.SPENT]
    assert await seen(home, window(maximum=6), times=2) == [Seen.ADMITTED, Seen.SPENT]


@pytest.mark.promise("L5")
async def test_a_changed_window_holds_from_the_next_call(home: Home) -> None:
    await seen(home, window(maximum=1, window_ms=MINUTE))
    await home.advance(10 * SECOND)

    assert await seen(home, window(maximum=1, window_ms=20 * SECOND)) == [Seen.SPENT]
    assert await seen(home, window(maximum=1, window_ms=5 * SECOND)) == [Seen.ADMITTED]
    assert await seen(home, window(maximum=2, window_ms=0)) == [Seen.ADMITTED]
    assert await seen(home, window(maximum=2, window_ms=0)) == [Seen.SPENT]


async def test_a_dry_run_is_told_the_same_and_changes_nothing(home: Home) -> None:
    """`/v1/decide` reserves nothing and counts nothing (design 3)."""
    one, loop = window(maximum=1), window("p/loops:a:t:d", 1)
    dry = plain(one, repeats=(loop,), is_dry=True)

    answers = [(await observed(home.ledger, dry)).seen for _ in range(3)]
    assert answers == [Seen.ADMITTED] * 3
    wet = await observed(home.ledger, plain(one, repeats=(loop,)))
    assert wet.seen is Seen.ADMITTED
    assert (await observed(home.ledger, dry)).seen is Seen.SPENT


@pytest.mark.promise("L3")
@pytest.mark.promise("D26")
async def test_a_reservation_takes_a_place_and_does_not_age(home: Home) -> None:
    """D26: pending calls count."""
    one = window(maximum=1, window_ms=10 * SECOND)
    first = await observed(home.ledger, asked(one, lease_ms=5 * MINUTE))
    assert first.seen is Seen.ADMITTED
    await home.advance(MINUTE)

    assert await seen(home, one) == [Seen.SPENT]


async def test_a_reservation_is_one_place_however_often_its_call_comes_by(home: Home) -> None:
    one = window(maximum=2)
    for _ in range(4):
        assert (await observed(home.ledger, asked(one))).seen is Seen.ADMITTED

    assert (await observed(home.ledger, asked(one, digest="sha256:b"))).seen is Seen.ADMITTED
    assert (await observed(home.ledger, asked(one, digest="sha256:c"))).seen is Seen.SPENT


async def test_a_reservation_of_a_crashed_holder_lapses(home: Home) -> None:
    one = window(maximum=1, window_ms=10 * MINUTE)
    await observed(home.ledger, asked(one, lease_ms=80 * SECOND))

    found = await observed(home.ledger, plain(one))
    assert 80 * SECOND - home.slack_ms <= found.retry_after_ms <= 80 * SECOND
    await home.advance(found.retry_after_ms)
    assert await seen(home, one) == [Seen.ADMITTED]


async def test_who_holds_on_renews_its_lease(home: Home) -> None:
    one = window(maximum=1)
    await observed(home.ledger, asked(one, lease_ms=80 * SECOND))
    await home.advance(70 * SECOND)
    await observed(home.ledger, asked(one, lease_ms=80 * SECOND))
    await home.advance(70 * SECOND)

    assert await seen(home, one) == [Seen.SPENT]


@pytest.mark.promise("L3")
async def test_a_place_given_back_is_free_at_once(home: Home) -> None:
    one = window(maximum=1)
    await observed(home.ledger, asked(one))

    await home.ledger.give_back("sha256:other", [one])
    assert await seen(home, one) == [Seen.SPENT]
    await home.ledger.give_back("sha256:a", [one])
    assert await seen(home, one) == [Seen.ADMITTED]
    await home.ledger.give_back("sha256:a", [one])
    assert await seen(home, one) == [Seen.SPENT]


async def test_when_reserved_places_are_in_the_way_of_a_lifetime_waiting_can_help(
    home: Home,
) -> None:
    one = window(maximum=1, window_ms=0)
    await observed(home.ledger, asked(one, lease_ms=30 * SECOND))

    found = await observed(home.ledger, plain(one))
    assert 30 * SECOND - home.slack_ms <= found.retry_after_ms <= 30 * SECOND


@pytest.mark.promise("L2")
@pytest.mark.promise("D26")
async def test_a_loop_is_found_through_whatever_is_called_in_between(home: Home) -> None:
    """D26: interleaving hides no loop."""
    loop, other = window("p/loops:a:t:1", 3, 10 * SECOND), window("p/loops:a:t:2", 3, 10 * SECOND)
    answers = []
    for _ in range(4):
        answers.append((await observed(home.ledger, plain(repeats=(loop,)))).seen)
        await observed(home.ledger, plain(repeats=(other,)))

    assert answers == [Seen.ADMITTED, Seen.ADMITTED, Seen.ADMITTED, Seen.REPEATED]


@pytest.mark.promise("L2")
async def test_refused_repeats_never_prolong_a_window(home: Home) -> None:
    """Design 10: the loop ends when the admitted calls have aged, however often it is tried."""
    loop = window("p/loops:a:t:1", 1, 10 * SECOND)
    await observed(home.ledger, plain(repeats=(loop,)))
    for _ in range(9):
        await home.advance(SECOND)
        assert (await observed(home.ledger, plain(repeats=(loop,)))).seen is Seen.REPEATED
    found = await observed(home.ledger, plain(repeats=(loop,)))
    assert 1 <= found.retry_after_ms <= SECOND
    await home.advance(SECOND)

    assert (await observed(home.ledger, plain(repeats=(loop,)))).seen is Seen.ADMITTED


async def test_a_refused_loop_costs_no_place_and_a_full_limit_no_repeat(home: Home) -> None:
    one, loop = window(maximum=2), window("p/loops:a:t:1", 1)
    both = plain(one, repeats=(loop,))
    assert (await observed(home.ledger, both)).seen is Seen.ADMITTED
    assert (await observed(home.ledger, both)).seen is Seen.REPEATED

    assert await seen(home, one, times=2) == [Seen.ADMITTED, Seen.SPENT]
    spent = await observed(home.ledger, plain(one, repeats=(window("p/loops:a:t:2", 1),)))
    assert spent.seen is Seen.SPENT
    found = await observed(home.ledger, plain(repeats=(window("p/loops:a:t:2", 1),)))
    assert found.seen is Seen.ADMITTED


@pytest.mark.promise("L2")
async def test_joining_a_request_or_using_its_approval_is_no_repeat(home: Home) -> None:
    """Design 5: loops count neither who joins a pending request nor who uses an approval."""
    loop = window("p/loops:a:t:1", 1)
    call = asked(repeats=(loop,))
    assert (await observed(home.ledger, call)).seen is Seen.ADMITTED
    identifier = await opened(home.ledger, request())

    joined = [(await observed(home.ledger, call)).seen for _ in range(3)]
    await home.ledger.vote(identifier, vote())
    used = [(await observed(home.ledger, call)).seen for _ in range(3)]
    assert joined == [Seen.PENDING] * 3
    assert used == [Seen.APPROVED] * 3


async def test_a_claim_stamps_what_was_reserved(home: Home) -> None:
    """A held reservation does not age; it is stamped when the call acts (design 5)."""
    one = window(maximum=1, window_ms=10 * SECOND)
    await observed(home.ledger, asked(one, lease_ms=5 * MINUTE))
    identifier = await opened(home.ledger, request())
    await home.ledger.vote(identifier, vote())
    await home.advance(MINUTE)

    assert not isinstance(await home.ledger.claim(identifier, "sha256:a", [one]), Refused)
    found = await observed(home.ledger, plain(one))
    assert found.seen is Seen.SPENT
    assert 10 * SECOND - home.slack_ms <= found.retry_after_ms <= 10 * SECOND
    await home.advance(found.retry_after_ms)
    assert await seen(home, one) == [Seen.ADMITTED]


async def test_a_claim_whose_place_is_gone_takes_a_free_one_or_nothing(home: Home) -> None:
    """It stays unclaimed, so that it can be used when a place is free again."""
    one = window(maximum=1, window_ms=10 * SECOND)
    await observed(home.ledger, asked(one, lease_ms=SECOND))
    identifier = await opened(home.ledger, request())
    await home.ledger.vote(identifier, vote())
    await home.advance(2 * SECOND)
    await seen(home, one)

    refused = await home.ledger.claim(identifier, "sha256:a", [one])
    assert isinstance(refused, Refused)
    await home.advance(10 * SECOND)
    claimed = await home.ledger.claim(identifier, "sha256:a", [one])
    assert claimed is not LOST
    assert not isinstance(claimed, Refused)
    assert await seen(home, one) == [Seen.SPENT]
