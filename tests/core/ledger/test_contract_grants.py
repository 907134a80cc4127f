"""The ledger's contract: standing grants and their uses, on every home."""

import asyncio

import pytest

from mesh7_core.ledger.protocol import Refused, Seen, Standing, Unknown, Use
from tests.core.ledger.contract import (
    DAY,
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


async def expiry(home: Home, ms: int) -> int:
    now = await home.ledger.now_ms()
    assert isinstance(now, int)
    return now + ms


@pytest.mark.promise("A9")
@pytest.mark.promise("D42")
@pytest.mark.promise("AG25")
async def test_a_grant_is_used_as_often_as_it_says(home: Home) -> None:
    """Counted atomically: of racing calls exactly so many pass, the others ask."""
    call = asked(uses=((Use("default/ops", 3, 0),),))

    found = await asyncio.gather(*(observed(home.ledger, call) for _ in range(10)))
    assert [each.seen for each in found].count(Seen.GRANTED) == 3
    assert [each.seen for each in found].count(Seen.ADMITTED) == 7
    assert await home.ledger.used(["default/ops", "default/other"]) == (3, 0)


@pytest.mark.promise("A9")
async def test_a_grant_expires_by_the_stores_clock_even_if_nobody_sweeps(home: Home) -> None:
    use = Use("default/ops", 5, await expiry(home, 10 * SECOND))
    granted = await observed(home.ledger, asked(uses=((use,),)))
    assert (granted.seen, granted.granted) == (Seen.GRANTED, ("default/ops",))
    await home.advance(10 * SECOND)

    assert (await observed(home.ledger, asked(uses=((use,),)))).seen is Seen.ADMITTED
    assert await home.ledger.used(["default/ops"]) == (0,)


@pytest.mark.promise("A9")
async def test_everybody_who_asks_needs_a_grant(home: Home) -> None:
    money, risk = Use("default/money", 1, 0), Use("default/risk", 1, 0)
    assert (await observed(home.ledger, asked(uses=((money,), ())))).seen is Seen.ADMITTED

    found = await observed(home.ledger, asked(uses=((money,), (risk,))))
    assert (found.seen, found.granted) == (Seen.GRANTED, ("default/money", "default/risk"))
    assert (await observed(home.ledger, asked(uses=((money,), (risk,))))).seen is Seen.ADMITTED


async def test_one_grant_for_two_rules_is_used_once(home: Home) -> None:
    use = Use("default/ops", 2, 0)

    found = await observed(home.ledger, asked(uses=((use,), (use,))))
    assert (found.seen, found.granted) == (Seen.GRANTED, ("default/ops",))
    assert await home.ledger.used(["default/ops"]) == (1,)


async def test_the_first_grant_that_is_left_stands_in(home: Home) -> None:
    small, wide = Use("default/small", 1, 0), Use("default/wide", 0, 0)
    call = asked(uses=((small, wide),))

    found = [(await observed(home.ledger, call)).granted for _ in range(3)]
    assert found == [("default/small",), ("default/wide",), ("default/wide",)]


async def test_a_grant_with_fewer_uses_from_now_on_has_fewer_at_once(home: Home) -> None:
    for _ in range(2):
        await observed(home.ledger, asked(uses=((Use("default/ops", 5, 0),),)))

    found = await observed(home.ledger, asked(uses=((Use("default/ops", 2, 0),),)))
    assert found.seen is Seen.ADMITTED


@pytest.mark.promise("A9")
async def test_a_grant_never_beats_a_limit_or_a_loop(home: Home) -> None:
    """Grants relax approvals only; what was refused used none of them."""
    one, loop, use = window(maximum=1), window("p/loops:a", 1), Use("default/ops", 5, 0)
    await observed(home.ledger, plain(one, repeats=(loop,)))

    spent = await observed(home.ledger, asked(one, uses=((use,),)))
    looped = await observed(home.ledger, asked(repeats=(loop,), uses=((use,),)))
    assert (spent.seen, looped.seen) == (Seen.SPENT, Seen.REPEATED)
    assert await home.ledger.used(["default/ops"]) == (0,)


async def test_a_granted_call_is_stamped_at_once_and_counts_in_its_loop(home: Home) -> None:
    one, loop = window(maximum=1, window_ms=10 * SECOND), window("p/loops:a", 1, 10 * SECOND)
    use = Use("default/ops", 5, 0)
    granted = await observed(home.ledger, asked(one, repeats=(loop,), uses=((use,),)))
    assert granted.seen is Seen.GRANTED

    found = await observed(home.ledger, plain(one))
    assert 10 * SECOND - home.slack_ms <= found.retry_after_ms <= 10 * SECOND
    assert (await observed(home.ledger, plain(repeats=(loop,)))).seen is Seen.REPEATED


async def test_a_grant_goes_before_an_open_request_and_frees_its_place(home: Home) -> None:
    """GRANTED is looked for before APPROVED and PENDING; the reserved place becomes the call."""
    one, use = window(maximum=1), Use("default/ops", 1, 0)
    await observed(home.ledger, asked(one))
    identifier = await opened(home.ledger, request())
    await home.ledger.vote(identifier, vote())

    assert (await observed(home.ledger, asked(one, uses=((use,),)))).seen is Seen.GRANTED
    await home.ledger.give_back("sha256:a", [one])
    assert (await observed(home.ledger, plain(one))).seen is Seen.SPENT
    assert (await observed(home.ledger, asked(uses=((use,),)))).seen is Seen.APPROVED


async def test_a_dry_run_uses_no_grant(home: Home) -> None:
    call = asked(uses=((Use("default/ops", 1, 0),),))
    call.is_dry = True

    assert [(await observed(home.ledger, call)).seen for _ in range(3)] == [Seen.GRANTED] * 3
    assert await home.ledger.used(["default/ops"]) == (0,)


@pytest.mark.promise("D42")
async def test_standing_grants_are_made_listed_and_removed_by_their_whole_names(
    home: Home,
) -> None:
    now = await home.ledger.now_ms()
    made = await home.ledger.stand("night", '{"spec": {}}', "lea")
    await home.ledger.stand("day", "{}", "kim")

    assert isinstance(made, Standing)
    assert isinstance(now, int)
    assert 0 <= made.made_at_ms - now <= home.slack_ms
    assert (made.name, made.document, made.by) == ("night", '{"spec": {}}', "lea")
    listed = await home.ledger.standing()
    assert isinstance(listed, tuple)
    assert [each.name for each in listed] == ["day", "night"]
    assert isinstance(await home.ledger.stand("night", "{}", "eve"), Refused)
    assert await home.ledger.fall("nigh") == Unknown()
    assert await home.ledger.fall("night") == made
    assert await home.ledger.fall("night") == Unknown()
    assert isinstance(await home.ledger.stand("night", "{}", "eve"), Standing)


async def test_standing_grants_stay_until_somebody_removes_them(home: Home) -> None:
    made = await home.ledger.stand("night", "{}", "lea")
    await home.advance(400 * DAY)

    assert await home.ledger.standing() == (made,)


async def test_a_ledger_that_is_there_has_no_trouble(home: Home) -> None:
    assert home.ledger.trouble() == ""
