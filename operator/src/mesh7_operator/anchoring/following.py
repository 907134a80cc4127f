"""Entries of a stream, in its order: each continues its chain, or is found.

What does not fit is never believed: it changes nothing but the findings, so nobody who shares a
namespace's credentials moves another writer's chain. Only after a gap is a chain taken up again
where its next blocks say that it stands. Pure: no clock, no network, no logging.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from mesh7_core.audit import heads, seals
from mesh7_core.audit.heads import Head
from mesh7_core.ledger.audit_entries import Entry, Kind, Segment
from mesh7_operator.anchoring import folding
from mesh7_operator.anchoring.anchor import MOST_FINDINGS, Anchor, Chained, Finding, Trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What came of it.

    Attributes:
        anchor: with them.
        findings: new ones, in order.
    """

    anchor: Anchor
    findings: tuple[Finding, ...]


class _RefusedError(Exception):
    """The entry is not believed; never leaves this module."""

    def __init__(self, trouble: Trouble, said: str, block: int) -> None:
        super().__init__(said)
        self.trouble = trouble
        self.said = said
        self.block = block


def follow(anchor: Anchor, entries: Iterable[Entry]) -> Followed:
    """Take entries that come after `anchor.last`.

    Args:
        anchor: as it stands.
        entries: oldest first, none left out.
    """
    chains, found = dict(anchor.chains), list[Finding]()
    last, many, size = anchor.last, 0, 0
    for entry in entries:
        _take(chains, entry, found)
        last, many, size = entry.id, many + 1, size + entry.size_bytes
    taken = replace(
        anchor, chains=chains, last=last, entries=anchor.entries + many,
        size_bytes=anchor.size_bytes + size,
    )  # fmt: skip
    return Followed(anchor=noted(folding.within(taken), found), findings=tuple(found))


def noted(anchor: Anchor, findings: Iterable[Finding]) -> Anchor:
    """The same, with findings."""
    fresh = tuple(findings)
    if not fresh:
        return anchor
    found = dict(anchor.found)
    for one in fresh:
        found[one.trouble] = found.get(one.trouble, 0) + 1
    return replace(anchor, findings=(*anchor.findings, *fresh)[-MOST_FINDINGS:], found=found)


def _take(chains: dict[str, Chained], entry: Entry, found: list[Finding]) -> None:
    segment = entry.segment
    if segment is None:
        said = f"{entry.size_bytes} bytes that no program of ours writes"
        found.append(_of(entry, Trouble.FORGED, said, 0))
        return
    before = chains.get(segment.chain) or _unknown(entry, segment)
    try:
        head = _continued(before, entry, segment, found)
    except _RefusedError as refused:
        found.append(_of(entry, refused.trouble, refused.said, refused.block))
        return
    chains[segment.chain] = replace(
        before,
        head=head,
        is_ended=before.is_ended or segment.kind is Kind.END,
        seen_ms=entry.at_ms,
    )


def _unknown(entry: Entry, segment: Segment) -> Chained:
    begun = heads.begun(segment.chain)
    return Chained(
        head=begun, base=begun, uid=segment.uid, pod=segment.pod,
        is_operators=entry.is_operators,
    )  # fmt: skip


def _continued(before: Chained, entry: Entry, segment: Segment, found: list[Finding]) -> Head:
    """Where the chain stands with it."""
    if before.is_operators != entry.is_operators or before.uid != segment.uid:
        raise _RefusedError(Trouble.FORGED, "it claims the chain of another writer", segment.first)
    head = before.head
    if segment.kind is Kind.END:
        return _ended(before, entry, segment, found)
    if segment.last == head.block and segment.hash == head.hash:
        return head  # sent twice, for no answer came: the very same
    if segment.first <= head.block:
        said = f"blocks {segment.first} to {segment.last} came after block {head.block}"
        raise _RefusedError(Trouble.REPEATED, said, segment.first)
    if before.is_ended:
        said = f"blocks came after the end of the chain at block {head.block}"
        raise _RefusedError(Trouble.FORGED, said, segment.first)
    after = _withheld(head, segment) if segment.kind is Kind.WITHHELD else _blocks(head, segment)
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


def _ended(before: Chained, entry: Entry, segment: Segment, found: list[Finding]) -> Head:
    head = before.head
    if segment.last < head.block or (segment.last == head.block and segment.hash != head.hash):
        said = f"it claims that the chain ended with block {segment.last}, after block {head.block}"
        raise _RefusedError(Trouble.FORGED, said, segment.last)
    if segment.last > head.block:
        said = f"blocks {head.block + 1} to {segment.last} never came before the chain's end"
        found.append(_of(entry, Trouble.GAP, said, head.block + 1))
    return head


def _withheld(head: Head, segment: Segment) -> Head:
    return Head(
        chain=segment.chain,
        block=segment.last,
        total=head.total + max(segment.records, segment.last - head.block),
        hash=segment.hash,
        time=head.time or _NO_TIME,
        first=head.first,
    )


def _blocks(head: Head, segment: Segment) -> Head:
    """Each block bears its hash and continues the one before it; none is left over."""
    body, at, block = memoryview(segment.body), 0, segment.first
    while at < len(segment.body):
        begin = seals.find(segment.body, at)
        seal = seals.read(segment.body, begin) if begin >= 0 else None
        if seal is None:
            raise _RefusedError(Trouble.EDITED, f"block {block} has no seal", block)
        if seal.head.chain != segment.chain or seal.head.block != block:
            raise _RefusedError(Trouble.EDITED, f"another block stands in place of {block}", block)
        if not seals.is_true(body, at, seal):
            raise _RefusedError(Trouble.EDITED, f"block {block} does not bear its hash", block)
        is_next = block == head.block + 1
        if is_next and not _follows(head, seal):
            raise _RefusedError(Trouble.EDITED, f"block {block} does not continue the chain", block)
        head, at, block = replace(seal.head, first=head.first), seal.end, block + 1
    if head.block != segment.last or head.hash != segment.hash:
        said = f"blocks {segment.first} to {segment.last} are not those that their line says"
        raise _RefusedError(Trouble.EDITED, said, segment.first)
    return head


def _follows(head: Head, seal: seals.Seal) -> bool:
    is_counted = seal.head.total == head.total + seal.records
    # What was withheld is counted by its writer's word alone.
    return seal.previous == head.hash and is_counted


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
