"""A request as bytes and back; whatever is not exactly one is none.

The bytes are one JSON object. Reading is strict, because a store can be cut short or written to by
others: a missing, extra or mistyped key, an unknown word, a time before the one it follows, or a
state that its votes do not carry all read as nothing. Only what releases before did not write may
be missing, all of it or none: a laptop's requests outlive an update. More rules, groups or votes
than there can be are none either: reading them would keep others waiting.
Pure: no clock, no network, no logging.
"""

import json
import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeVar

from mesh7_core.ledger import asked
from mesh7_core.ledger.asked import Asking, Request, State, Verdict, Vote

Word = TypeVar("Word", bound=StrEnum)

_REQUEST = frozenset(Request.__dataclass_fields__)
_ASKING = frozenset(Asking.__dataclass_fields__)
_VOTE = frozenset(Vote.__dataclass_fields__)
_ADDED: Final[Mapping[str, object]] = {
    "uid": "", "family": "tools", "source_kind": "mcp", "source_host": "", "source": "",
    "mark": "", "salt": "", "policies": [],
}  # fmt: skip
"""What the release before did not write, of requests and of votes, and what it meant."""
_OPTIONAL = frozenset({"traceparent"})
"""Of a request: written where it says something, so that others read what says nothing."""
_AGREED = (State.APPROVED, State.USED, State.LAPSED)


class _NotOneError(ValueError):
    """What was read is no request."""


def encode(request: Request) -> bytes:
    """One JSON object, keys sorted, no blanks, ASCII."""
    written = _fields(request, _REQUEST) | {
        "asking": [_fields(one, _ASKING) for one in request.asking],
        "votes": [_fields(one, _VOTE) for one in request.votes],
    }
    for name in _OPTIONAL:
        if not written[name]:
            del written[name]
    return json.dumps(written, sort_keys=True, separators=(",", ":")).encode("ascii")


def decode(written: bytes) -> Request | None:
    """The request that `encode` made these bytes of; None when it made them of none."""
    try:
        request = _request(json.loads(written))
    except (ValueError, RecursionError):
        return None
    return request if _is_true(request) else None


def _fields(value: Request | Asking | Vote, names: frozenset[str]) -> dict[str, object]:
    return {name: getattr(value, name) for name in names}


def _request(found: object) -> Request:
    item = _object(found, _REQUEST)
    return Request(
        id=_named(item, "id"), digest=_named(item, "digest"), agent=_text(item, "agent"),
        pod=_text(item, "pod"), tool=_named(item, "tool"), arguments=_text(item, "arguments"),
        definition=_text(item, "definition"),
        asking=tuple(_asking(one) for one in _list(item, "asking", asked.MOST_ASKING)),
        timeout_ms=_number(item, "timeout_ms"), use_within_ms=_number(item, "use_within_ms"),
        state=_word(item, "state", State),
        votes=tuple(_vote(one) for one in _list(item, "votes", asked.MOST_VOTES)),
        opened_at_ms=_number(item, "opened_at_ms"), decided_at_ms=_number(item, "decided_at_ms"),
        used_at_ms=_number(item, "used_at_ms"), outcome=_text(item, "outcome"),
        trace_id=_text(item, "trace_id"), traceparent=_text(item, "traceparent"),
        version=_number(item, "version"),
        cut_from_bytes=_number(item, "cut_from_bytes"),
        uid=_text(item, "uid"), family=_text(item, "family"),
        source_kind=_text(item, "source_kind"), source_host=_text(item, "source_host"),
        source=_text(item, "source"), mark=_text(item, "mark"), salt=_text(item, "salt"),
    )  # fmt: skip


def _asking(found: object) -> Asking:
    item = _object(found, _ASKING)
    count = _number(item, "count")
    if count > asked.MOST_PEOPLE:
        raise _NotOneError
    return Asking(
        rule=_named(item, "rule"),
        groups=_texts(item, "groups", asked.MOST_GROUPS),
        count=count,
        text=_text(item, "text"),
    )


def _vote(found: object) -> Vote:
    item = _object(found, _VOTE)
    return Vote(
        person=_named(item, "person"),
        name=_text(item, "name"),
        groups=_texts(item, "groups"),
        policies=_texts(item, "policies"),
        verdict=_word(item, "verdict", Verdict),
        reason=_text(item, "reason"),
        evidence=_text(item, "evidence"),
        at_ms=_number(item, "at_ms"),
    )


def _is_true(request: Request) -> bool:
    """Whether people's votes and the times carry the state that is written."""
    if _is_repeated(request.votes):
        return False
    has_no = any(one.verdict is Verdict.DENY for one in request.votes)
    has_yes = not has_no and asked.is_supported(request.asking, request.votes)
    agreed = request.state in _AGREED
    if agreed != has_yes or (request.state is State.DENIED) != has_no:
        return False
    decided = agreed or request.state in {State.DENIED, State.WITHDRAWN}
    used = request.state is State.USED
    return (
        request.opened_at_ms <= (request.decided_at_ms if decided else request.opened_at_ms)
        and (request.decided_at_ms > 0) == decided
        and (request.used_at_ms >= request.decided_at_ms if used else request.used_at_ms == 0)
        and (used or not request.outcome)
    )


def _is_repeated(votes: tuple[Vote, ...]) -> bool:
    """Whether a vote repeats an earlier one (`asked.repeats`); as many as a hostile store has."""
    spoken: dict[tuple[str, Verdict], set[str]] = {}
    for one in votes:
        # A no repeats no yes.
        against = Verdict if one.verdict is Verdict.APPROVE else (Verdict.DENY,)
        for verdict in against:
            before = spoken.get((one.person, verdict))
            if before is not None and not (
                before and one.policies and before.isdisjoint(one.policies)
            ):
                return True
        spoken.setdefault((one.person, one.verdict), set()).update(one.policies)
    return False


def _object(found: object, names: frozenset[str]) -> Mapping[str, object]:
    optional = _OPTIONAL & names
    if not isinstance(found, dict):
        raise _NotOneError
    if found.keys() | optional not in (names, names - _ADDED.keys()):
        raise _NotOneError
    return {**_ADDED, **dict.fromkeys(optional, ""), **found}


def _list(item: Mapping[str, object], name: str, most: int = sys.maxsize) -> list[object]:
    found = item[name]
    if not isinstance(found, list) or len(found) > most:
        raise _NotOneError
    return found


def _text(item: Mapping[str, object], name: str) -> str:
    found = item[name]
    if not isinstance(found, str):
        raise _NotOneError
    return found


def _named(item: Mapping[str, object], name: str) -> str:
    found = _text(item, name)
    if not found:
        raise _NotOneError
    return found


def _texts(item: Mapping[str, object], name: str, most: int = sys.maxsize) -> tuple[str, ...]:
    found = _list(item, name, most)
    texts = tuple(one for one in found if isinstance(one, str))
    if len(texts) != len(found):
        raise _NotOneError
    return texts


def _number(item: Mapping[str, object], name: str) -> int:
    found = item[name]
    if type(found) is not int or found < 0:  # a bool is an int, and no number
        raise _NotOneError
    return found


def _word(item: Mapping[str, object], name: str, words: type[Word]) -> Word:
    return words(_text(item, name))
