"""A line of the audit, read back: which kind it is and what people look for in it.

Its writer may be older or newer, or somebody who edits files: what is missing or of another type
reads as empty. Pure: no clock, no network, no logging.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

import orjson

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_END: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
LONGEST_ID: Final = 64
"""Characters of a record's id; ours have fewer."""


class Kind(StrEnum):
    """What a line tells of."""

    CALL = "call"
    DEED = "deed"
    BUNDLE = "bundle"
    DROPPED = "dropped"
    TORN = "torn"
    SEAL = "seal"
    OTHER = "other"


class Traits(NamedTuple):
    """What many lines have in common, so that an index keeps it once; empty = it has none.

    Attributes:
        agent: `<namespace>/<service account>`.
        rules: those that spoke.
    """

    kind: Kind
    agent: str
    pod: str
    tool: str
    decision: str
    reason: str
    outcome: str
    rules: tuple[str, ...]


@dataclass(slots=True)
class Recorded:
    """One line.

    Attributes:
        id: `<chain>-<number>`; empty of lines of before there were chains.
        at_us: microseconds since 1970; None when it has no time.
        fields: all of it.
    """

    id: str
    at_us: int | None
    traits: Traits
    trace_id: str
    request_id: str
    fields: dict[str, object]


def read(line: bytes) -> Recorded | None:
    """What a line says; None when it is no JSON object."""
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, dict):
        return None
    identifier = _text(found, "id")
    return Recorded(
        identifier if len(identifier) <= LONGEST_ID else "",
        moment(_text(found, "time")),
        _traits(found),
        _text(found, "traceId"),
        _text(found, "requestId"),
        found,
    )


def moment(text: str) -> int | None:
    """Microseconds since 1970 of an RFC 3339 time; None when it is none, or none that UTC has."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    if found.tzinfo is None:
        return None
    # An offset may lead before the year 1 or beyond 9999, which nobody could write again.
    since = (found - _EPOCH) // _MICROSECOND
    return since if 0 <= since <= _END else None


def kind(fields: dict[str, object]) -> Kind:
    """What a line tells of."""
    if "decision" in fields:
        return Kind.CALL
    for one in (Kind.SEAL, Kind.DEED, Kind.BUNDLE, Kind.DROPPED, Kind.TORN):
        if one.value in fields:
            return one
    return Kind.OTHER


def _traits(fields: dict[str, object]) -> Traits:
    what = kind(fields)
    agent = fields.get("agent")
    if isinstance(agent, dict):
        name = f"{_text(agent, 'namespace')}/{_text(agent, 'serviceAccount')}"
        pod = _text(agent, "pod")
    else:
        name, pod = agent if isinstance(agent, str) else "", ""
    rules = fields.get("rules")
    return Traits(
        what,
        name,
        pod,
        _text(fields, "tool"),
        _text(fields, "decision"),
        _text(fields, "reason") if what is Kind.CALL else "",
        _text(fields, "outcome"),
        tuple(one for one in rules if isinstance(one, str)) if isinstance(rules, list) else (),
    )


def _text(fields: dict[str, object], name: str) -> str:
    found = fields.get(name)
    return found if isinstance(found, str) else ""
