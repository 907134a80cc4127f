"""docs/reference/conditions.md explains every word that a status can say, and no other."""

import re
from pathlib import Path

from mesh7_core.compiling.diagnostics import Code
from mesh7_operator.approving import telling
from mesh7_operator.reconciling.events import PHASES, TURNS
from mesh7_operator.reconciling.reasons import Phase, Reason, Type

PAGE = (Path(__file__).parents[3] / "docs/reference/conditions.md").read_text()


def _section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def _headings(section: str) -> list[str]:
    return re.findall(r"(?m)^### `(\w+)`$", section)


def test_every_condition_has_its_paragraph() -> None:
    assert sorted(_headings(_section("Conditions"))) == sorted(one.value for one in Type)


def test_every_reason_has_its_paragraph_and_no_paragraph_its_reason_lost() -> None:
    assert sorted(_headings(_section("Reasons"))) == sorted(one.value for one in Reason)


def test_every_paragraph_says_something() -> None:
    paragraphs = re.split(r"(?m)^### .*$", _section("Reasons"))[1:]
    assert all(paragraph.strip() for paragraph in paragraphs)


def test_every_phase_has_its_row() -> None:
    rows = re.findall(r"(?m)^\| `(\w+)` \|", _section("Phases"))
    assert sorted(rows) == sorted(one.value for one in Phase)


def test_every_event_stands_in_the_table() -> None:
    told = set(re.findall(r"`(\w+)`", _section("Events")))
    reasons = {one.value for bad, good in TURNS.values() for one in (*bad, *good)}
    phases = {reason.value for reason, _ in PHASES.values()}
    conditions = {one.value for one in TURNS}
    of_calls = {reason.value for reason, _ in telling.EVENTS.values()}
    assert told == reasons | phases | conditions | of_calls


def test_every_code_of_the_compiler_is_a_reason() -> None:
    assert {one.value for one in Code} <= {one.value for one in Reason}
