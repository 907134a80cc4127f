"""A source that is down is left alone, and found again by one call at a time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_sidecar.net.breaker import FAILURES, Breaker

REST_S = 5.0
FAIL, ANSWER, CALL = "failed", "answered", "call"
Steps = list[tuple[float, str]]


def admitted(steps: Steps) -> list[bool]:
    """What the breaker says to each call of `steps`, which are (time, what happens)."""
    breaker = Breaker(REST_S)
    said = []
    for now, what in steps:
        if what == FAIL:
            breaker.failed(now)
        elif what == ANSWER:
            breaker.answered()
        else:
            said.append(breaker.admits(now))
    return said


FIVE = [(0.0, FAIL)] * 5


@pytest.mark.promise("S9")
@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([(0.0, CALL), (0.0, CALL)], [True, True]),
        ([*FIVE[:4], (0.1, CALL)], [True]),
        ([*FIVE, (0.1, CALL), (4.9, CALL)], [False, False]),
        ([*FIVE[:4], (0.1, ANSWER), (0.2, FAIL), (0.3, CALL)], [True]),
        ([*FIVE, (5.0, CALL), (5.1, CALL), (9.9, CALL)], [True, False, False]),
        ([*FIVE, (5.0, CALL), (5.1, ANSWER), (5.2, CALL), (5.2, CALL)], [True, True, True]),
        ([*FIVE, (5.0, CALL), (7.0, FAIL), (11.9, CALL), (12.0, CALL)], [True, False, True]),
        ([*FIVE, (5.0, CALL), (10.0, CALL), (10.1, CALL)], [True, True, False]),
        ([*FIVE, (3.0, FAIL), (7.9, CALL), (8.0, CALL)], [False, True]),
    ],
    ids=[
        "a working source gets every call",
        "four failures are none",
        "after five it rests",
        "an answer in between starts the count anew",
        "after the rest one call probes",
        "an answered probe ends it",
        "a failed probe makes it rest again",
        "a probe that nothing is heard of makes room for the next",
        "a late failure prolongs the rest",
    ],
)
def test_calls_are_let_through_as_the_table_says(steps: Steps, expected: list[bool]) -> None:
    """Promise S9; the table of states in the module's docstring."""
    assert admitted(steps) == expected


HISTORIES = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.5, 1.0, 4.0, 5.0, 6.0]), st.sampled_from([FAIL, FAIL, ANSWER, CALL])
    ),
    max_size=40,
)


@pytest.mark.promise("S9")
@given(HISTORIES)
def test_a_source_is_refused_only_after_five_failures_and_within_the_rest(
    gaps: list[tuple[float, str]],
) -> None:
    """Promise S9, by its history: what came since the last answer decides, and nothing else."""
    now = 0.0
    breaker = Breaker(REST_S)
    since_answer: list[float] = []
    probes: list[float] = []
    for gap, what in gaps:
        now += gap
        if what == FAIL:
            breaker.failed(now)
            since_answer.append(now)
        elif what == ANSWER:
            breaker.answered()
            since_answer, probes = [], []
        else:
            is_down = len(since_answer) >= FAILURES
            is_resting = any(now - at < REST_S for at in [*since_answer[-1:], *probes])
            assert breaker.admits(now) is not (is_down and is_resting)
            if is_down and not is_resting:
                probes.append(now)
        assert breaker.is_open == (len(since_answer) >= FAILURES)
