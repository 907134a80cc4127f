"""Whose turn it is among the questions of one namespace."""

from mesh7_core import names
from mesh7_operator.querying import turns
from mesh7_operator.reconciling.world import Written


def _query(number: int, phase: str = "") -> Written:
    made = f"2026-11-21T09:00:{number % 60:02d}Z"
    return Written(
        kind=names.AUDIT_QUERY, namespace="shop", name=f"q-{number:04d}", uid=f"u-{number:04d}",
        generation=1, value={"metadata": {"creationTimestamp": made}},
        status={"phase": phase} if phase else {},
    )  # fmt: skip


def _names(found: tuple[Written, ...]) -> list[str]:
    return [one.name for one in found]


def test_first_come_first_served() -> None:
    asked = [_query(2), _query(1, "Pending"), _query(0, "Done")]
    turn = turns.turn(asked, {})
    assert turn.next is not None
    assert (turn.next.name, _names(turn.waiting), turn.too_many, turn.over) == (
        "q-0001", ["q-0002"], (), ()
    )  # fmt: skip


def test_a_flood_of_questions_is_refused_beyond_those_that_wait() -> None:
    """Attack: somebody asks without end."""
    turn = turns.turn([_query(number) for number in range(50)], {})
    assert len(turn.waiting) == turns.MOST_WAITING
    assert _names(turn.too_many) == [f"q-{number:04d}" for number in range(33, 50)]


def test_after_five_minutes_a_question_is_over_answered_or_not() -> None:
    asked = [_query(1), _query(2, "Done"), _query(3, "Done")]
    ages = {"u-0001": 300.0, "u-0002": 301.0, "u-0003": 299.0}
    turn = turns.turn(asked, ages)
    assert turn.next is None
    assert _names(turn.over) == ["q-0001", "q-0002"]


def test_of_many_answers_the_oldest_go_before_their_time() -> None:
    """Attack: half a megabyte each would fill etcd."""
    turn = turns.turn([_query(number, "Done") for number in range(35)], {})
    assert _names(turn.over) == ["q-0000", "q-0001", "q-0002"]
