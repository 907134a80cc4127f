"""Entries of a stream, in its order: each continues its chain, or is found.

What does not fit is never believed: it changes nothing but the findings. Only after a gap is a
chain taken up again where its next blocks say that it stands. Pure: no clock, no network, no
logging.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mesh7_core.audit import heads
from mesh7_core.audit.heads import Head
from mesh7_core.audit.seals import Seal
from mesh7_core.delivery import spelled
from mesh7_core.ledger.audit_entries import Entry, Kind, Segment
from mesh7_operator.anchoring import believing
from mesh7_operator.anchoring.anchor import (
    MOST_FINDINGS,
    MOST_OF_EACH,
    Anchor,
    Chained,
    Finding,
    Folded,
    Trouble,
)
from mesh7_operator.anchoring.believing import DoubtError


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What came of it.

    Attributes:
        anchor: with them.
        findings: new ones, in order.
        records: in blocks that were believed; those that came twice count once.
    """

    anchor: Anchor
    findings: tuple[Finding, ...]
    records: int


def follow(anchor: Anchor, entries: Iterable[Entry]) -> Followed:
    """Take entries that come after `anchor.last`.

    Args:
        anchor: as it stands.
        entries: oldest first, none left out.
    """
    chains, found = dict(anchor.chains), list[Finding]()
    last, many, size, records = anchor.last, 0, 0, 0
    for entry in entries:
        records += _take(chains, entry, found, anchor)
        last, many, size = entry.id, many + 1, size + entry.size_bytes
    taken = replace(
        anchor, chains=chains, last=last, entries=anchor.entries + many,
        size_bytes=anchor.size_bytes + size,
    )  # fmt: skip
    return Followed(anchor=noted(taken, found), findings=tuple(found), records=records)


def noted(anchor: Anchor, findings: Iterable[Finding]) -> Anchor:
    """The same, with findings."""
    fresh = tuple(findings)
    if not fresh:
        return anchor
    found = dict(anchor.found)
    for one in fresh:
        found[one.trouble] = found.get(one.trouble, 0) + 1
    return replace(anchor, findings=_newest((*anchor.findings, *fresh)), found=found)


def outlived(anchor: Anchor, oldest_ms: int) -> Anchor:
    """The same without findings of before: what they are about is kept no longer either."""
    kept = tuple(one for one in anchor.findings if one.at_ms >= oldest_ms)
    return anchor if kept == anchor.findings else replace(anchor, findings=kept)


