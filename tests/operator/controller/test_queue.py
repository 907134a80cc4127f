"""The queue: once each, in order of time, spaced, backing off. Pure."""

from mesh7_operator.controller.queue import LONGEST_PAUSE_S, Queue


def _queue() -> Queue:
    """Without jitter: the longest pause each time."""
    return Queue(spread=lambda _, longest: longest)


def test_a_namespace_waits_once_however_often_it_is_marked() -> None:
    queue = _queue()
    for _ in range(3):
        queue.mark("shop", 10.0)
    assert queue.depth(10.0) == 1
    assert queue.take(10.0) == "shop"
    assert queue.take(10.0) is None


def test_the_one_that_waits_longest_is_taken_first() -> None:
    queue = _queue()
    queue.mark("late", 12.0)
    queue.mark("early", 11.0)
    assert [queue.take(12.0), queue.take(12.0)] == ["early", "late"]


def test_one_that_changes_while_it_is_reconciled_is_taken_again_afterwards() -> None:
    queue = _queue()
    queue.mark("shop", 10.0)
    queue.take(10.0)
    queue.mark("shop", 10.1)
    assert queue.take(10.1) is None
    queue.done("shop", 10.5)
    assert queue.take(10.6) is None
    assert queue.take(10.7) == "shop"


def test_one_that_fails_is_tried_again_later_each_time() -> None:
    queue = _queue()
    now_s, pauses = 0.0, []
    queue.mark("shop", now_s)
    for _ in range(9):
        assert queue.take(now_s) == "shop"
        pauses.append(queue.failed("shop", now_s))
        now_s += pauses[-1]
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, LONGEST_PAUSE_S]
    queue.take(now_s)
    queue.done("shop", now_s)
    queue.mark("shop", now_s + 1)
    queue.take(now_s + 1)
    assert queue.failed("shop", now_s + 1) == 0.5


def test_a_change_does_not_wait_for_the_pause_of_a_failure() -> None:
    queue = _queue()
    for _ in range(6):
        queue.mark("shop", 0.0)
        queue.take(1000.0)
        queue.failed("shop", 0.0)
    queue.mark("shop", 1.0)
    assert queue.take(1.0) == "shop"


def test_what_is_due_later_does_not_wait_now() -> None:
    queue = _queue()
    queue.mark("shop", 0.0, after_s=30.0)
    assert (queue.depth(1.0), queue.age_s(1.0), queue.take(1.0)) == (0, 0.0, None)
    assert queue.next_s() == 30.0
    queue.mark("shop", 2.0)
    assert queue.take(2.0) == "shop"


def test_the_age_counts_from_when_it_was_due_and_while_it_is_reconciled() -> None:
    """`/healthz` sees a stuck queue by it."""
    queue = _queue()
    queue.mark("shop", 10.0)
    assert queue.age_s(15.0) == 5.0
    queue.take(15.0)
    assert queue.age_s(80.0) == 65.0
    queue.done("shop", 80.0)
    assert queue.age_s(90.0) == 0.0


def test_one_that_is_forgotten_leaves_nothing() -> None:
    queue = _queue()
    queue.mark("shop", 0.0)
    queue.forget("shop")
    assert queue.take(0.0) == "shop"
    queue.done("shop", 0.0)
    queue.forget("shop")
    assert queue.next_s() is None


def test_one_that_is_forgotten_in_its_turn_leaves_nothing() -> None:
    """Else every namespace that came and went would be remembered for ever."""
    queue = _queue()
    queue.mark("shop", 0.0)
    assert queue.take(0.0) == "shop"
    queue.forget("shop")
    queue.done("shop", 0.0)
    queue.mark("shop", 0.0)
    # Nothing is known of an earlier turn that it would be spaced from.
    assert queue.take(0.0) == "shop"


def test_one_that_is_marked_after_it_was_forgotten_is_taken_again() -> None:
    queue = _queue()
    queue.mark("shop", 0.0)
    assert queue.take(0.0) == "shop"
    queue.forget("shop")
    queue.mark("shop", 1.0)
    queue.done("shop", 1.0)
    assert queue.take(2.0) == "shop"


def _is_remembered(queue: Queue, at_s: float) -> bool:
    """Whether it is spaced from a turn of just before, of which something is known then."""
    queue.mark("shop", at_s)
    return queue.take(at_s) is None


def test_one_that_is_forgotten_in_a_turn_that_fails_leaves_nothing() -> None:
    """Its failure marked it, and it was remembered for ever."""
    queue = _queue()
    queue.mark("shop", 0.0)
    assert queue.take(0.0) == "shop"
    queue.forget("shop")
    again_s = queue.failed("shop", 0.0)
    assert queue.take(again_s) == "shop"
    queue.done("shop", again_s)
    assert not _is_remembered(queue, again_s)


def test_one_that_is_forgotten_while_it_waits_to_be_tried_again_leaves_nothing() -> None:
    queue = _queue()
    queue.mark("shop", 0.0)
    assert queue.take(0.0) == "shop"
    again_s = queue.failed("shop", 0.0)
    queue.forget("shop")
    assert queue.take(again_s) == "shop", "there may be something to clear up"
    queue.done("shop", again_s)
    assert not _is_remembered(queue, again_s)
