"""Ids of held calls that closed and were deleted."""

import pytest

from mesh7_operator.controller.approving.remembering import MOST_IDS, MOST_NAMESPACES, Gone

DAY_S = 24 * 60 * 60.0


@pytest.mark.promise("C3")
def test_an_id_is_remembered_for_a_day_in_its_namespace() -> None:
    """Security review of issue 7, F7: another call under the id of one that was pushed out."""
    gone = Gone()
    gone.add("shop", ["r-1"], 0.0)
    gone.add("shop", ["r-2"], 10.0)
    assert gone.of("shop", 20.0) == {"r-1", "r-2"}
    assert gone.of("bank", 20.0) == frozenset()
    assert gone.of("shop", DAY_S) == {"r-2"}
    assert gone.of("shop", DAY_S + 10) == frozenset()


def test_what_is_remembered_is_bounded_and_a_flood_pushes_out_its_own_first() -> None:
    gone = Gone()
    gone.add("shop", ["r-1"], 0.0)
    gone.add("evil", (f"r-{number}" for number in range(MOST_IDS + 5)), 1.0)
    assert len(gone.of("evil", 2.0)) == MOST_IDS
    assert "r-4" not in gone.of("evil", 2.0)
    for number in range(MOST_NAMESPACES - 2):
        gone.add(f"evil-{number}", (f"r-{one}" for one in range(MOST_IDS)), 1.0)
    assert gone.of("shop", 2.0) == {"r-1"}
    gone.add("more", (f"r-{one}" for one in range(MOST_IDS)), 1.0)
    assert gone.of("shop", 2.0) == frozenset()
    gone.forget("evil")
    assert gone.of("evil", 2.0) == frozenset()


def test_an_id_that_is_told_of_again_counts_once() -> None:
    gone = Gone()
    for second in (0.0, 10.0):
        gone.add("shop", ["r-1"], second)
    gone.forget("shop")
    gone.add("shop", ["r-2"], 11.0)
    assert gone.of("shop", 12.0) == {"r-2"}
