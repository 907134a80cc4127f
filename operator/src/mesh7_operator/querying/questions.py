"""An AuditQuery's spec, read: what is asked, and from where on.

The schema has judged it; what it could not know is said in words. Pure: no clock, no network, no
logging.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mesh7_core.audit import recorded
from mesh7_core.audit.deeds import Act, Deed
from mesh7_core.audit.wanted import Wanted
from mesh7_core.policy.globs import BadGlob, TextGlob

USUAL_LIMIT: Final = 100
MOST_RECORDS: Final = 500
_MOST_SAID: Final = 1024
_CURSOR: Final = re.compile(r"([0-9]{1,19}-[0-9]{1,19})(?:\.([0-9]{1,10}))?")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an answer ended.

    Attributes:
        entry: the id of a stream entry.
        lines: how many lines at its beginning were not looked at; 0 = it is done with.
    """

    entry: str
    lines: int = 0

    def __str__(self) -> str:
        return f"{self.entry}.{self.lines}" if self.lines else self.entry

    @property
    def before(self) -> str:
        """The id that all that is left is older than."""
        if not self.lines:
            return self.entry
        milliseconds, _, number = self.entry.partition("-")
        return f"{milliseconds}-{int(number) + 1}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One.

    Attributes:
        asked_by: the person, as admission has held it to the API server's word.
        place: where it goes on; None = it begins with the newest.
        is_verify: it asks whether all is sound, and for nothing else.
        said: all that it asks for, in one line.
    """

    asked_by: str
    said: str
    wanted: Wanted
    limit: int
    place: Place | None
    is_verify: bool


def read(spec: Mapping[str, object]) -> Question | str:
    """What is asked; a text that says what is wrong with it."""
    since, until = (_moment(spec, name) for name in ("since", "until"))
    place = _place(_text(spec, "cursor"))
    if isinstance(place, str):
        return place
    for name, moment in (("since", since), ("until", until)):
        if isinstance(moment, str):
            return f"spec.{name}: {moment}"
    try:
        tool = TextGlob.parse(_text(spec, "tool")) if _text(spec, "tool") else None
    except BadGlob as error:
        return f"spec.tool: {error.message}"
    return Question(
        asked_by=_text(spec, "requestedBy"),
        said=_said(spec),
        wanted=Wanted(
            id=_text(spec, "id"),
            agent=_text(spec, "agent"),
            pod=_text(spec, "pod"),
            tool=tool,
            decision=_text(spec, "decision"),
            reason=_text(spec, "reason"),
            outcome=_text(spec, "outcome"),
            rule=_text(spec, "rule"),
            is_deed=spec.get("deeds") is True,
            trace=_text(spec, "trace"),
            request=_text(spec, "request"),
            since_us=since if isinstance(since, int) else None,
            until_us=until if isinstance(until, int) else None,
        ),
        limit=_limit(spec.get("limit")),
        place=place,
        is_verify=spec.get("verify") is True,
    )


def deed(question: Question, name: str, at_ns: int) -> Deed:
    """That it was asked, as the audit itself has it.

    Args:
        question: which.
        name: of the AuditQuery.
        at_ns: Unix time in nanoseconds.
    """
    return Deed(
        at_ns=at_ns,
        act=Act.AUDIT,
        person=question.asked_by,
        name=question.asked_by,
        evidence=f"auditquery {name}",
        reason=question.said,
    )


def _said(spec: Mapping[str, object]) -> str:
    asked = {name: value for name, value in spec.items() if name != "requestedBy"}
    words = [f"{name}={value}" for name, value in sorted(asked.items()) if value is not False]
    return " ".join(words)[:_MOST_SAID] or "everything"


def _place(cursor: str) -> Place | str | None:
    if not cursor:
        return None
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        return "spec.cursor: is none of ours, write the `status.cursor` of an earlier answer"
    return Place(found[1], int(found[2] or 0))


def _moment(spec: Mapping[str, object], name: str) -> int | str | None:
    text = _text(spec, name)
    if not text:
        return None
    found = recorded.moment(text)
    return "is no time, write one such as `2026-11-21T09:00:00Z`" if found is None else found


def _limit(value: object) -> int:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return min(max(int(value), 1), MOST_RECORDS) if is_number else USUAL_LIMIT  # type: ignore[call-overload]


def _text(spec: Mapping[str, object], name: str) -> str:
    found = spec.get(name)
    return found if isinstance(found, str) else ""
