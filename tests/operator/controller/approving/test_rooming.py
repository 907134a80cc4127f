"""How many held calls become ApprovalRequests, however many are opened."""

import pytest

from mesh7_operator.controller.approving.rooming import ALL_EVENTS, EVENTS, Room, Rooms, Shares


def test_a_burst_is_made_at_once_and_then_two_a_second() -> None:
    """Issue 7: flooding is capped before etcd sees it."""
    rooms = Rooms()
    assert rooms.left("shop", 0.0) == 200
    rooms.take("shop", 200, 0.0)
    assert (rooms.left("shop", 0.0), rooms.left("shop", 0.4), rooms.left("shop", 1.0)) == (0, 0, 2)
    rooms.take("shop", 2, 1.0)
    assert rooms.left("shop", 1.4) == 0
    assert rooms.left("shop", 31.0) == 60
    assert rooms.left("bank", 31.0) == 200


def test_it_fills_up_and_no_further() -> None:
    rooms = Rooms()
    rooms.take("shop", 150, 0.0)
    assert rooms.left("shop", 1_000.0) == 200
    rooms.take("shop", 1, 1_000.0)
    assert rooms.left("shop", 1_000.0) == 199


def test_a_clock_that_stands_still_gives_nothing() -> None:
    rooms = Rooms()
    rooms.take("shop", 200, 5.0)
    assert rooms.left("shop", 4.0) == 0


@pytest.mark.promise("K10")
def test_many_namespaces_together_get_no_more_than_the_cluster_has() -> None:
    """Security review of issue 7, F5: nothing bounded the cluster, and namespaces are free."""
    rooms = Rooms()
    made = 0
    for second in range(60):
        for number in range(300):
            left = rooms.left(f"evil-{number}", float(second))
            rooms.take(f"evil-{number}", left, float(second))
            made += left
    # Each gets one, whatever the others took.
    assert made <= 4_000 + 60 * 40 + 300


@pytest.mark.promise("K10")
def test_who_asked_for_nothing_lately_is_served_whatever_others_take() -> None:
    """The same: a tenant with many namespaces left the others nothing."""
    rooms = Rooms()
    for number in range(300):
        rooms.take(f"evil-{number}", 200, 10.0)
    assert rooms.left("evil-1", 10.0) == 0
    assert rooms.left("shop", 10.0) == 1
    rooms.take("shop", 1, 10.0)
    assert rooms.left("shop", 10.1) == 0
    assert rooms.left("shop", 20.0) == 1
    assert rooms.left("shop", 10_000.0) == 200


@pytest.mark.promise("K10")
def test_two_thousand_calls_of_a_hundred_namespaces_are_shown_at_once() -> None:
    """Issue 7: 2,000 pending across 100 namespaces."""
    rooms = Rooms()
    for number in range(100):
        assert rooms.left(f"shop-{number}", 0.0) >= 20
        rooms.take(f"shop-{number}", 20, 0.0)


def test_events_have_a_room_of_their_own() -> None:
    rooms = Rooms(EVENTS, ALL_EVENTS)
    rooms.take("shop", 400, 0.0)
    assert (rooms.left("shop", 0.0), rooms.left("shop", 10.0)) == (0, 20)
    assert Rooms(Room(at_once=3.0, per_s=1.0)).left("shop", 0.0) == 3


@pytest.mark.promise("K10")
def test_of_too_much_the_largest_give_way_and_the_small_keep_theirs() -> None:
    """Security review of issue 7, F5: closed mirrors of all namespaces together."""
    shares = Shares(100)
    shares.keeps("shop", 10)
    shares.keeps("bank", 20)
    shares.keeps("evil", 70)
    assert (shares.of("evil") > 1_000, shares.largest()) == (True, "")
    shares.keeps("evil", 200)
    assert (shares.of("shop"), shares.of("bank"), shares.of("evil")) == (40, 45, 70)
    assert shares.largest() == "evil"
    shares.keeps("evil-2", 200)
    assert (shares.of("shop"), shares.of("evil"), shares.of("new")) == (26, 35, 23)
    shares.keeps("evil", 0)
    shares.keeps("evil-2", 70)
    assert shares.largest() == ""
