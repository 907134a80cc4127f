"""Buckets: how often somebody may ask."""

from hypothesis import given
from hypothesis import strategies as st

from mesh7_operator.exchange.rates import Buckets


def test_a_burst_passes_and_then_one_in_ten_seconds() -> None:
    """Issue 5: per pod uid, 1 per 10 s, burst 5."""
    buckets = Buckets(burst=5, every_s=10.0)
    assert [buckets.take("uid", 0.0) for _ in range(6)] == [0, 0, 0, 0, 0, 10]
    assert buckets.take("other", 0.0) == 0
    assert buckets.take("uid", 4.0) == 6
    assert [buckets.take("uid", 10.0), buckets.take("uid", 10.0)] == [0, 10]
    assert [buckets.take("uid", 1000.0) for _ in range(6)] == [0, 0, 0, 0, 0, 10]


@given(st.integers(1, 6), st.floats(0.5, 20), st.lists(st.floats(0, 30), min_size=1, max_size=60))
def test_in_no_span_more_pass_than_the_burst_and_what_came_back(
    burst: int, every_s: float, gaps: list[float]
) -> None:
    buckets, now_s, passed = Buckets(burst=burst, every_s=every_s), 0.0, []
    for gap in gaps:
        now_s += gap
        if not buckets.take("uid", now_s):
            passed.append(now_s)
    for first, start_s in enumerate(passed):
        for last, end_s in enumerate(passed[first:], first):
            assert last - first + 1 <= burst + (end_s - start_s) / every_s + 1e-6


def test_names_are_not_remembered_without_end() -> None:
    buckets = Buckets(burst=1, every_s=10.0, most=3)
    for name in "abcd":
        assert buckets.take(name, 0.0) == 0
    assert buckets.take("d", 0.0) == 10
    assert buckets.take("a", 0.0) == 0, "who asked longest ago begins anew"
