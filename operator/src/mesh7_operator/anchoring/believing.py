"""Whether one entry, looked at by itself, is what a writer of its chain has sealed.

Its blocks bear their hashes and continue each other, each record has the id that is its own, only
the controller speaks for people, and the key that the chain is named by has signed it. Whether it
comes where it should is for `following`. Pure: no clock, no network, no logging.
"""

from collections.abc import Iterator
from typing import Final

import orjson

from mesh7_core.audit import seals
from mesh7_core.audit.seals import Seal
from mesh7_core.delivery import spelled
from mesh7_core.ledger import audit_writers
from mesh7_core.ledger.audit_entries import Entry, Kind, Segment
from mesh7_operator.anchoring.anchor import Trouble

OPERATORS: Final = frozenset({"deed", "removed", "trimmed", "forged", "doubted"})
"""Fields of records that only the controller writes in a cluster."""

_MOST_RECORDS: Final = 1024
"""Of a block that was withheld: ours have 64, and what a crash left before them."""


class DoubtError(Exception):
    """The entry is not believed; never leaves those that judge entries."""

    def __init__(self, trouble: Trouble, said: str, block: int) -> None:
        super().__init__(said)
        self.trouble = trouble
        self.said = said
        self.block = block


def blocks(entry: Entry, namespace: str) -> tuple[Seal, ...]:
    """The seals of its blocks, none for what has no blocks.

    Args:
        namespace: whose stream it lies in.

    Raises:
        DoubtError: it is not believed.
    """
    segment = entry.segment
    if segment is None:
        said = f"{entry.size_bytes} bytes that no program of ours writes"
        raise DoubtError(Trouble.FORGED, said, 0)
    found: tuple[Seal, ...] = ()
    if segment.kind is Kind.BLOCKS:
        found = tuple(_sealed(segment, is_operators=entry.is_operators))
        _hold_to_line(segment, found)
    elif segment.kind is Kind.WITHHELD:
        many = segment.last - segment.first + 1
        if not segment.first or not many <= segment.records <= many * _MOST_RECORDS:
            said = f"it names {many} blocks with {segment.records} records, as no writer has them"
            raise DoubtError(Trouble.FORGED, said, segment.first)
    if not entry.is_operators and not audit_writers.is_signed(segment, namespace):
        said = "it is not signed with the key that its chain is named by"
        raise DoubtError(Trouble.FORGED, said, segment.first)
    return found


def is_believed(entry: Entry, namespace: str) -> bool:
    """Whether it is; asked where nobody needs to know why not."""
    try:
        blocks(entry, namespace)
    except DoubtError:
        return False
    return True


def _sealed(segment: Segment, *, is_operators: bool) -> Iterator[Seal]:
    """Each block bears its hash and continues the one before it; none is left over."""
    body, at, block = memoryview(segment.body), 0, segment.first
    before: Seal | None = None
    while at < len(segment.body):
        seal = _next(segment.body, at)
        if seal is None:
            raise DoubtError(Trouble.EDITED, f"block {block} has no seal", block)
        if seal.head.chain != segment.chain or seal.head.block != block:
            raise DoubtError(Trouble.EDITED, f"another block stands in place of {block}", block)
        if not seals.is_true(body, at, seal):
            raise DoubtError(Trouble.EDITED, f"block {block} does not bear its hash", block)
        if before is not None and not _follows(before, seal):
            raise DoubtError(Trouble.EDITED, f"block {block} does not continue the chain", block)
        _hold_records(segment.body[at : seal.begin], seal, is_operators=is_operators)
        yield seal
        before, at, block = seal, seal.end, block + 1


def _next(body: bytes, at: int) -> Seal | None:
    """Of the block that begins there; one that a crash cut off is none."""
    begin = seals.find(body, at)
    while begin >= 0:
        if seal := seals.read(body, begin):
            return seal
        begin = seals.find(body, begin + 1)
    return None


def _follows(before: Seal, seal: Seal) -> bool:
    """Whether it continues the block before it."""
    is_counted = seal.head.total == before.head.total + seal.records
    return seal.previous == before.head.hash and is_counted


def _hold_to_line(segment: Segment, found: tuple[Seal, ...]) -> None:
    if (
        not found
        or found[-1].head.block != segment.last
        or found[-1].head.hash != segment.hash
        or sum(one.records for one in found) != segment.records
    ):
        said = f"blocks {segment.first} to {segment.last} are not those that their line says"
        raise DoubtError(Trouble.EDITED, said, segment.first)


def _hold_records(stored: bytes, seal: Seal, *, is_operators: bool) -> None:
    """Each line is the next record of the chain, or what a crash cut off, and a record says so."""
    head, number = seal.head, seal.head.total - seal.records
    if head.total > spelled.MOST or number < 0:
        said = f"block {head.block} counts what cannot be"
        raise DoubtError(Trouble.FORGED, said, head.block)
    is_cut = False
    for line in stored.split(b"\n")[:-1]:
        fields = _record(line, head.chain, number + 1)
        if fields is not None:
            number += 1
            is_cut &= "torn" not in fields
            if not is_operators and not OPERATORS.isdisjoint(fields):
                said = f"record {number} of block {head.block} says what only the controller does"
                raise DoubtError(Trouble.FORGED, said, head.block)
        elif seals.is_json(line):
            said = f"block {head.block} has a line that is not record {number + 1} of its chain"
            raise DoubtError(Trouble.FORGED, said, head.block)
        else:
            is_cut = True
    if number != head.total or is_cut:
        said = f"block {head.block} has other records than its seal says"
        raise DoubtError(Trouble.FORGED, said, head.block)


def _record(line: bytes, chain: str, number: int) -> dict[str, object] | None:
    """Its fields, when it is this one; whoever reads it by JSON alone finds the same id."""
    name = f"{chain}-{number}"
    if not line.startswith(b'{"id":"%b",' % name.encode()):
        return None
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return fields if isinstance(fields, dict) and fields.get("id") == name else None
