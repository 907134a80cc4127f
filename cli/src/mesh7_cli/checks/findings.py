"""A check and what it finds: how bad, what is wrong, and where to read on.

Pure: no clock, no network, no logging.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from mesh7_cli import reading
from mesh7_cli.cluster import looking
from mesh7_cli.cluster.kubectl import Object
from mesh7_cli.cluster.looking import Hidden, Look
from mesh7_cli.overview.gathering import Gathered

PAGE: Final = "docs/administrator/troubleshooting.md"
MOST_DETAILS: Final = 10


class Grade(StrEnum):
    """How bad it is, mildest first."""

    OK = "ok"
    WARN = "warn"
    FATAL = "fatal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a check found.

    Attributes:
        message: what is wrong and what to do; what was found where nothing is wrong, or empty.
        details: the objects that it is about.
    """

    grade: Grade
    message: str = ""
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that was seen.

    Attributes:
        looks: answers by the names that checks need.
        now: aware.
        release: the namespace that mesh7 is installed in.
        gathered: enrolled namespaces; None before an installation.
        took: from before the first question to after the last answer.
    """

    looks: Mapping[str, Look]
    now: datetime
    release: str
    gathered: Gathered | None = None
    took: timedelta = timedelta()

    def value(self, name: str) -> Object:
        """The object of that name; empty where there is none."""
        return looking.value(self.looks[name])

    def items(self, name: str) -> list[dict[str, object]]:
        """Those of the list of that name."""
        return looking.items(self.looks[name])

    def named(self, name: str) -> dict[str, dict[str, object]]:
        """Those of the list by their own names."""
        return {reading.text(one, "metadata", "name"): one for one in self.items(name)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question.

    Attributes:
        name: for programs, and its heading in `PAGE`; stable for ever.
        title: what is true when nothing is wrong.
        needs: answers without which nothing can be said; one that this person may not see makes
            it a warning.
        after: a check without which this one means nothing: where that is fatal, this is left out.
    """

    name: str
    title: str
    judge: Callable[[Facts], Finding]
    needs: tuple[str, ...] = ()
    after: str = ""

    @property
    def hint(self) -> str:
        """Where to read on."""
        return f"{PAGE}#{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """Checks that belong together."""

    name: str
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A check with its finding."""

    category: str
    check: Check
    finding: Finding


def answers(categories: Iterable[Category], facts: Facts) -> list[Answer]:
    """Every check that means something, in order."""
    found: dict[str, Answer] = {}
    for category in categories:
        for check in category.checks:
            before = found.get(check.after)
            if check.after and (before is None or before.finding.grade is Grade.FATAL):
                continue
            found[check.name] = Answer(
                category=category.name, check=check, finding=_finding(check, facts)
            )
    return list(found.values())


def worst(found: Iterable[Answer]) -> Grade:
    """The worst grade of all."""
    order = list(Grade)
    return max((one.finding.grade for one in found), key=order.index, default=Grade.OK)


def ok(message: str = "") -> Finding:
    """Nothing is wrong."""
    return Finding(grade=Grade.OK, message=message)


def warn(message: str, details: Sequence[str] = ()) -> Finding:
    """Something that people should know; nothing is broken."""
    return Finding(grade=Grade.WARN, message=message, details=_cut(details))


def fatal(message: str, details: Sequence[str] = ()) -> Finding:
    """Something does not work."""
    return Finding(grade=Grade.FATAL, message=message, details=_cut(details))


def _finding(check: Check, facts: Facts) -> Finding:
    for need in check.needs:
        look = facts.looks.get(need)
        if isinstance(look, Hidden):
            return warn(f"not known: {look.note}")
    return check.judge(facts)


def _cut(details: Sequence[str]) -> tuple[str, ...]:
    if len(details) <= MOST_DETAILS:
        return tuple(details)
    return (*details[:MOST_DETAILS], f"… and {len(details) - MOST_DETAILS} more")
