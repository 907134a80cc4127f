"""A store's clock that is set back: limits hold, and nobody waits for the future to come again."""

from pathlib import Path

import pytest

from mesh7_core.ledger import sqlite
from mesh7_core.ledger.protocol import Seen, Use
from tests.core.ledger.contract import DAY, MINUTE, SECOND, Home, asked, observed, plain, window
from tests.core.ledger.homes import Clock


@pytest.mark.promise("L1")
async def test_calls_of_a_future_that_is_gone_count_from_now_on(home: Home) -> None:
    """Issue 4, faults: clock jump. A fail-over can lead to a server whose clock is behind."""
    three_a_minute = plain(window())
    for _ in range(3):
        assert (await observed(home.ledger, three_a_minute)).seen is Seen.ADMITTED
    await home.advance(-60 * MINUTE)
    spent = await observed(home.ledger, three_a_minute)
    assert spent.seen is Seen.SPENT
    assert MINUTE - home.slack_ms <= spent.retry_after_ms <= MINUTE
    await home.advance(MINUTE - SECOND)
    assert (await observed(home.ledger, three_a_minute)).seen is Seen.SPENT
    await home.advance(SECOND)
    assert (await observed(home.ledger, three_a_minute)).seen is Seen.ADMITTED


@pytest.mark.promise("L1")
async def test_a_reservation_of_a_future_that_is_gone_ends_within_an_hour(home: Home) -> None:
    """Its holder may be dead; who lives reserves anew each second."""
    one = window(maximum=1)
    await observed(home.ledger, asked(one, lease_ms=10 * MINUTE))
    await home.advance(-DAY)
    spent = await observed(home.ledger, plain(one))
    assert spent.seen is Seen.SPENT
    assert 60 * MINUTE - home.slack_ms <= spent.retry_after_ms <= 60 * MINUTE
    await home.advance(60 * MINUTE)
    assert (await observed(home.ledger, plain(one))).seen is Seen.ADMITTED


@pytest.mark.promise("L1")
async def test_a_clock_that_is_set_back_while_nobody_runs_leaves_no_limit_full(
    tmp_path: Path,
) -> None:
    """Issue 4, faults: two a minute, a restart one day earlier: spent for 86,460 seconds."""
    clock = Clock()
    counted, held = window("p/counted", 1), window("p/held", 1)
    ledger = sqlite.open_ledger(tmp_path / "ledger.db", clock)
    await observed(ledger, plain(counted))
    await observed(ledger, asked(held, lease_ms=10 * MINUTE))
    await ledger.close()

    clock.at_ms -= DAY
    ledger = sqlite.open_ledger(tmp_path / "ledger.db", clock)
    found = [await observed(ledger, plain(one)) for one in (counted, held)]
    await ledger.close()
    assert [one.retry_after_ms for one in found] == [MINUTE, 60 * MINUTE]


@pytest.mark.promise("L1")
async def test_what_has_lapsed_sooner_than_it_once_would_does_not_come_back(home: Home) -> None:
    """A minute's window that became a second's, a given-back place and a shorter grant: all over.

    A call clears what has lapsed before the clock is set back; what is gone stays gone.
    """
    shrunk, freed = window("p/shrunk", 2), window("p/freed", 2)
    small, tiny = window("p/shrunk", 2, SECOND), window("p/freed", 1, SECOND)
    now_ms = await home.ledger.now_ms()
    assert isinstance(now_ms, int)
    long, short = Use("g/1", 2, now_ms + DAY), Use("g/1", 2, now_ms + SECOND)
    for one in (
        plain(shrunk, freed), plain(small), asked(freed),
        asked(uses=((long,),)), asked(uses=((short,),)),
    ):  # fmt: skip
        await observed(home.ledger, one)
    await home.ledger.give_back("sha256:a", (tiny,))

    await home.advance(SECOND)
    await observed(home.ledger, plain())
    await home.advance(-1)
    assert await home.ledger.used(["g/1"]) == (0,)
    found = [await observed(home.ledger, plain(one)) for one in (small, tiny)]
    assert [one.seen for one in found] == [Seen.ADMITTED, Seen.ADMITTED]


@pytest.mark.promise("L1")
async def test_writing_behind_does_not_set_back_what_no_call_has_looked_at(
    tmp_path: Path,
) -> None:
    """A clock that is set back and right again: one a second, and a second one in the same moment.

    Whether the file was written in between is chance, and no other home writes anything behind.
    """
    clock = Clock()
    counted, looped = window("p/counted", 1, SECOND), window("p/looped", 1, SECOND)
    ledger = sqlite.open_ledger(tmp_path / "ledger.db", clock)
    await observed(ledger, plain(counted, repeats=(looped,)))
    clock.at_ms -= SECOND
    await ledger.close()  # writes

    clock.at_ms += SECOND
    ledger = sqlite.open_ledger(tmp_path / "ledger.db", clock)
    found = [await observed(ledger, one) for one in (plain(counted), plain(repeats=(looped,)))]
    await ledger.close()
    assert [(one.seen, one.retry_after_ms) for one in found] == [
        (Seen.SPENT, SECOND),
        (Seen.REPEATED, SECOND),
    ]
