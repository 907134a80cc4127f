"""What goes before its time: of whoever wrote too much, and of nobody else.

A writer that floods loses its own oldest entries. What the operator wrote itself, people's
decisions among it, has a share of its own that no tenant can fill. Pure: no clock, no network, no
logging.
"""

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from mesh7_core.audit.heads import Head
from mesh7_core.ledger.audit_entries import Entry, Kind, place_of
from mesh7_operator.anchoring import folding
from mesh7_operator.anchoring.anchor import MOST_CHAIN_BYTES, Anchor, Chained, Evicted
from mesh7_operator.anchoring.following import follow
from mesh7_operator.anchoring.trimming import Terms, rewound

MOST_NOTED: Final = 20
"""Writers; beyond, those whose entries went longest ago are told of as nobody's."""
_LEAVES: Final = 7 / 8
"""Of what is allowed, so that not every entry that comes makes another go."""
_OWN: Final = 1 / 2
"""As much as that of what tenants may have is the operator's, besides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An entry that is there, without its bytes.

    Attributes:
        head: where its chain stands with it; None = it was never believed, so it is nobody's.
        uid, pod: whose it is; empty = nobody's.
        is_end: it says that its chain ends.
    """

    id: str
    size_bytes: int
    records: int = 0
    head: Head | None = None
    uid: str = ""
    pod: str = ""
    is_operators: bool = False
    is_end: bool = False

    @property
    def chain(self) -> str:
        """That it is of; empty = of none."""
        return "" if self.head is None else self.head.chain


