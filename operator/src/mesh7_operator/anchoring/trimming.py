"""What goes because it is old; and what an anchor says once it is gone.

Pure: no clock, no network, no logging; the time is an argument.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from mesh7_core.ledger.audit_entries import Entry, place_of
from mesh7_operator.anchoring import folding
from mesh7_operator.anchoring.anchor import Anchor, Chained, Finding, Trimmed, Trouble
from mesh7_operator.anchoring.following import follow, noted


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How much is kept of one namespace.

    Attributes:
        retention: what is older goes.
        most_bytes: of what pods have written; beyond, some of it goes (`evicting`).
    """

    retention: timedelta
    most_bytes: int


def is_due(anchor: Anchor, oldest: str, terms: Terms, now_ms: int) -> bool:
    """Whether something goes.

    Args:
        anchor: as it stands.
        oldest: the id of the oldest entry that is there; empty = there is none.
        terms: how much is kept.
        now_ms: by the server's clock or one that agrees with it.
    """
    if not anchor.entries or not oldest:
        return False
    return _is_old(place_of(oldest)[0], terms, now_ms)


def chosen(anchor: Anchor, oldest: Sequence[Entry], terms: Terms, now_ms: int) -> tuple[Entry, ...]:
    """Which of the oldest entries go; none that was not followed.

    Args:
        anchor: as it stands.
        oldest: the first that are there, in order.
        terms: how much is kept.
        now_ms: as for `is_due`.
    """
    gone = []
    for entry in oldest:
        is_followed = entry.place <= place_of(anchor.last)
        if not is_followed or not _is_old(entry.at_ms, terms, now_ms):
            break
        gone.append(entry)
    return tuple(gone)


def trimmed(anchor: Anchor, gone: Sequence[Entry]) -> Anchor:
    """What is true once these are taken away; `chosen` chose them."""
    if not gone:
        return anchor
    walked = follow(rewound(anchor), gone).anchor.chains
    shorter = replace(
        anchor,
        chains={name: _rebased(one, walked) for name, one in anchor.chains.items()},
        entries=max(anchor.entries - len(gone), 0),
        size_bytes=max(anchor.size_bytes - sum(one.size_bytes for one in gone), 0),
        trimmed=Trimmed(up_to=gone[-1].id, entries=anchor.trimmed.entries + len(gone)),
    )
    ended = {name for name, one in walked.items() if one.is_ended}
    return folding.over(shorter, ended)


def is_half_gone(anchor: Anchor, oldest: str) -> bool:
    """Whether something is there that the anchor says to be gone.

    Args:
        anchor: as it stands.
        oldest: the id of the oldest entry that is there; empty = there is none, or it is not asked.
    """
    is_there = bool(oldest) and place_of(oldest) <= place_of(anchor.trimmed.up_to)
    return bool(anchor.going) or (is_there and bool(anchor.trimmed.up_to))


def outlived(anchor: Anchor, terms: Terms, now_ms: int) -> Anchor:
    """The same without words of what would be gone by its age, too."""
    kept = tuple(
        one for one in anchor.evicted if not _is_old(place_of(one.until)[0], terms, now_ms)
    )
    return anchor if kept == anchor.evicted else replace(anchor, evicted=kept)


def rewound(anchor: Anchor) -> Anchor:
    """As it stood before the oldest entry that is kept, without findings."""
    return replace(
        anchor,
        chains={
            name: replace(one, head=one.base, is_ended=False)
            for name, one in anchor.chains.items()
            # One that began since with what is kept is met there.
            if one.base.block
        },
        last=anchor.trimmed.up_to,
        entries=0,
        size_bytes=0,
        findings=(),
        found={},
    )


def lost(anchor: Anchor, entries: int, at_ms: int) -> Anchor:
    """The stream holds fewer entries than were followed and are kept, and we did not trim it.

    Chains go on from where they stand: what comes next is held against it.

    Args:
        anchor: as it stands; with all that is there followed.
        entries: how many are there.
        at_ms: when this was found.
    """
    missing = anchor.entries - entries
    finding = Finding(
        trouble=Trouble.CUT,
        said=f"{missing} of {anchor.entries} entries are gone from Redis, and mesh7 did not trim"
        " them: it lost what it kept, or somebody with more rights than a sidecar removed them",
        at_ms=at_ms,
    )
    chains = anchor.chains
    if not entries:
        chains = {name: replace(one, base=one.head) for name, one in chains.items()}
    share = entries / anchor.entries if anchor.entries else 0.0
    shorter = replace(
        anchor, chains=chains, entries=entries, size_bytes=int(anchor.size_bytes * share)
    )
    return noted(shorter, [finding])


def _is_old(at_ms: int, terms: Terms, now_ms: int) -> bool:
    return now_ms - at_ms > terms.retention / timedelta(milliseconds=1)


def _rebased(one: Chained, walked: Mapping[str, Chained]) -> Chained:
    found = walked.get(one.head.chain)
    if found is None or found.head.block > one.head.block:
        return one
    head = replace(one.head, first=found.head.block + 1)
    return replace(one, base=replace(found.head, first=1), head=head)