def _newest(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """So many of each kind: whoever causes many of one does not push out another."""
    counts = dict.fromkeys(Trouble, 0)
    kept = []
    for one in reversed(findings):
        counts[one.trouble] += 1
        if counts[one.trouble] <= MOST_OF_EACH:
            kept.append(one)
    return tuple(kept[MOST_FINDINGS - 1 :: -1])


def _take(chains: dict[str, Chained], entry: Entry, found: list[Finding], anchor: Anchor) -> int:
    """Take one; how many records it adds."""
    segment = entry.segment
    try:
        blocks = believing.blocks(entry, anchor.namespace)
        if segment is None:
            return 0
        known = chains.get(segment.chain)
        before = known or _unknown(entry, segment, blocks, anchor.folded)
        head = _continued(before, entry, segment, blocks, found)
    except DoubtError as doubt:
        found.append(_of(entry, doubt.trouble, doubt.said, doubt.block))
        return 0
    chains[segment.chain] = replace(
        before,
        head=head,
        is_ended=before.is_ended or segment.kind is Kind.END,
        seen_ms=entry.at_ms,
    )
    return segment.records if blocks and head.block > before.head.block else 0


def _unknown(entry: Entry, segment: Segment, blocks: Sequence[Seal], folded: Folded) -> Chained:
    """A chain that begins, or goes on after it was folded."""
    block = folded.open.get(segment.chain, 0)
    begun = _resumed(block, segment, blocks) if block else heads.begun(segment.chain)
    return Chained(
        head=begun, base=begun, uid=segment.uid, pod=segment.pod, key=segment.key,
        is_operators=entry.is_operators,
    )  # fmt: skip


def _resumed(block: int, segment: Segment, blocks: Sequence[Seal]) -> Head:
    """Where a chain of which only this was remembered stood, by what comes next of it."""
    head = Head(
        chain=segment.chain, block=block, total=block, hash=segment.hash, time=_NO_TIME,
        first=block + 1,
    )  # fmt: skip
    if not blocks:
        return head
    total = max(blocks[0].head.total - blocks[0].records, block)
    total -= max(blocks[0].head.block - block - 1, 0)
    return replace(head, total=total, hash=blocks[0].previous)


def _continued(
    before: Chained,
    entry: Entry,
    segment: Segment,
    blocks: Sequence[Seal],
    found: list[Finding],
) -> Head:
    """Where the chain stands with it."""
    theirs = (entry.is_operators, segment.uid, segment.pod, segment.key)
    if theirs != (before.is_operators, before.uid, before.pod, before.key):
        raise DoubtError(Trouble.FORGED, "it claims the chain of another writer", segment.first)
    head = before.head
    if segment.kind is Kind.END:
        return _ended(head, entry, segment, found)
    if segment.last == head.block and segment.hash == head.hash:
        # Sent twice, for no answer came: blocks that end with this hash are the very same.
        return head
    if segment.first <= head.block:
        said = f"blocks {segment.first} to {segment.last} came after block {head.block}"
        raise DoubtError(Trouble.REPEATED, said, segment.first)
    if before.is_ended:
        said = f"blocks came after the end of the chain at block {head.block}"
        raise DoubtError(Trouble.FORGED, said, segment.first)
    after = _withheld(head, segment) if segment.kind is Kind.WITHHELD else _after(head, blocks)
    if segment.first > head.block + 1:
        said = f"blocks {head.block + 1} to {segment.first - 1} never came"
        found.append(_of(entry, Trouble.GAP, said, head.block + 1))
    if segment.kind is Kind.WITHHELD:
        said = (
            f"blocks {segment.first} to {segment.last}, {segment.records} records, were not sent,"
            " by their writer's word; they are on its stdout"
        )
        found.append(_of(entry, Trouble.WITHHELD, said, segment.first))
    return after


def _ended(head: Head, entry: Entry, segment: Segment, found: list[Finding]) -> Head:
    if segment.last < head.block or (segment.last == head.block and segment.hash != head.hash):
        said = f"it claims that the chain ended with block {segment.last}, after block {head.block}"
        raise DoubtError(Trouble.FORGED, said, segment.last)
    if segment.last > head.block:
        said = f"blocks {head.block + 1} to {segment.last} never came before the chain's end"
        found.append(_of(entry, Trouble.GAP, said, head.block + 1))
    return head


def _withheld(head: Head, segment: Segment) -> Head:
    # Blocks that never came have a record each, or more.
    total = head.total + segment.records + segment.first - head.block - 1
    if total > spelled.MOST:
        said = f"it names {segment.records} records, more than any chain can have"
        raise DoubtError(Trouble.FORGED, said, segment.first)
    return Head(
        chain=segment.chain,
        block=segment.last,
        total=total,
        hash=segment.hash,
        time=head.time or _NO_TIME,
        first=head.first,
    )


def _after(head: Head, blocks: Sequence[Seal]) -> Head:
    """Where the chain stands with blocks that are believed by themselves."""
    first = blocks[0]
    missing = first.head.block - head.block - 1
    before = first.head.total - first.records
    # What never came, and what was withheld after it, is only known to be so much or more. Where
    # the block before is there, its hash says how much: only who has the chain's key could differ.
    is_next = first.previous == head.hash and before >= head.total
    if not is_next if not missing else before < head.total + missing:
        said = f"block {first.head.block} does not continue the chain"
        raise DoubtError(Trouble.EDITED, said, first.head.block)
    return replace(blocks[-1].head, first=head.first)


def _of(entry: Entry, trouble: Trouble, said: str, block: int) -> Finding:
    segment = entry.segment
    return Finding(
        trouble=trouble,
        said=said,
        at_ms=entry.at_ms,
        chain=segment.chain if segment is not None else "",
        pod=segment.pod if segment is not None else "",
        block=block,
        entry=entry.id,
    )


_NO_TIME = "1970-01-01T00:00:00.000000Z"
