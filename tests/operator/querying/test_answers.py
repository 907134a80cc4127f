"""Answers from a stream: newest first, by filter, page by page, within bounds."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.ledger.audit_entries import Kind, Segment
from mesh7_operator.querying import answers, questions
from mesh7_operator.querying.answers import Answer
from mesh7_operator.querying.questions import Question
from tests.operator.querying import trails
from tests.operator.querying.trails import BEGAN_MS, CHAIN, Trail, line

TRACE = "0123456789abcdef0123456789abcdef"


def _asked(**spec: Any) -> Question:
    found = questions.read({"requestedBy": "jane", **spec})
    assert isinstance(found, Question)
    return found


def _status(trail: Trail, **spec: Any) -> dict[str, Any]:
    answer = Answer(_asked(**spec), trails.SHOP)
    while not answer.is_full:
        answer.take(trail.page(answer.before))
    return dict(answer.status())


def _ids(trail: Trail, **spec: Any) -> list[str]:
    return trails.ids(_status(trail, **spec)["records"])


def _numbers(*numbers: int) -> list[str]:
    return [f"{CHAIN}-{number}" for number in numbers]


def _three() -> Trail:
    trail = Trail()
    trail.write(line(BEGAN_MS), line(BEGAN_MS + 1, "billing.charge", decision="Deny"))
    trail.write(line(BEGAN_MS + 1000, traceId=TRACE, requestId="r-1"))
    return trail


@pytest.mark.promise("T5")
def test_records_come_newest_first_each_as_the_line_that_was_written() -> None:
    trail = _three()
    found = _status(trail)
    assert trails.ids(found["records"]) == _numbers(3, 2, 1)
    stored = trail.entries[1].segment
    assert stored is not None
    assert found["records"][0].encode() == stored.body.splitlines()[0]
    assert (found["phase"], found["scanned"], "cursor" in found) == ("Done", 3, False)


@pytest.mark.parametrize(
    ("spec", "numbers"),
    [
        ({"decision": "Deny"}, [2]),
        ({"tool": "*.charge"}, [2]),
        ({"tool": "billing.*"}, [3, 2, 1]),
        ({"trace": TRACE}, [3]),
        ({"request": "r-1"}, [3]),
        ({"id": f"{CHAIN}-2"}, [2]),
        ({"id": f"{CHAIN}-22"}, []),
        ({"agent": "support"}, [3, 2, 1]),
        ({"agent": "shop/support"}, [3, 2, 1]),
        ({"agent": "lab/support"}, []),
        ({"pod": "support-7d9f"}, [3, 2, 1]),
        ({"pod": "support"}, []),
        ({"outcome": "ok", "reason": "allowed-by-rule", "rule": "support/reads"}, [3, 2, 1]),
        ({"deeds": True}, []),
        ({"since": "2026-11-21T11:02:17Z"}, [3]),
        ({"until": "2026-11-21T11:02:17Z"}, [2, 1]),
        ({"decision": "Deny", "trace": TRACE}, []),
    ],
)
def test_a_record_has_to_agree_with_all_that_is_asked(
    spec: dict[str, Any], numbers: list[int]
) -> None:
    assert _ids(_three(), **spec) == _numbers(*numbers)


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    limit=st.integers(1, 7),
    later=st.integers(0, 2),
)
def test_pages_together_are_all_and_each_record_once_while_new_ones_come(
    sizes: list[int], limit: int, later: int
) -> None:
    """A cursor is a place in the stream: what is added at the other end does not move it."""
    trail = Trail()
    for size in sizes:
        trail.write(*(line(BEGAN_MS + at) for at in range(size)))
    cursor, found = dict[str, str](), list[str]()
    while True:
        page = _status(trail, limit=limit, **cursor)
        assert len(page["records"]) <= limit
        found += trails.ids(page["records"])
        for _ in range(later):
            trail.write(line(BEGAN_MS))
        if "cursor" not in page:
            break
        cursor = {"cursor": page["cursor"]}
    assert found == _numbers(*range(sum(sizes), 0, -1))


def test_a_cursor_whose_entry_was_trimmed_goes_on_with_what_is_left() -> None:
    trail = _three()
    cursor = _status(trail, limit=2)["cursor"]
    del trail.entries[0]
    found = _status(trail, cursor=cursor)
    assert (found["records"], "cursor" in found) == ([], False)


def test_records_that_are_too_many_for_a_status_come_with_the_cursor() -> None:
    """Issue 8: at most 512 KiB, counted as JSON spells them."""
    trail = Trail()
    for _ in range(8):
        trail.write(*(line(BEGAN_MS, redacted="\"'\\" * 10_000) for _ in range(3)))
    first = _status(trail, limit=500)
    assert len(json.dumps(first["records"], ensure_ascii=False)) <= answers.MOST_BYTES
    assert 0 < len(first["records"]) < 24
    rest = _status(trail, limit=500, cursor=first["cursor"])
    both = trails.ids(first["records"] + rest["records"])
    assert both == _numbers(*range(24, 24 - len(both), -1))


def test_a_record_that_fits_in_no_status_is_left_out_and_said() -> None:
    trail = Trail()
    trail.write(line(BEGAN_MS, redacted="x" * answers.MOST_BYTES), line(BEGAN_MS))
    found = _status(trail)
    assert trails.ids(found["records"]) == _numbers(2)
    assert found["message"] == "1 records are too large to be shown here"


def test_an_answer_that_looked_at_very_much_lets_others_have_their_turn() -> None:
    """Attack: a question that nothing agrees with, over an audit as long as it may be."""
    trail = Trail()
    for _ in range(answers.MOST_SCANNED // 300_000 + 3):
        trail.write(line(BEGAN_MS, redacted="x" * 300_000))
    found = _status(trail, decision="Hold")
    assert found["records"] == []
    assert found["message"].endswith(" records were looked at; go on with the cursor")
    assert _status(trail, decision="Hold", cursor=found["cursor"]).get("cursor") is None


def test_what_is_older_than_asked_is_not_read() -> None:
    trail = Trail()
    for hours in range(40):
        when = BEGAN_MS + 3_600_000 * hours
        trail.write(line(when), at_ms=when)
    answer = Answer(_asked(since="2026-11-23T01:00:00Z", until="2026-11-23T02:00:00Z"), trails.SHOP)
    pages = 0
    while not answer.is_full:
        answer.take(trail.page(answer.before))
        pages += 1
    assert trails.ids(answer.status()["records"]) == _numbers(39)  # type: ignore[arg-type]
    assert pages == 1


def test_entries_that_nobody_of_ours_wrote_are_passed_over() -> None:
    """Attack: whoever writes to Redis can write anything; verifying finds it."""
    trail = _three()
    trail.add(None, BEGAN_MS + 5000)
    garbage = b'\xff{"seal":\n[]\nnull\n{"id":7,"time":{}}\n{"decision":["Deny"]}\n'
    said = Segment(
        kind=Kind.BLOCKS, chain=CHAIN, first=1, last=1, hash="0" * 64, records=5, body=garbage
    )
    trail.add(said, BEGAN_MS + 6000)
    assert _ids(trail, decision="Deny") == _numbers(2)


def test_an_audit_without_records_says_so() -> None:
    found = _status(Trail())
    assert found == {
        "phase": "Done", "records": [], "scanned": 0,
        "message": "nothing is recorded here that is still kept",
    }  # fmt: skip


@pytest.mark.promise("T5")
def test_older_words_under_the_same_ids_make_no_answer_larger_than_a_status() -> None:
    """A sidecar that was taken over: nobody of its namespace could be answered any more."""
    older, trail = Trail(), Trail()
    for number in range(6):
        large = line(BEGAN_MS + number, padding="x" * 200_000)
        trail.add(older.write(large).segment, BEGAN_MS + number)
    for number in range(6):
        trail.write(line(BEGAN_MS + 10_000 + number), at_ms=BEGAN_MS + 10_000 + number)
    answer = Answer(_asked(), trails.SHOP)
    while not answer.is_full:
        answer.take(trail.page(answer.before))
    found: dict[str, Any] = dict(answer.status())
    assert len(json.dumps(found["records"], ensure_ascii=False)) <= answers.MOST_BYTES
    assert trails.ids(found["records"]) == _numbers(6, 5, 4, 3, 2, 1)
    assert "6 entries are left out" in found["message"]
