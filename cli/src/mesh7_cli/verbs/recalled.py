"""A record by its id, or all records about a request: found whole, never by a prefix."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mesh7_cli import exits, ids, reading
from mesh7_cli.records import MOST, Records, Wish
from mesh7_cli.verbs import recorded
from mesh7_cli.verbs.recorded import Said
from mesh7_core.audit import recorded as lines
from mesh7_core.audit.recorded import Kind
from mesh7_core.audit.wanted import Wanted

_RECORD: Final = re.compile(r"[a-z0-9]{1,32}-[1-9][0-9]{0,17}")
_TRACE: Final = re.compile(r"[0-9a-f]{32}")
_DRAWN: Final = frozenset({Kind.CALL, Kind.DEED})
_SHOWN: Final = 50
_MS_US: Final = 1000
_SECOND_US: Final = 1000 * _MS_US
_BEFORE_US: Final = 60 * _SECOND_US
"""Clocks of pods and of the controller differ."""
_AFTER_US: Final = 24 * 60 * 60 * _SECOND_US
"""Later nobody can answer most requests any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """What was found.

    Attributes:
        main: what is asked about: the record, or the newest call of the request; None = only
            `others` are kept.
        others: what else is recorded about the same request, oldest first.
        notes: what is to know beside them.
    """

    main: Said | None
    others: tuple[Said, ...]
    notes: tuple[str, ...] = ()


def is_id(text: str) -> bool:
    """Whether it is spelled like the id of a record or of a request, and not like a tool."""
    return "-" in text and "." not in text and "/" not in text


def one(records: Records, identifier: str) -> Recalled:
    """The record of this id, or what is recorded about the request of this id.

    Raises:
        UnknownError: there is neither; near ids are named.
    """
    found: list[Recalled] = []

    def ask() -> dict[str, object]:
        found.append(_one(records, identifier))
        return {}

    ids.found(
        "record or request", identifier, ask, lambda: _near(records), records.voice.command("audit")
    )
    return found[0]


def trace(records: Records, identifier: str) -> tuple[str, Sequence[Said], Sequence[str]]:
    """The trace that an id stands for: its own id, its records oldest first, and notes.

    Args:
        identifier: of a trace, a record or a request. The trace id is empty when the record, or
            the request, has none; then it is what belongs to that alone.

    Raises:
        UnknownError: there is nothing by this id, or what there is is no call and no deed.
    """
    if _TRACE.fullmatch(identifier):
        return identifier, *_of_trace(records, identifier, [])
    found = one(records, identifier)
    known = [said for said in (found.main, *found.others) if said is not None]
    traces = [reading.text(said.fields, "traceId") for said in known]
    name = next((each for each in traces if each), "")
    if name:
        return name, *_of_trace(records, name, known)
    if all(said.kind not in _DRAWN for said in known):
        tell = records.voice.command("explain", identifier)
        raise exits.UnknownError(f"`{identifier}` is no call: nothing to draw – `{tell}` tells it")
    return "", sorted(known, key=_time), found.notes


def _of_trace(
    records: Records, name: str, known: Sequence[Said]
) -> tuple[Sequence[Said], Sequence[str]]:
    """All of a trace, and what people did about its requests without knowing of it."""
    page = records.query(Wish(wanted=Wanted(trace=name)))
    found = [*_said(page.lines), *known]
    if not found:
        listing = records.voice.command("audit")
        message = (
            f"no record is of trace `{name}` – a call that named no trace is drawn by its record's"
            f" id, `{listing}` lists what there is"
        )
        raise exits.UnknownError(message)
    deeds, more = _deeds(records, found)
    notes = list(dict.fromkeys((*page.notes, *more)))
    if page.cursor:
        notes.append(f"only the newest {len(page.lines)} records of the trace are drawn")
    return _unique([*found, *deeds]), notes


def _deeds(records: Records, found: Sequence[Said]) -> tuple[Sequence[Said], Sequence[str]]:
    """What people did about these calls' requests: one question, however many there are.

    A question for each would be an object each in a cluster, and an agent makes as many requests
    as it likes.
    """
    asked = {request for said in found if (request := reading.text(said.fields, "requestId"))}
    ends = [at for said in found if (at := _at_us(said)) is not None]
    if not asked or not ends:
        return (), ()
    longest_ms = max(recorded.milliseconds(said.fields, "durationMs") for said in found)
    begin = min(ends) - int(longest_ms * _MS_US)
    wanted = Wanted(is_deed=True, since_us=begin - _BEFORE_US, until_us=max(ends) + _AFTER_US)
    page = records.query(Wish(wanted=wanted))
    deeds = [said for said in _said(page.lines) if reading.text(said.fields, "requestId") in asked]
    if not page.cursor and len(page.lines) < MOST:
        return deeds, page.notes
    note = (
        f"people did more at that time: of the newest {len(page.lines):,} deeds those about the"
        f" trace are drawn, `{records.voice.command('audit', '--deeds')}` lists all"
    )
    return deeds, (*page.notes, note)


def _one(records: Records, identifier: str) -> Recalled:
    if _RECORD.fullmatch(identifier):
        page = records.query(Wish(wanted=Wanted(id=identifier), limit=1))
        main = next(iter(_said(page.lines)), None)
        if main is not None:
            request = reading.text(main.fields, "requestId")
            others = _about(records, request, without=main.id) if request else ()
            return Recalled(main=main, others=others, notes=page.notes)
    page = records.query(Wish(wanted=Wanted(request=identifier)))
    if not page.lines:
        message = "nothing is recorded about it"
        raise exits.UnknownError(message)
    main = next((said for said in _said(page.lines) if said.kind is Kind.CALL), None)
    found = _unique(_said(page.lines))
    return Recalled(
        main=main,
        others=tuple(said for said in found if main is None or said.id != main.id),
        notes=page.notes,
    )


def _about(records: Records, request: str, without: str) -> tuple[Said, ...]:
    page = records.query(Wish(wanted=Wanted(request=request)))
    return tuple(said for said in _unique(_said(page.lines)) if said.id != without)


def _near(records: Records) -> list[str]:
    """Ids that may have been meant: those of the newest records, and their requests."""
    found = _said(records.query(Wish(wanted=Wanted(), limit=_SHOWN)).lines)
    requests = (reading.text(said.fields, "requestId") for said in found)
    return [one for one in dict.fromkeys((*(said.id for said in found), *requests)) if one]


def _said(lines: Sequence[str]) -> list[Said]:
    return [said for line in lines if (said := recorded.read(line)) is not None]


def _unique(found: Sequence[Said]) -> list[Said]:
    """Each once, oldest first."""
    known: dict[str, Said] = {}
    for number, said in enumerate(found):
        known.setdefault(said.id or f"#{number}", said)
    return sorted(known.values(), key=_time)


def _at_us(said: Said) -> int | None:
    return lines.moment(reading.text(said.fields, "time"))


def _time(said: Said) -> str:
    return reading.text(said.fields, "time")
