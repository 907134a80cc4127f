"""Requests as people's programs get them: JSON in which nothing can move a cursor (A11).

Arguments are spliced in as they were judged, so numbers keep their digits. Every character that
does not show, or changes what others show, is written as a JSON escape; the value is the same.
Pure: no clock, no network, no logging.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import orjson

from mesh7_core.ledger import asked, showing
from mesh7_core.ledger.asked import Request, State
from mesh7_core.policy.destination import Destination

MAXIMUM_LISTED_CHARACTERS: Final = 16 * 1024
"""Of arguments in a list; one request by its id is shown whole."""
_CALENDAR_MS: Final = 253_402_300_800_000
"""The year 10000, which no date can be written of."""
_HEAD: Final = 4096
_TAIL: Final = 1024
# Printable to Python, yet drawn as nothing: joiners, fillers, selectors, the empty braille cell.
_UNSEEN: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)
# Looked at one by one; the rest passes in runs. Line breaks and the like JSON has escaped itself.
_BEYOND_ASCII: Final = re.compile("[^\x00-\x7e]")
_CONTROLS: Final = {number: f"\\u{number:04x}" for number in range(32)}
_OPEN: Final = frozenset({State.PENDING, State.APPROVED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What a request is shown against.

    Attributes:
        now_ms: by the ledger's clock.
        others: all that are known, the shown ones among them.
        waiting: how many callers wait for a request now.
        destinations: by source, where calls go now.
    """

    now_ms: int
    others: Sequence[Request]
    waiting: Callable[[str], int]
    destinations: Mapping[str, Destination]


def is_open(request: Request) -> bool:
    """Whether something can still become of it: it waits for people, or to be used."""
    return request.state in _OPEN


def listed(requests: Sequence[Request], moment: Moment) -> bytes:
    """`{"requests": […]}`, long arguments cut."""
    return b'{"requests":[%b]}' % b",".join(_all(requests, moment, MAXIMUM_LISTED_CHARACTERS))


def changed(request: Request, moment: Moment) -> bytes:
    """`{"request": …}`, long arguments cut."""
    (text,) = _all([request], moment, MAXIMUM_LISTED_CHARACTERS)
    return b'{"request":%b}' % text


def whole(request: Request, moment: Moment) -> bytes:
    """One request with all that is kept of its arguments."""
    (text,) = _all([request], moment, len(request.arguments))
    return text


def rendered(value: object) -> bytes:
    """Any JSON value, in the same careful spelling."""
    return plain(orjson.dumps(value).decode()).encode()


def plain(text: str) -> str:
    """JSON text whose strings hold no character that does not show as itself."""
    return _BEYOND_ASCII.sub(_spelled, text)


def visible(text: str) -> str:
    """Text in which every character that does not show as itself is written as an escape."""
    return plain(text).translate(_CONTROLS)


def when(at_ms: int) -> str | None:
    """RFC 3339 in UTC, to the millisecond; None for 0, which is never, and beyond the calendar."""
    if not 0 < at_ms < _CALENDAR_MS:
        return None
    spelled = datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{spelled}.{at_ms % 1000:03d}Z"


def _all(requests: Sequence[Request], moment: Moment, characters: int) -> list[bytes]:
    pending: dict[str, int] = {}
    ran: dict[str, list[Request]] = {}
    for each in moment.others:
        if each.state is State.PENDING:
            pending[each.pod] = pending.get(each.pod, 0) + 1
        if each.state is State.USED:
            ran.setdefault(each.digest, []).append(each)
    return [_one(each, moment, characters, pending, ran) for each in requests]


def _one(
    request: Request, moment: Moment, characters: int, pending: dict[str, int],
    ran: dict[str, list[Request]],
) -> bytes:  # fmt: skip
    before = [each for each in ran.get(request.digest, ()) if each.id != request.id]
    head = {"id": request.id, "state": request.state, "tool": request.tool,
            "source": _source(request, moment),
            "agent": request.agent, "pod": request.pod}  # fmt: skip
    tail = {
        "argumentsCutFrom": request.cut_from_bytes or None,
        "unseen": bool(request.arguments) and not showing.is_whole(request),
        "rules": [_rule(asking, request) for asking in request.asking],
        "openedAt": when(request.opened_at_ms),
        "expiresAt": when(request.opened_at_ms + request.timeout_ms),
        "usableUntil": _usable_until(request),
        "definition": request.definition,
        "digest": request.digest,
        "decisions": [_decision(vote) for vote in request.votes],
        "outcome": request.outcome,
        "ranBefore": [_run(each, moment.now_ms) for each in before],
        "pending": pending.get(request.pod, 0),
        "waiting": moment.waiting(request.id),
        "traceId": request.trace_id,
    }
    return b'%b,"arguments":%b,%b' % (
        rendered(head)[:-1], _arguments(request, characters), rendered(tail)[1:],
    )  # fmt: skip


def _source(request: Request, moment: Moment) -> dict[str, str]:
    """Where its call goes; of one whose ToolSource was changed since, what was kept of it."""
    name = request.tool.partition(".")[0]
    found = moment.destinations.get(name)
    if found is None or found.digest != request.source:
        host, path = request.source_host, ""
    else:
        host, path = found.address, found.path
    return {"name": name, "kind": request.source_kind, "host": host, "path": path}


def _arguments(request: Request, characters: int) -> bytes:
    """As they were judged; as a string when they are too long, or are no JSON object.

    What the ledger has cut says so itself; of what it has let go there is null.
    """
    text = request.arguments
    if not text:
        return b"null"
    if len(text) > characters:
        said = f"{len(text)} characters, `mesh7 show {request.id}` shows all"
        if request.cut_from_bytes:
            said = f"{request.cut_from_bytes} bytes when it was asked, not all of it was kept"
        return rendered(f"{text[:_HEAD]} … ({said}) … {text[-_TAIL:]}")
    try:
        # Whoever writes to a shared ledger could otherwise add fields to what people are shown.
        is_object = isinstance(orjson.loads(text), dict)
    except ValueError:
        is_object = False
    return plain(text).encode() if is_object else rendered(text)


def _rule(asking: asked.Asking, request: Request) -> dict[str, object]:
    names = {vote.person: vote.name for vote in request.votes}
    return {
        "rule": asking.rule,
        "reason": asking.text,
        "groups": asking.groups,
        "count": asking.count,
        "approvedBy": [names[each] for each in asked.supporters(asking, request.votes)],
    }


def _usable_until(request: Request) -> str | None:
    if request.state is not State.APPROVED:
        return None
    return when(request.decided_at_ms + request.use_within_ms)


def _decision(vote: asked.Vote) -> dict[str, object]:
    return {
        "person": vote.person,
        "name": vote.name,
        "verdict": vote.verdict,
        "reason": vote.reason,
        "at": when(vote.at_ms),
    }


def _run(request: Request, now_ms: int) -> dict[str, object]:
    return {
        "id": request.id,
        "at": when(request.used_at_ms),
        "secondsAgo": max(0, now_ms - request.used_at_ms) // 1000,
        "outcome": request.outcome,
    }


def _spelled(found: re.Match[str]) -> str:
    character = found[0]
    if character.isprintable() and _UNSEEN.match(character) is None:
        return character
    number = ord(character)
    if number > 0xFFFF:  # noqa: PLR2004 - beyond it JSON wants two surrogates
        number -= 0x10000
        return f"\\u{0xD800 + (number >> 10):04x}\\u{0xDC00 + (number & 0x3FF):04x}"
    return f"\\u{number:04x}"
