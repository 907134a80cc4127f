"""A trace and what people did about it: found with few questions, each may be a cluster's."""

from pathlib import Path

import pytest

from mesh7_cli.auditing.folder import Folder
from mesh7_cli.records import Page, Wish
from mesh7_cli.verbs import recalled
from mesh7_core.audit.wanted import Wanted
from tests.cli.auditing.written import CHAIN, TRACE, Writer, call, deed, microseconds


class Asked(Folder):
    """A folder that keeps what it was asked."""

    def __init__(self, state: Path) -> None:
        super().__init__(state)
        self.wishes: list[Wish] = []

    def query(self, wish: Wish) -> Page:
        self.wishes.append(wish)
        return super().query(wish)


def request(number: int) -> str:
    return f"r-{number:026d}"


@pytest.mark.promise("T5")
def test_a_trace_with_many_requests_is_found_with_two_questions(tmp_path: Path) -> None:
    """Attack: an agent that makes requests by the hundred had one AuditQuery made for each."""
    writer = Writer(tmp_path)
    for number in range(200):
        about = request(number)
        writer.write(call(number, traceId=TRACE, requestId=about, decision="Hold", durationMs=1000))
        writer.write(deed(number + 0.5, requestId=about), deed(number, requestId=request(999)))
    records = Asked(tmp_path)
    name, found, notes = recalled.trace(records, TRACE)
    assert len(records.wishes) == 2
    assert (name, len(found), list(notes)) == (TRACE, 400, [])
    wanted = records.wishes[1].wanted
    assert wanted == Wanted(
        is_deed=True, since_us=microseconds(-61), until_us=microseconds(199 + 24 * 60 * 60)
    )


@pytest.mark.promise("T5")
def test_deeds_that_were_not_looked_at_are_said(tmp_path: Path) -> None:
    """What is left out is told, never just missing."""
    writer = Writer(tmp_path)
    writer.write(call(0, traceId=TRACE, requestId=request(1)), deed(1, requestId=request(1)))
    writer.write(*(deed(2 + number, requestId=request(2)) for number in range(500)))
    _, found, (note,) = recalled.trace(Folder(tmp_path), TRACE)
    assert [said.what for said in found] == ["Allow"]
    assert note == (
        "people did more at that time: of the newest 500 deeds those about the trace are drawn,"
        " `mesh7 audit --deeds` lists all"
    )


@pytest.mark.promise("T5")
def test_a_trace_without_requests_asks_about_no_deeds(tmp_path: Path) -> None:
    """Most have none."""
    Writer(tmp_path).write(call(0, traceId=TRACE))
    records = Asked(tmp_path)
    assert len(recalled.trace(records, TRACE)[1]) == 1
    assert len(records.wishes) == 1


@pytest.mark.promise("T5")
def test_a_record_without_a_trace_needs_no_question_more(tmp_path: Path) -> None:
    """It and its request are all that there is."""
    Writer(tmp_path).write(call(0, requestId=request(1)), deed(1, requestId=request(1)))
    name, found, _ = recalled.trace(Folder(tmp_path), f"{CHAIN}-1")
    assert (name, [said.what for said in found]) == ("", ["Allow", "approve"])
