"""Answers as people and programs read them.

Pure: no clock, no network, no logging.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

from mesh7_cli.checks.findings import Answer, Finding, Grade, worst

SUMMARIES = {
    Grade.OK: "nothing is wrong",
    Grade.WARN: "nothing is broken; read the warnings",
    Grade.FATAL: "something is broken",
}


def lines(answers: Sequence[Answer]) -> Iterator[tuple[str, str]]:
    """Each line as the word that may be coloured, empty for none, and the rest."""
    for name, group in groupby(answers, key=lambda one: one.category):
        yield "", name
        for one in group:
            yield from _lines(one)
        yield "", ""
    yield "", SUMMARIES[worst(answers)]


def _lines(answer: Answer) -> Iterator[tuple[str, str]]:
    finding = answer.finding
    if finding.grade is Grade.OK:
        tail = f" ({finding.message})" if finding.message else ""
        yield finding.grade.value, f"{answer.check.title}{tail}"
        return
    yield finding.grade.value, answer.check.title
    yield "", f"         {finding.message}"
    for detail in finding.details:
        yield "", f"           {detail}"
    yield "", f"         see {answer.check.hint}"


def as_object(answers: Sequence[Answer]) -> dict[str, object]:
    """For programs."""
    return {
        "result": worst(answers).value,
        "categories": [
            {"name": name, "checks": [_check(one) for one in group]}
            for name, group in groupby(answers, key=lambda one: one.category)
        ],
    }


def _check(answer: Answer) -> dict[str, object]:
    return {
        "name": answer.check.name,
        "title": answer.check.title,
        **_finding(answer.finding),
        "hint": answer.check.hint,
    }


def _finding(finding: Finding) -> dict[str, object]:
    return {
        "result": finding.grade.value,
        "message": finding.message,
        "details": list(finding.details),
    }
