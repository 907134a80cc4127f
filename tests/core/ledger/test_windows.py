"""The arithmetic of windows against the definition: no interval of `window` holds more than max."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.ledger import windows
from mesh7_core.ledger.protocol import Window
from mesh7_core.ledger.windows import Places

START = 1_795_219_200_000
STEPS = st.lists(st.integers(0, 1500), min_size=1, max_size=60)
MAXIMA = st.sampled_from([1, 2, 3, 10, 257, 300])


def most_within(times: list[int], span_ms: int) -> int:
    """The most calls in any half-open interval of that length."""
    return max((sum(start <= one < start + span_ms for one in times) for start in times), default=0)


def admitted(window: Window, steps: list[int], burst: int = 1) -> tuple[Places, list[int]]:
    """Call `burst` times after each step; when which calls were let through."""
    places, now_ms, times = Places(), START, []
    for step in steps:
        now_ms += step
        for _ in range(burst):
            if windows.taken(places, window, "", now_ms) < window.maximum:
                windows.stamp(places, window, "", now_ms)
                times.append(now_ms)
    return places, times


@pytest.mark.promise("L1")
@given(STEPS, MAXIMA, st.integers(1, 100), st.sampled_from([1000, 1024, 3000, 60_000]))
def test_never_more_than_the_maximum_in_any_interval(
    steps: list[int], maximum: int, burst: int, window_ms: int
) -> None:
    """Design 5, as a law over call times."""
    _, times = admitted(Window("k", maximum, window_ms), steps, burst)

    assert most_within(times, window_ms) <= maximum


@pytest.mark.promise("L1")
@given(STEPS, st.integers(1, 256), st.sampled_from([1000, 3000]))
def test_up_to_256_nobody_is_refused_who_had_a_place(
    steps: list[int], maximum: int, window_ms: int
) -> None:
    """Exact: a call is admitted when fewer than max were in the window that ends with it."""
    _, times = admitted(Window("k", maximum, window_ms), steps, 3)

    expected: list[int] = []
    now_ms = START
    for step in steps:
        now_ms += step
        for _ in range(3):
            if sum(one > now_ms - window_ms for one in expected) < maximum:
                expected.append(now_ms)
    assert times == expected


@given(STEPS, MAXIMA, st.integers(1, 200))
def test_a_retry_after_is_true_to_the_millisecond(
    steps: list[int], maximum: int, burst: int
) -> None:
    """Refused until then, admitted then."""
    window = Window("k", maximum, 60_000)
    places, times = admitted(window, steps, burst)
    now_ms = START + sum(steps)
    if len(times) < maximum:
        return

    wait_ms = windows.retry_after(places, window, "", now_ms)
    assert wait_ms >= 1
    assert windows.taken(places, window, "", now_ms + wait_ms - 1) >= maximum
    assert windows.taken(places, window, "", now_ms + wait_ms) < maximum


@pytest.mark.promise("D35")
@pytest.mark.promise("D36")
@given(STEPS, st.sampled_from([10, 256, 257, 5000]), st.integers(1, 50))
def test_no_window_needs_more_than_some_257_cells(
    steps: list[int], maximum: int, burst: int
) -> None:
    """The price of a count does not grow with what was done before."""
    places, _ = admitted(Window("k", maximum, 1000), steps * 5, burst)

    assert len(places.stamps) <= 258
    assert places.used == sum(places.counts)


def test_a_coarse_cell_is_stamped_by_its_newest_call() -> None:
    """So that a count errs towards refusing only."""
    window, places = Window("k", 512, 256_000), Places()
    for at_ms in (0, 400, 999, 1000):
        windows.stamp(places, window, "", START + at_ms)

    assert (places.stamps, places.counts) == ([START + 999, START + 1000], [3, 1])


def test_a_clock_that_was_set_back_holds_no_place_for_longer_than_a_window() -> None:
    """Calls from the future count from now on."""
    window, places = Window("k", 2, 1000), Places()
    windows.stamp(places, window, "", START)
    windows.stamp(places, window, "", START + 900)

    windows.set_back(places, START + 10)
    assert places.stamps == [START, START + 10]
    assert windows.retry_after(places, window, "", START + 10) == 990
    assert windows.retry_after(places, Window("k", 1, 1000), "", START + 10) == 1000


def test_own_reservation_is_no_obstacle_and_others_are() -> None:
    window, places = Window("k", 2, 1000), Places()
    windows.reserve(places, window, "a", START + 500, START)
    windows.reserve(places, window, "b", START + 700, START)

    assert windows.taken(places, window, "a", START) == 1
    assert windows.taken(places, window, "", START) == 2
    assert windows.retry_after(places, window, "c", START) == 500
    assert windows.taken(places, window, "", START + 500) == 1


@pytest.mark.parametrize(
    ("window_ms", "idle_ms", "lease_ms", "lapses_ms"),
    [(1000, 0, 0, 1000), (1000, 0, 5000, 5000), (0, 0, 5000, 0), (0, 2000, 0, 2000)],
)
def test_what_no_longer_counts_is_forgotten(
    window_ms: int, idle_ms: int, lease_ms: int, lapses_ms: int
) -> None:
    """When the newest cell has aged and every lease has ended; a lifetime never, unless idle."""
    window, places = Window("k", 9, window_ms, idle_ms), Places()
    windows.stamp(places, window, "", START)
    if lease_ms:
        windows.reserve(places, window, "a", START + lease_ms, START)

    assert places.lapses_at_ms == (START + lapses_ms if lapses_ms else 0)
