"""One chain as its blocks come by: which of them follow, which are missing, which stand elsewhere.

Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping
from typing import Final

from mesh7_core.audit import heads
from mesh7_core.audit.findings import MOST, Kind
from mesh7_core.audit.heads import Head
from mesh7_core.audit.seals import Seal

_REMEMBERED: Final = 4096
"""Blocks back, at least, to which a second writer is told from a block that stands elsewhere."""

Trouble = tuple[Kind, str]


class Missing:
    """Blocks `first` to `last` that had not come when a later one did; they may yet."""

    __slots__ = ("first", "last", "seal", "segment")

    def __init__(self, first: int, last: int, segment: int, seal: Seal) -> None:
        self.first = first
        self.last = last
        self.segment = segment
        self.seal = seal


class Strand:
    """One chain.

    Args:
        start: where the blocks that come must go on from; None = the first one says.
        signed: heads of this chain by block; they are believed.

    Attributes:
        tip: the latest block; None before the first.
        first: number of the first block that came.
        missing: what did not come so far.
    """

    def __init__(self, start: Head | None, signed: Mapping[int, Head]) -> None:
        self.tip = start
        self.first = 0
        self.missing: list[Missing] = []
        self._signed = signed
        self._recent: dict[str, int] = {}
        self._older: dict[str, int] = {}
        self._branches: dict[str, Head] = {}
        newest = signed[max(signed)] if signed else None
        self.newest = newest
        self._least = newest.first if newest is not None else 1

    def take(self, seal: Seal, segment: int) -> Trouble | None:
        """Say what is wrong with a block that comes now; None when it follows as it should."""
        head = seal.head
        known = self._signed.get(head.block) if self._signed else None
        if known is not None and (known.hash, known.total) != (head.hash, head.total):
            self._advance(head)
            return Kind.EDITED, f"block {head.block} is not the one that was signed"
        tip = self.tip
        if tip is not None and seal.previous == tip.hash:
            return self._following(seal, tip)
        if tip is None:
            return self._begin(seal, segment)
        return self._astray(seal, tip, segment)

    def _following(self, seal: Seal, tip: Head) -> Trouble | None:
        head = seal.head
        self._advance(head)
        if head.block == tip.block + 1 and head.total == tip.total + seal.records:
            return None
        return Kind.EDITED, f"block {head.block} counts otherwise than the block before it"

    def _begin(self, seal: Seal, segment: int) -> Trouble | None:
        head, before = seal.head, self._signed.get(seal.head.block - 1)
        if head.block == 1:
            before = heads.begun(head.chain)
        if head.block > self._least:
            self.missing.append(Missing(self._least, head.block - 1, segment, seal))
            if not self._signed:
                # Nobody says since when there should be any.
                self.missing.clear()
        self._advance(head)
        if before is None or seal.previous == before.hash:
            return None
        return Kind.EDITED, f"block {head.block} does not follow block {before.block}"

    def _astray(self, seal: Seal, tip: Head, segment: int) -> Trouble | None:
        head = seal.head
        branch = self._branches.pop(seal.previous, None)
        if branch is not None and branch.block + 1 == head.block:
            self._branches[head.hash] = head
            self._fill(head.block)
            return None
        if head.block > tip.block + 1:
            if len(self.missing) < MOST:
                self.missing.append(Missing(tip.block + 1, head.block - 1, segment, seal))
            self._advance(head)
            return None
        if head.block == tip.block + 1:
            self._advance(head)
            return Kind.EDITED, f"block {head.block} does not follow block {tip.block} as it is"
        self._branches[head.hash] = head
        if self._fill(head.block):
            return Kind.REORDERED, f"block {head.block} stands after block {tip.block}"
        if self._remembers(head.hash, head.block):
            return Kind.REORDERED, f"block {head.block} stands there twice"
        if self._remembers(seal.previous, head.block - 1):
            return Kind.SECOND_WRITER, f"two programs wrote a block {head.block}"
        return Kind.REORDERED, f"block {head.block} stands after block {tip.block}"

    def _advance(self, head: Head) -> None:
        self.first = self.first or head.block
        self.tip = head
        self._recent[head.hash] = head.block
        if len(self._recent) > _REMEMBERED:
            self._older, self._recent = self._recent, {}

    def _remembers(self, name: str, block: int) -> bool:
        return block in {self._recent.get(name), self._older.get(name)}

    def _fill(self, block: int) -> bool:
        """Whether it was missing; then it is not any more."""
        for at, gap in enumerate(self.missing):
            if gap.first <= block <= gap.last:
                parts = (Missing(gap.first, block - 1, gap.segment, gap.seal),
                         Missing(block + 1, gap.last, gap.segment, gap.seal))  # fmt: skip
                self.missing[at : at + 1] = [one for one in parts if one.first <= one.last]
                return True
        return False