class Census:
    """All that is there and was followed, and whose it is.

    Args:
        anchor: as it stands; nothing may be taken away meanwhile.
    """

    def __init__(self, anchor: Anchor) -> None:
        self._chains = dict(rewound(anchor).chains)
        self._blank = Anchor(namespace=anchor.namespace, folded=anchor.folded)
        self._limit = place_of(anchor.last)
        self.held: list[Held] = []

    def take(self, entries: Iterable[Entry]) -> None:
        """The next ones, oldest first."""
        for entry in entries:
            if entry.place <= self._limit:
                self.held.append(self._held(entry))

    def _held(self, entry: Entry) -> Held:
        segment = entry.segment
        name = segment.chain if segment is not None else ""
        before = self._chains.get(name)
        known = {name: before} if before is not None else {}
        after = follow(replace(self._blank, chains=known), [entry]).anchor.chains.get(name)
        if segment is None or after is None or not _moved(before, after):
            return Held(id=entry.id, size_bytes=entry.size_bytes)
        self._chains[name] = after
        return Held(
            id=entry.id,
            size_bytes=entry.size_bytes,
            records=segment.records if segment.kind is Kind.BLOCKS else 0,
            head=after.head,
            uid=after.uid,
            pod=after.pod,
            is_operators=after.is_operators,
            is_end=segment.kind is Kind.END,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Excess:
    """What is to go.

    Attributes:
        gone: entries, oldest first.
        chains: of which nothing is left, and that are listed no longer.
    """

    gone: tuple[Held, ...]
    chains: tuple[str, ...]


def excess(anchor: Anchor, held: Sequence[Held], terms: Terms) -> Excess:
    """What is to go so that the rest fits.

    Args:
        anchor: as it stands.
        held: all that is there, oldest first (`Census`).
        terms: how much is kept.
    """
    own = [one for one in held if one.is_operators]
    others = [one for one in held if not one.is_operators]
    gone = {
        *_too_much(others, terms.most_bytes),
        *_too_much(own, int(terms.most_bytes * _OWN)),
    }
    chains: tuple[str, ...] = ()
    if folding.is_over(anchor):
        left = [one for one in held if one.id not in gone]
        chains = _too_many(anchor, left)
        gone |= {one.id for one in left if one.chain in chains}
    return Excess(gone=tuple(one for one in held if one.id in gone), chains=chains)


def parts(found: Excess, many: int) -> Iterator[Excess]:
    """The same in steps, each with as many entries at most.

    A chain that is listed no longer goes with the last of its entries. Those go first: what is to
    shrink an anchor must not make it too large to be written.
    """
    chains = frozenset(found.chains)
    gone = sorted(found.gone, key=lambda one: one.chain not in chains)
    last = {one.chain: place // many for place, one in enumerate(gone)}
    for part in range(max(-(-len(gone) // many), 1)):
        some = tuple(gone[part * many : (part + 1) * many])
        yield Excess(
            gone=some, chains=tuple(name for name in found.chains if last.get(name, 0) == part)
        )


def evicted(anchor: Anchor, found: Excess) -> Anchor:
    """What is true once that is taken away."""
    bases, ended = dict[str, Head](), set[str]()
    for one in found.gone:
        if one.head is not None:
            bases[one.chain] = one.head
            ended |= {one.chain} if one.is_end else set()
    chains = {
        name: _rebased(one, bases[name]) if name in bases else one
        for name, one in anchor.chains.items()
    }
    shorter = replace(
        anchor,
        chains=chains,
        entries=max(anchor.entries - len(found.gone), 0),
        size_bytes=max(anchor.size_bytes - sum(one.size_bytes for one in found.gone), 0),
        evicted=_noted(anchor.evicted, found.gone),
    )
    return folding.without(folding.over(shorter, ended), found.chains)


def own_bytes(held: Iterable[Held]) -> int:
    """Of what the operator wrote."""
    return sum(one.size_bytes for one in held if one.is_operators)


def _moved(before: Chained | None, after: Chained) -> bool:
    """Whether it was believed, and is not there twice."""
    return before is None or before.head != after.head or before.is_ended != after.is_ended


def _too_much(held: Sequence[Held], most_bytes: int) -> set[str]:
    """Oldest entries of whoever has most, until the rest fits."""
    excess_bytes = sum(one.size_bytes for one in held) - most_bytes
    if excess_bytes <= 0:
        return set()
    excess_bytes += most_bytes - int(most_bytes * _LEAVES)
    queues, sizes = defaultdict[str, deque[Held]](deque), Counter[str]()
    for one in held:
        queues[one.uid].append(one)
        sizes[one.uid] += one.size_bytes
    largest = [(-size, uid) for uid, size in sizes.items()]
    heapq.heapify(largest)
    gone = set[str]()
    while excess_bytes > 0:
        size, uid = largest[0]
        one = queues[uid].popleft()
        gone.add(one.id)
        excess_bytes -= one.size_bytes
        heapq.heapreplace(largest, (size + one.size_bytes, uid))
    return gone


def _too_many(anchor: Anchor, left: Sequence[Held]) -> tuple[str, ...]:
    """Chains that cost nothing first, then those of whoever has most of them, the smallest first.

    Chains of one record, which a flood is made of, go before any that says more.
    """
    many = folding.size(anchor) - int(MOST_CHAIN_BYTES * _LEAVES)
    kept, ranks = Counter(one.chain for one in left), _ranks(anchor)
    own = sum(folding.size_of(one) for one in anchor.chains.values() if one.is_operators)
    spares_own = own <= MOST_CHAIN_BYTES * _OWN

    def order(one: Chained) -> tuple[int, ...]:
        if not kept[one.head.chain]:
            return 0, not one.is_ended, one.seen_ms
        is_last = one.is_operators == spares_own
        records = one.head.total - one.base.total
        return 1, is_last, -ranks[one.head.chain], records, one.seen_ms

    gone = list[str]()
    for one in sorted(anchor.chains.values(), key=order):
        if many <= 0:
            break
        many -= folding.size_of(one)
        gone.append(one.head.chain)
    return tuple(gone)


def _ranks(anchor: Anchor) -> dict[str, int]:
    """How many chains the same writer has that are newer: each keeps its newest longest."""
    ranks, seen = dict[str, int](), Counter[str]()
    for one in sorted(anchor.chains.values(), key=lambda one: (one.is_ended, -one.seen_ms)):
        ranks[one.head.chain] = seen[one.uid]
        seen[one.uid] += 1
    return ranks


def _rebased(one: Chained, base: Head) -> Chained:
    return replace(one, base=replace(base, first=1), head=replace(one.head, first=base.block + 1))


def _noted(before: Sequence[Evicted], gone: Sequence[Held]) -> tuple[Evicted, ...]:
    """With these, those of each writer in one; who lost something lately last."""
    noted = {one.uid: one for one in before}
    for one in gone:
        uid = "operator" if one.is_operators else one.uid
        was = noted.pop(uid, None)
        noted[uid] = Evicted(
            uid=uid,
            pod=one.pod,
            entries=1 + (was.entries if was else 0),
            records=one.records + (was.records if was else 0),
            since=min(one.id, was.since, key=place_of) if was else one.id,
            until=max(one.id, was.until, key=place_of) if was else one.id,
        )
    while len(noted) > MOST_NOTED:
        first, second = list(noted)[:2]
        oldest = _together(noted.pop(first), noted.pop(second))
        rest = noted.pop("", None)
        together = oldest if rest is None else _together(oldest, rest)
        noted = {"": replace(together, uid="", pod=""), **noted}
    return tuple(noted.values())


def _together(one: Evicted, other: Evicted) -> Evicted:
    return replace(
        one,
        entries=one.entries + other.entries,
        records=one.records + other.records,
        since=min(one.since, other.since, key=place_of),
        until=max(one.until, other.until, key=place_of),
    )
