"""The home in memory is bounded and cheap, whatever came by before."""

import pytest

from mesh7_core.ledger import approvals
from mesh7_core.ledger.approvals import Request
from mesh7_core.ledger.counts import MOST_LOOPS, MOST_SESSIONS, Counts
from mesh7_core.ledger.memory import MemoryLedger
from mesh7_core.ledger.protocol import (
    MOST_STANDING,
    Ledger,
    Observation,
    Observed,
    Refused,
    Seen,
    Use,
)
from mesh7_core.ledger.requests import MOST_CLOSED, Requests
from mesh7_core.ledger.sqlite import SqliteLedger
from tests.core.ledger.contract import (
    DAY,
    MINUTE,
    SECOND,
    asked,
    observed,
    opened,
    plain,
    request,
    vote,
    window,
)
from tests.core.ledger.homes import Clock

T0 = Clock().at_ms


def take(counts: Counts, observation: Observation, now_ms: int) -> Observed:
    return counts.take(observation, None, now_ms)


def test_both_homes_are_ledgers() -> None:
    """Said to the type checker, which reads this file too."""
    homes: list[type[Ledger]] = [MemoryLedger, SqliteLedger]

    assert len(homes) == 2


@pytest.mark.promise("L8")
@pytest.mark.promise("D35")
def test_windows_that_nobody_asks_for_any_more_are_forgotten() -> None:
    """Nothing has a timer: whoever comes by clears a few."""
    counts = Counts()
    for number in range(1000):
        take(counts, plain(window(f"p/one:{number}", 3, SECOND)), T0)
    for step in range(100):
        take(counts, plain(window("p/two", 1000, SECOND)), T0 + 2 * SECOND + step)

    assert len(counts.windows) == 1


@pytest.mark.promise("D35")
@pytest.mark.promise("L8")
def test_loops_are_bounded_and_the_soonest_to_lapse_goes_first() -> None:
    """Their keys hold digests of arguments, which an agent can make up."""
    counts = Counts()
    take(counts, plain(repeats=(window("long", 1, DAY),)), T0)
    take(counts, plain(repeats=(window("short", 1, MINUTE),)), T0)
    for number in range(MOST_LOOPS + 10):
        take(counts, plain(repeats=(window(f"{number}", 1, 10 * MINUTE),)), T0)

    assert len(counts.repeats) == MOST_LOOPS
    assert counts.repeats.find("short", T0) is None
    assert counts.repeats.find("long", T0) is not None


@pytest.mark.promise("D35")
@pytest.mark.promise("L8")
def test_windows_of_sessions_are_bounded_and_no_other_window_pays_for_that() -> None:
    """Agents make up session ids; docs/reference/limits.md has the figure."""
    dropped: list[str] = []
    counts = Counts(dropped.append)
    others = [window("p/l:Agent:a", 1, SECOND), window("p/l:Session:pod-1", 1, SECOND)]
    take(counts, plain(*others), T0)
    take(counts, plain(window("p/l:Session:pod-1/long", 1, DAY)), T0)
    take(counts, plain(window("p/l:Session:pod-1/short", 1, MINUTE)), T0)
    for number in range(MOST_SESSIONS):
        take(counts, plain(window(f"p/l:Session:pod-1/{number}:Session:x", 1, 10 * MINUTE)), T0)

    assert len(counts.windows) == MOST_SESSIONS + len(others)
    assert len(dropped) == 2
    assert dropped[0] == "p/l:Session:pod-1/short"
    assert [take(counts, plain(one), T0).seen for one in others] == [Seen.SPENT] * 2
    again = take(counts, plain(window("p/l:Session:pod-1/long", 1, DAY)), T0)
    assert again.seen is Seen.SPENT


def test_the_bound_of_sessions_counts_none_that_has_lapsed() -> None:
    """Else a gateway that runs for long would drop windows that count."""
    dropped: list[str] = []
    counts = Counts(dropped.append)
    for number in range(1000):
        take(counts, plain(window(f"p/l:Session:pod/{number}", 1, SECOND)), T0)
    for step in range(100):
        take(counts, plain(), T0 + 2 * SECOND + step)
    for number in range(MOST_SESSIONS):
        take(counts, plain(window(f"p/l:Session:pod/{number}", 1, DAY)), T0 + 3 * SECOND)

    assert dropped == []
    assert len(counts.windows) == MOST_SESSIONS


def test_a_loop_that_lives_on_is_not_dropped_by_an_old_note() -> None:
    """A note in the heap can be older than the window that it is about."""
    counts = Counts()
    busy = window("busy", 9, 10 * SECOND)
    take(counts, plain(repeats=(busy,)), T0)
    take(counts, plain(repeats=(busy,)), T0 + 9 * SECOND)
    take(counts, plain(), T0 + 11 * SECOND)

    places = counts.repeats.find("busy", T0 + 11 * SECOND)
    assert places is not None
    assert places.used == 2


@pytest.mark.promise("D35")
def test_uses_of_expired_grants_are_forgotten() -> None:
    counts = Counts()
    for number in range(100):
        use = Use(f"g/{number}", 3, T0 + SECOND)
        take(counts, asked(digest=f"sha256:{number}", uses=((use,),)), T0)
    take(counts, plain(), T0 + SECOND)

    assert list(counts.grants) == []


@pytest.mark.promise("D35")
@pytest.mark.promise("D36")
def test_closed_requests_are_bounded_by_number_and_the_oldest_goes_first() -> None:
    forgotten: list[str] = []
    requests = Requests(forgotten.append)
    for number in range(MOST_CLOSED + 5):
        one = approvals.opened(request(number, f"sha256:{number}"), T0 + number)
        requests.put(one)
        withdrawn = approvals.withdraw(one, T0 + number)
        assert isinstance(withdrawn, Request)
        requests.put(withdrawn)

    assert len(requests.listed(T0 + MOST_CLOSED + 5)) == MOST_CLOSED
    assert forgotten == [request(number).id for number in range(5)]


@pytest.mark.promise("D35")
async def test_standing_grants_are_bounded() -> None:
    ledger = MemoryLedger(Clock())
    for number in range(MOST_STANDING):
        await ledger.stand(f"g-{number}", "{}", "lea")

    refused = await ledger.stand("one-more", "{}", "lea")
    assert isinstance(refused, Refused)
    assert refused.why == "there are 1000 standing grants already; revoke some first"


async def test_a_clock_that_is_set_back_frees_places_after_a_window_at_most() -> None:
    """A laptop's clock is put right: nobody waits for the hour that it was fast."""
    clock = Clock()
    ledger = MemoryLedger(clock)
    one = window(maximum=1, window_ms=10 * SECOND)
    clock.at_ms += 60 * MINUTE
    await observed(ledger, plain(one))
    clock.at_ms -= 60 * MINUTE

    found = await observed(ledger, plain(one))
    assert (found.seen, found.retry_after_ms) == (Seen.SPENT, 10 * SECOND)


async def test_a_listener_may_leave_while_it_is_told() -> None:
    ledger = MemoryLedger(Clock())
    told: list[str] = []

    def once(_changed: object) -> None:
        told.append("once")
        end()

    end = ledger.subscribe(once)
    ledger.subscribe(lambda _changed: told.append("always"))
    identifier = await opened(ledger, request())
    await ledger.vote(identifier, vote())
    assert told == ["once", "always", "always"]
