"""Each ApprovalRequest of a namespace in one round: what becomes of it, and what its Grants hear.

One that is closed and on which nothing bears any more is hardly looked at: there may be a thousand.
Pure: no clock, no network, no logging.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

from mesh7_core.ledger.asked import State
from mesh7_core.ledger.asking import Asked
from mesh7_operator.approving import (
    answering,
    following,
    genuine,
    mirrored,
    mirroring,
    replying,
    telling,
)
from mesh7_operator.approving.following import Followed, Situation
from mesh7_operator.approving.ground import Ground
from mesh7_operator.approving.mirrored import OPEN, Mirrored
from mesh7_operator.approving.rulebook import Rulebook
from mesh7_operator.reconciling.plan import Event, StatusChange
from mesh7_operator.reconciling.reasons import Reason
from mesh7_operator.reconciling.world import Written


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """One ApprovalRequest after this round.

    Attributes:
        is_stray: it is none that the controller wrote.
        was: its state before.
        followed: None = nothing bears on it.
        replies: new statuses of its Grants.
    """

    written: Written
    was: State
    is_stray: bool = False
    mirror: Mirrored | None = None
    followed: Followed | None = None
    replies: tuple[StatusChange, ...] = ()

    @property
    def state(self) -> State:
        """Its state now."""
        return self.was if self.followed is None else self.followed.now.state

    @property
    def is_open(self) -> bool:
        """Whether it waits or can be used."""
        return self.state in OPEN and not self.is_stray


def looked(ground: Ground, grants: Mapping[str, Sequence[Written]]) -> Iterator[Looked]:
    """All of them, in the order given.

    Args:
        ground: of their namespace.
        grants: as `answering.by_request` has them.
    """
    ledger = ground.ledger or {}
    asked = cache(partial(genuine.asked, book=Rulebook(ground.policies or {})))
    anew = _asked_anew(ground)
    for written in ground.mirrors:
        answered = grants.get(written.name, [])
        unheard = [one for one in answered if not replying.is_final(one)]
        state = mirrored.state_of(written)
        if state in OPEN or written.name in ledger or unheard:
            yield _looked(written, answered, unheard, ground, asked, anew)
        else:
            yield Looked(written=written, was=state)


def status_change(one: Looked, ground: Ground) -> StatusChange | None:
    """Its new status; None = it says so already."""
    if one.mirror is None or one.followed is None:
        return None
    written, now = one.written, one.followed.now
    if now.reason is None:
        return None
    status = mirroring.status(one.mirror, now, ground.now)
    return None if status == written.status else _change(written, status)


def event(one: Looked) -> Event | None:
    """What is told of it at the pod; nothing at one that is gone."""
    if one.mirror is None or one.followed is None or one.state is one.was:
        return None
    now = one.followed.now
    return None if now.reason is Reason.POD_GONE else telling.event(one.mirror, now)


def strangers(ground: Ground, grants: Mapping[str, Sequence[Written]]) -> Iterator[StatusChange]:
    """New statuses of Grants whose request is not there."""
    known = {one.name for one in ground.mirrors}
    for name, answered in grants.items():
        for grant in answered if name not in known else ():
            if not replying.is_final(grant):
                yield from _differing(grant, replying.homeless(grant, ground))


def _looked(
    written: Written,
    answered: Sequence[Written],
    unheard: Sequence[Written],
    ground: Ground,
    asked: Callable[[tuple[str, ...]], Asked | None],
    anew: Collection[str],
) -> Looked:
    was = mirrored.state_of(written)
    mirror = mirrored.read(written)
    if mirror is None:
        return Looked(written=written, was=was, is_stray=True)
    if written.name in ground.left_out:
        # For this one it is as if Redis were lost: it is there, and forgotten by nobody.
        ground = replace(ground, ledger=None)
    answers = cache(partial(answering.answers, mirror, answered, ground))
    before = mirrored.standing(written)
    held = (ground.ledger or {}).get(written.name)
    followed = following.follow(
        Situation(
            ground=ground,
            mirror=mirror,
            before=before,
            held=held if held is not None and mirror.is_of(held.request) else None,
            is_asked_anew=mirror.digest in anew,
            asked=asked,
            votes=lambda: tuple(answering.votes_of(answers())),
        )
    )
    is_heard_anew = was is State.PENDING and replying.undecided(ground) is None
    due = {one.name for one in (answered if is_heard_anew else unheard)}
    replies = [
        change
        for one in (answers() if due else ())
        if one.written.name in due
        for change in _differing(one.written, replying.reply(one, mirror, followed.now, ground))
    ]
    return Looked(
        written=written, was=was, mirror=mirror, followed=followed, replies=tuple(replies)
    )


def _asked_anew(ground: Ground) -> Collection[str]:
    """Digests of calls that open requests ask about which are not mirrored."""
    known = {one.name for one in ground.mirrors}
    return {
        one.request.digest
        for name, one in (ground.ledger or {}).items()
        if name not in known and one.request.state in OPEN
    }


def _differing(grant: Written, status: Mapping[str, object]) -> Iterator[StatusChange]:
    if status != grant.status:
        yield _change(grant, status)


def _change(written: Written, status: Mapping[str, object]) -> StatusChange:
    return StatusChange(kind=written.kind, name=written.name, uid=written.uid, status=status)
