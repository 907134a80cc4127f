"""Requests that nobody mirrored yet: the oldest genuine ones, as many as there is room for.

Of one pod there is room for some, so that none that asks without end hides what another waits for.

What Redis says people decided of them without our signature is nobody's word: they wait again.
Pure: no clock, no network, no logging.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from mesh7_core.delivery import decisions
from mesh7_core.delivery.decisions import Decision
from mesh7_core.ledger.asked import State
from mesh7_operator.approving import deciding, genuine, mirrored, mirroring, telling
from mesh7_operator.approving.ground import (
    MOST_MIRRORED,
    MOST_OPEN,
    MOST_OPEN_OF_POD,
    Ground,
    InLedger,
)
from mesh7_operator.approving.mirrored import Standing
from mesh7_operator.approving.rulebook import Rulebook
from mesh7_operator.approving.steps import Mirror, Settle
from mesh7_operator.reconciling.plan import Event
from mesh7_operator.reconciling.reasons import Reason

MOST_LOOKED_AT: Final = 1_000
"""Requests that are held against the rules in one round, the oldest first."""

_DECIDED: Final = frozenset({State.APPROVED, State.DENIED, State.USED, State.LAPSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What is mirrored now.

    Attributes:
        ends_at_ms: when those that are mirrored now expire, by the store's clock.
        doubted: why the others are not.
        size_bytes: of them all (`mirrored.size_bytes`).
    """

    mirror: tuple[Mirror, ...] = ()
    settle: tuple[Settle, ...] = ()
    events: tuple[Event, ...] = ()
    ends_at_ms: tuple[int, ...] = ()
    doubted: Mapping[str, str] = field(default_factory=dict)
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """What waits or can be used after this round, beside what is mirrored now.

    Attributes:
        many: how many mirrors.
        digests: of their calls; two of one call would be two yeses for it.
        pods: how many of each pod wait, by uid.
        size_bytes: of them all.
    """

    many: int
    digests: Collection[str]
    pods: Mapping[str, int]
    size_bytes: int


def opened(ground: Ground, open_now: Open) -> Opened:
    """New mirrors.

    Args:
        ground: while Redis, pods or policies are not known, nothing is mirrored.
        open_now: mirrors that are open already.
    """
    if ground.ledger is None or ground.policies is None or ground.pods is None:
        return Opened()
    book = Rulebook(ground.policies)
    found, doubted = _genuine(ground, book, open_now)
    turns = _turns(ground.ledger)
    made, size_bytes = [], 0
    for held in found:
        mirror, event = _mirror(held, ground, book, turns)
        size = mirrored.size_bytes(mirror.manifest, mirror.status)
        if open_now.size_bytes + size_bytes + size > ground.most_bytes:
            break
        made.append((mirror, event))
        size_bytes += size
    found = found[: len(made)]
    return Opened(
        mirror=tuple(mirror for mirror, _ in made),
        settle=tuple(one for held in found if (one := deciding.reopened(held)) is not None),
        events=tuple(event for _, event in made if event is not None),
        ends_at_ms=tuple(one.request.opened_at_ms + one.request.timeout_ms for one in found),
        doubted=doubted,
        size_bytes=size_bytes,
    )


def _room(ground: Ground, open_now: int) -> int:
    return max(min(ground.room, MOST_OPEN - open_now, MOST_MIRRORED - open_now), 0)


def _genuine(
    ground: Ground, book: Rulebook, open_now: Open
) -> tuple[list[InLedger], dict[str, str]]:
    found: list[InLedger] = []
    doubted: dict[str, str] = {}
    digests, room = set(open_now.digests), _room(ground, open_now.many)
    pods = Counter(open_now.pods)
    for looked_at, (name, held) in enumerate(_waiting(ground, doubted)):
        if len(found) >= room or looked_at >= MOST_LOOKED_AT:
            break
        if pods[held.request.uid] >= MOST_OPEN_OF_POD:
            continue
        reason = genuine.doubt(held.request, ground, book)
        if held.request.id != name:
            reason = "it lies under another id than its own"
        elif name in ground.gone:
            reason = "its id is that of a request that closed"
        elif not reason and held.request.digest in digests:
            reason = "another request asks about the very same call"
        if reason:
            doubted[name] = reason
        else:
            found.append(held)
            digests.add(held.request.digest)
            pods[held.request.uid] += 1
    return found, doubted


def _waiting(ground: Ground, doubted: dict[str, str]) -> Iterator[tuple[str, InLedger]]:
    """The oldest first; those that stand in for a mirrored one are doubted."""
    mirrors = {one.name: one for one in ground.mirrors}
    ledger = ground.ledger or {}
    waiting = []
    for name, held in ledger.items():
        if name not in mirrors:
            if _waits(held, ground):
                waiting.append((name, held))
        elif held.request.state is State.PENDING:
            mirror = mirrored.read(mirrors[name])
            if mirror is not None and not mirror.is_of(held.request):
                doubted[name] = "its ApprovalRequest is of another call"
    return iter(sorted(waiting, key=_age))


def _waits(held: InLedger, ground: Ground) -> bool:
    state = held.request.state
    return state is State.PENDING or (state in _DECIDED and not _is_our_word(held, ground))


def _is_our_word(held: InLedger, ground: Ground) -> bool:
    """Whether we decided it, and its mirror was deleted since."""
    request = held.request
    found = decisions.unseal(held.decision, [ground.signer.public]) if held.decision else None
    return isinstance(found, Decision) and (found.namespace, found.request_id, found.digest) == (
        ground.namespace, request.id, request.digest
    )  # fmt: skip


def _mirror(
    held: InLedger, ground: Ground, book: Rulebook, turns: Mapping[str, list[int]]
) -> tuple[Mirror, Event | None]:
    request = held.request
    asked = genuine.asked([one.rule for one in request.asking], book)
    redact = mirroring.redacting(ground.policies or {}, request.agent.partition("/")[2])
    asking = () if asked is None else asked.asking
    turn = max(bisect_right(turns.get(request.uid, []), request.opened_at_ms), 1)
    source = ground.source_of(request.tool)
    manifest = mirroring.manifest(request, source, asking, redact, turn)
    mirror = mirroring.mirrored_as(manifest, request, asking)
    standing = Standing(state=State.PENDING, reason=Reason.WAITS)
    status = mirroring.status(mirror, standing, ground.now)
    made = Mirror(name=request.id, manifest=manifest, status=status)
    return made, telling.event(mirror, standing)


def _turns(ledger: Mapping[str, InLedger]) -> Mapping[str, list[int]]:
    """By pod uid: when those that wait were opened, in order."""
    found: dict[str, list[int]] = {}
    for held in ledger.values():
        if held.request.state is State.PENDING:
            found.setdefault(held.request.uid, []).append(held.request.opened_at_ms)
    return {uid: sorted(opened_at) for uid, opened_at in found.items()}


def _age(found: tuple[str, InLedger]) -> tuple[int, str]:
    name, held = found
    return held.request.opened_at_ms, name
