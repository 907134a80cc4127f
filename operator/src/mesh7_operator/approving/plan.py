"""One function: how a namespace's held calls stand goes in, what is to be done comes out.

Level-triggered and idempotent: what the steps make of the ground needs no steps, but for the clock.
Pure: no clock, no network, no logging.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from mesh7_core import names
from mesh7_core.ledger.asked import State
from mesh7_operator.approving import answering, looking, mirrored, moments, opening
from mesh7_operator.approving.ground import KEPT_S, MOST_MIRRORED, Ground
from mesh7_operator.approving.looking import Looked
from mesh7_operator.approving.opening import Open, Opened
from mesh7_operator.approving.steps import Steps
from mesh7_operator.reconciling.world import Written

_Closed = tuple[int, str, str]
"""When it closed, its name, its uid."""
_KEPT_MS: Final = KEPT_S * 1000


def plan(ground: Ground) -> Steps:
    """What is to be done; nothing when everything is as it should be."""
    ground = _own(ground)
    grants = answering.by_request(ground.grants)
    found = tuple(looking.looked(ground, grants))
    sizes = {one.written.uid: _size(one) for one in found}
    opened = opening.opened(ground, _open(found, sizes))
    closed = _closed(found, ground)
    deleted = frozenset(_deleted(found, closed, ground, opened, sizes))
    kept = [one for one in found if one.written.uid not in deleted]
    settle = [one.followed.settle for one in found if one.followed is not None]
    statuses = [change for one in kept if (change := looking.status_change(one, ground))]
    return Steps(
        settle=(*(one for one in settle if one is not None), *opened.settle),
        mirror=opened.mirror,
        statuses=(
            *(reply for one in kept for reply in one.replies),
            *looking.strangers(ground, grants),
            *statuses,
        ),
        deleted=tuple((one.written.name, one.written.uid) for one in found
                      if one.written.uid in deleted),
        gone=tuple(name for _, name, uid in closed if uid in deleted),
        kept_bytes=opened.size_bytes + sum(sizes[one.written.uid] for one in kept),
        events=(*(told for one in found if (told := looking.event(one))), *opened.events),
        doubted=opened.doubted,
        look_again_at=min(_turns(kept, closed, opened, ground), default=None),
    )  # fmt: skip


def _own(ground: Ground) -> Ground:
    """Without what cannot be: objects of other namespaces and kinds."""

    def of(objects: Iterable[Written], kind: str) -> tuple[Written, ...]:
        return tuple(
            one for one in objects if (one.kind, one.namespace) == (kind, ground.namespace)
        )

    return replace(
        ground,
        mirrors=of(ground.mirrors, names.APPROVAL_REQUEST),
        grants=of(ground.grants, names.GRANT),
    )


def _size(one: Looked) -> int:
    return mirrored.size_bytes(one.written.value, one.written.status)


def _open(found: Iterable[Looked], sizes: Mapping[str, int]) -> Open:
    known = [one for one in found if one.is_open]
    return Open(
        many=len(known),
        digests=frozenset(one.mirror.digest for one in known if one.mirror is not None),
        pods=Counter(
            one.mirror.uid for one in known if one.mirror is not None and one.state is State.PENDING
        ),
        size_bytes=sum(sizes[one.written.uid] for one in known),
    )


def _closed(found: Iterable[Looked], ground: Ground) -> list[_Closed]:
    """Those that closed, the longest closed first."""
    now_ms = moments.ms_of(ground.now)
    return sorted(
        (_closed_at_ms(one, now_ms), one.written.name, one.written.uid)
        for one in found
        if not one.is_open and not one.is_stray
    )


def _closed_at_ms(one: Looked, now_ms: int) -> int:
    return now_ms if one.was in mirrored.OPEN else mirrored.closed_at_ms(one.written)


def _deleted(
    found: Iterable[Looked],
    closed: Sequence[_Closed],
    ground: Ground,
    opened: Opened,
    sizes: Mapping[str, int],
) -> Iterator[str]:
    """Uids: strays, those that closed long ago, and of too many or too much those that say least.

    First those that nobody decided, then the others, each the longest closed first: whoever asks
    and withdraws in a loop erases nothing of who allowed what.
    """
    now_ms = moments.ms_of(ground.now)
    yield from (one.written.uid for one in found if one.is_stray)
    of_ours = [one for one in found if not one.is_stray]
    excess = len(of_ours) + len(opened.mirror) - MOST_MIRRORED
    too_much = sum(sizes[one.written.uid] for one in of_ours)
    too_much += opened.size_bytes - ground.most_bytes
    decided = {one.written.uid for one in of_ours if _is_decided(one)}

    def order(one: _Closed) -> tuple[bool, bool, _Closed]:
        closed_at_ms, _, uid = one
        return closed_at_ms + _KEPT_MS > now_ms, uid in decided, one

    for index, one in enumerate(sorted(closed, key=order)):
        closed_at_ms, _, uid = one
        if index < excess or too_much > 0 or closed_at_ms + _KEPT_MS <= now_ms:
            too_much -= sizes[uid]
            yield uid


def _is_decided(one: Looked) -> bool:
    """Whether anybody's word stands there; what time or the pod alone closed tells of nobody."""
    if one.state not in {State.WITHDRAWN, State.EXPIRED}:
        return True
    now = mirrored.standing(one.written) if one.followed is None else one.followed.now
    return bool(now.decisions)


def _turns(
    kept: Iterable[Looked], closed: Iterable[_Closed], opened: Opened, ground: Ground
) -> Iterator[datetime]:
    """When time alone changes something."""
    now_ms = moments.ms_of(ground.now)
    for closed_at_ms, _, _ in closed:
        if closed_at_ms + _KEPT_MS > now_ms:
            yield ground.now + _span(closed_at_ms + _KEPT_MS - now_ms)
            break
    if not ground.store_ms:
        return
    for one in kept:
        if one.written.name in ground.left_out:
            continue
        if one.is_open and one.mirror is not None and one.followed is not None:
            is_pending = one.state is State.PENDING
            until_ms = one.followed.now.usable_until_ms
            ends_at_ms = one.mirror.expires_at_ms if is_pending else until_ms
            yield ground.now + _span(ends_at_ms - ground.store_ms)
    for ends_at_ms in opened.ends_at_ms:
        yield ground.now + _span(ends_at_ms - ground.store_ms)


def _span(milliseconds: int) -> timedelta:
    return timedelta(milliseconds=milliseconds)
