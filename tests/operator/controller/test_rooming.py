"""How many held calls become ApprovalRequests, however many are opened."""

from mesh7_operator.controller.rooming import Rooms


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
