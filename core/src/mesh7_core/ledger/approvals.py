"""One held call's request: its life, who said what, and the one table of transitions.

    pending  → approved | denied | expired | withdrawn
    approved → used (once) | lapsed

Time moves it too: `at` says what a request is at a moment, whatever was last written. A deadline
belongs to what comes after it: at `opened_at_ms + timeout_ms` a request is expired already.
Pure: no clock, no network, no logging.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from mesh7_core.ledger import shortening
from mesh7_core.ledger.asked import (
    Asking,
    Refused,
    Request,
    State,
    Verdict,
    Vote,
    counts_for,
    is_supported,
    repeats,
    supporters,
)  # fmt: skip
from mesh7_core.ledger.writing import decode, encode

__all__ = [
    "Asking", "Refused", "Request", "State", "Verdict", "Vote",
    "answers", "at", "claim", "closed_at", "counts_for", "decode", "encode", "ends_at", "finish",
    "is_supported", "opened", "supporters", "tally", "vote", "withdraw",
]  # fmt: skip


class Step(StrEnum):
    """What can happen to a request."""

    COUNT = "count"
    """Somebody said yes, and more have to."""
    APPROVE = "approve"
    """Everybody who had to said yes."""
    DENY = "deny"
    EXPIRE = "expire"
    WITHDRAW = "withdraw"
    CLAIM = "claim"
    LAPSE = "lapse"
    FINISH = "finish"


TRANSITIONS: Final = {
    (State.PENDING, Step.COUNT): State.PENDING,
    (State.PENDING, Step.APPROVE): State.APPROVED,
    (State.PENDING, Step.DENY): State.DENIED,
    (State.PENDING, Step.EXPIRE): State.EXPIRED,
    (State.PENDING, Step.WITHDRAW): State.WITHDRAWN,
    (State.APPROVED, Step.CLAIM): State.USED,
    (State.APPROVED, Step.LAPSE): State.LAPSED,
    (State.USED, Step.FINISH): State.USED,
}
"""All that can happen; what is not here is refused."""

_BY_VOTES: Final = frozenset({State.PENDING, State.APPROVED, State.DENIED})


def opened(request: Request, now_ms: int) -> Request:
    """A request as it starts: pending, decided by nobody, whatever the value said before.

    Of arguments that are too long only a part is kept (`shortening`).
    """
    return replace(
        shortening.shortened(request), state=State.PENDING, votes=(), opened_at_ms=now_ms,
        decided_at_ms=0, used_at_ms=0, outcome="", version=1,
    )  # fmt: skip


def at(request: Request, now_ms: int) -> Request:
    """What a request is at a moment: a pending one expires, an approved one lapses."""
    step = _overdue(request, now_ms)
    return request if step is None else replace(request, state=TRANSITIONS[request.state, step])


def answers(request: Request, now_ms: int) -> bool:
    """Whether it is still what its digest is answered by, so that no other may be opened.

    Pending, approved and not used, or denied less than `timeout_ms` ago.
    """
    state = at(request, now_ms).state
    if state is State.DENIED:
        return now_ms < request.decided_at_ms + request.timeout_ms
    return state in {State.PENDING, State.APPROVED}


def ends_at(request: Request) -> int:
    """When time changes what it is: expires, lapses, or stops to answer its digest; 0 = never."""
    if request.state is State.PENDING:
        return request.opened_at_ms + request.timeout_ms
    if request.state is State.APPROVED:
        return request.decided_at_ms + request.use_within_ms
    if request.state is State.DENIED:
        return request.decided_at_ms + request.timeout_ms
    return 0


def closed_at(request: Request) -> int:
    """When nothing more could become of it; 0 = something still can (see `at`)."""
    match request.state:
        case State.PENDING | State.APPROVED:
            return 0
        case State.EXPIRED:
            return request.opened_at_ms + request.timeout_ms
        case State.LAPSED:
            return request.decided_at_ms + request.use_within_ms
        case State.USED:
            return request.used_at_ms
        case State.DENIED | State.WITHDRAWN:
            return request.decided_at_ms


def vote(request: Request, vote: Vote, now_ms: int) -> Request | Refused:
    """Count one person's yes or no.

    A vote counts for every rule that names no group or one of the voter's, so one person may
    serve several rules; who serves none is refused. One no of anybody who counts is the end, also
    of somebody who said yes before.

    Returns:
        The request with the vote, approved once each rule has its number of distinct people;
        or why not: decided, expired, the same person again, not theirs to decide.
    """
    return _voted(request, replace(vote, at_ms=now_ms), now_ms)


def tally(request: Request, votes: Sequence[Vote], now_ms: int, decided_at_ms: int = 0) -> Request:
    """What a request is by these votes alone, whoever is said to have decided it before.

    Votes are taken in order until they decide; those that `vote` would refuse are passed over. A
    request that was used, withdrawn, or closed by time stays what it is. Undecided it is pending
    and has no votes: what people say is not kept there before it decides.

    Args:
        request: as found; its own votes count for nothing.
        votes: in the order they were said; one with `at_ms` 0 is dated when it decided.
        now_ms: by the ledger's clock.
        decided_at_ms: when these votes decided; 0 = now.

    Returns:
        The very request when it is that already; else one with the next version.
    """
    if request.state not in _BY_VOTES:
        return request
    moment = now_ms
    if decided_at_ms:
        moment = min(max(decided_at_ms, request.opened_at_ms), now_ms)
    told = _told(replace(request, state=State.PENDING, votes=(), decided_at_ms=0), votes, moment)
    is_same = (told.state, told.votes) == (request.state, request.votes)
    if is_same and (not decided_at_ms or told.decided_at_ms == request.decided_at_ms):
        return request
    return replace(told, version=request.version + 1)


def claim(request: Request, digest: str, now_ms: int) -> Request | Refused:
    """Use an approval, once, for the very call it was given for."""
    request = at(request, now_ms)
    if request.digest != digest:
        return Refused(f"request `{request.id}` is for another call")
    if (request.state, Step.CLAIM) not in TRANSITIONS:
        return _too_late(request)
    return _moved(replace(request, used_at_ms=now_ms), Step.CLAIM)


def finish(request: Request, outcome: str) -> Request | Refused:
    """Note what became of a used one; what was noted first stays."""
    if (request.state, Step.FINISH) not in TRANSITIONS:
        return Refused(f"request `{request.id}` was not used")
    if request.outcome:
        return Refused(f"request `{request.id}` has an outcome already")
    return _moved(replace(request, outcome=outcome), Step.FINISH)


def withdraw(request: Request, now_ms: int) -> Request | Refused:
    """Nobody needs an answer any more; only what is still pending can be withdrawn."""
    request = at(request, now_ms)
    if (request.state, Step.WITHDRAW) not in TRANSITIONS:
        return _too_late(request)
    return _moved(replace(request, decided_at_ms=now_ms), Step.WITHDRAW)


def _voted(request: Request, vote: Vote, now_ms: int) -> Request | Refused:
    request = at(request, now_ms)
    if request.state is not State.PENDING:
        return _too_late(request)
    before = next((one for one in request.votes if repeats(vote, one)), None)
    if before is not None:
        return Refused(f"`{before.name}` said {before.verdict} at {_spelled(before.at_ms)} already")
    if not any(counts_for(asking, vote) for asking in request.asking):
        return _not_theirs(request, vote)
    votes = (*request.votes, vote)
    step = _said(request.asking, votes, vote.verdict)
    decided_at_ms = 0 if step is Step.COUNT else now_ms
    return _moved(replace(request, votes=votes, decided_at_ms=decided_at_ms), step)


def _told(request: Request, votes: Sequence[Vote], moment_ms: int) -> Request:
    """After as many of the votes as it takes; as it was when they do not suffice."""
    told = request
    for one in votes:
        dated = one if one.at_ms else replace(one, at_ms=moment_ms)
        counted = _voted(told, dated, moment_ms)
        if isinstance(counted, Request):
            told = counted
        if told.state is not State.PENDING:
            return told
    return at(request, moment_ms)


def _said(asking: tuple[Asking, ...], votes: tuple[Vote, ...], verdict: Verdict) -> Step:
    if verdict is Verdict.DENY:
        return Step.DENY
    return Step.APPROVE if is_supported(asking, votes) else Step.COUNT


def _moved(request: Request, step: Step) -> Request:
    return replace(request, state=TRANSITIONS[request.state, step], version=request.version + 1)


def _overdue(request: Request, now_ms: int) -> Step | None:
    if request.state is State.PENDING and now_ms >= ends_at(request):
        return Step.EXPIRE
    if request.state is State.APPROVED and now_ms >= ends_at(request):
        return Step.LAPSE
    return None


def _not_theirs(request: Request, vote: Vote) -> Refused:
    groups = sorted({group for asking in request.asking for group in asking.groups})
    named = ", ".join(f"`{group}`" for group in groups)
    return Refused(f"`{vote.name}` is in none of the groups that may decide this: {named}")


def _too_late(request: Request) -> Refused:
    """What happened to it instead, and when."""
    decided, named = _spelled(request.decided_at_ms), _names(request)
    closed = _spelled(closed_at(request))
    happened = {
        State.PENDING: "is not decided yet",
        State.APPROVED: f"was approved by {named} at {decided}",
        State.DENIED: f"was denied by {named} at {decided}",
        State.EXPIRED: f"expired at {closed}, before enough people had decided",
        State.WITHDRAWN: f"was withdrawn at {decided}",
        State.USED: f"was approved by {named} and used at {closed}",
        State.LAPSED: f"was approved by {named} at {decided} and not used before {closed}",
    }
    return Refused(f"request `{request.id}` {happened[request.state]}")


def _names(request: Request) -> str:
    """Who decided: those who said no if anybody did, else all who said yes."""
    no = [one for one in request.votes if one.verdict is Verdict.DENY]
    return ", ".join(f"`{one.name}`" for one in no or request.votes)


def _spelled(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
