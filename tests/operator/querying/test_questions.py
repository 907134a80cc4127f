"""What an AuditQuery asks, read from its spec."""

from typing import Any

import pytest

from mesh7_core.audit.deeds import Act
from mesh7_operator.querying import questions
from mesh7_operator.querying.questions import Place, Question


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"tool": "billing.[a-z]"}, "spec.tool: "),
        ({"cursor": "7"}, "spec.cursor: is none of ours"),
        ({"since": "yesterday"}, "spec.since: is no time, write one such as"),
        ({"until": "2026-11-21T09:00:00"}, "spec.until: is no time, write one such as"),
    ],
)
def test_what_the_schema_could_not_know_is_said_in_words(spec: dict[str, Any], said: str) -> None:
    found = questions.read({"requestedBy": "jane", **spec})
    assert isinstance(found, str)
    assert found.startswith(said)


@pytest.mark.parametrize("limit", [None, 0, "7", True, 10_000])
def test_a_limit_that_no_schema_let_through_bounds_all_the_same(limit: object) -> None:
    found = questions.read({"requestedBy": "jane", "limit": limit})
    assert isinstance(found, Question)
    assert 1 <= found.limit <= questions.MOST_RECORDS


@pytest.mark.parametrize(
    ("cursor", "before"), [("17-3", "17-3"), ("17-3.5", "17-4"), ("17-0.1", "17-1")]
)
def test_a_cursor_within_an_entry_reads_that_entry_again(cursor: str, before: str) -> None:
    found = questions.read({"requestedBy": "jane", "cursor": cursor})
    assert isinstance(found, Question)
    assert found.place is not None
    assert (str(found.place), found.place.before) == (cursor, before)


def test_a_place_that_is_done_with_has_no_lines() -> None:
    assert str(Place("17-3", 0)) == "17-3"


@pytest.mark.promise("T5")
def test_who_asked_and_for_what_is_a_deed() -> None:
    """The audit of the audit."""
    found = questions.read({"requestedBy": "jane", "decision": "Deny", "limit": 5})
    assert isinstance(found, Question)
    deed = questions.deed(found, "audit-bcdfg", 7)
    assert (deed.act, deed.person, deed.name) == (Act.AUDIT, "jane", "jane")
    assert (deed.evidence, deed.reason) == ("auditquery audit-bcdfg", "decision=Deny limit=5")
