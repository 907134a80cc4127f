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
        first: number of the first block that came.
        missing: what did not come so far.
    """

    def __init__(self, start: Head | None, signed: Mapping[int, Head]) -> None:
        self.first = 0
        self.missing: list[Missing] = []
        self._latest: Head | Seal | None = start
        self._signed = signed
        self._recent: dict[str, int] = {}
        self._older: dict[str, int] = {}
        self._branches: dict[str, int] = {}
        newest = signed[max(signed)] if signed else None
        self.newest = newest
        self._least = newest.first if newest is not None else 1

    @property
    def tip(self) -> Head | None:
        """The latest block; None before the first."""
        return self._latest.head if isinstance(self._latest, Seal) else self._latest

    def take(self, seal: Seal, segment: int) -> Trouble | None:
        """Say what is wrong with a block that comes now; None when it follows as it should."""
        known = self._signed.get(seal.block) if self._signed else None
        if known is not None and (known.hash, known.total) != (seal.hash, seal.total):
            self._advance(seal)
            return Kind.EDITED, f"block {seal.block} is not the one that was signed"
        latest = self._latest
        if latest is None:
            return self._begin(seal, segment)
        if seal.previous != latest.hash:
            return self._astray(seal, latest, segment)
        self._advance(seal)
        if seal.block == latest.block + 1 and seal.total == latest.total + seal.records:
            return None
        return Kind.EDITED, f"block {seal.block} counts otherwise than the block before it"

    def _begin(self, seal: Seal, segment: int) -> Trouble | None:
        before = self._signed.get(seal.block - 1)
        if seal.block == 1:
            before = heads.begun(seal.chain)
        if seal.block > self._least:
            self.missing.append(Missing(self._least, seal.block - 1, segment, seal))
            if not self._signed:
                # Nobody says since when there should be any.
                self.missing.clear()
        self._advance(seal)
        if before is None or seal.previous == before.hash:
            return None
        return Kind.EDITED, f"block {seal.block} does not follow block {before.block}"

    def _astray(self, seal: Seal, latest: Head | Seal, segment: int) -> Trouble | None:
        block = seal.block
        if self._branches.pop(seal.previous, None) == block - 1:
            self._branches[seal.hash] = block
            self._fill(block)
            return None
        if block > latest.block + 1:
            if len(self.missing) < MOST:
                self.missing.append(Missing(latest.block + 1, block - 1, segment, seal))
            self._advance(seal)
            return None
        if block == latest.block + 1:
            self._advance(seal)
            return Kind.EDITED, f"block {block} does not follow block {latest.block} as it is"
        self._branches[seal.hash] = block
        if self._fill(block):
            return Kind.REORDERED, f"block {block} stands after block {latest.block}"
        if self._remembers(seal.hash, block):
            return Kind.REORDERED, f"block {block} stands there twice"
        if self._remembers(seal.previous, block - 1):
            return Kind.SECOND_WRITER, f"two programs wrote a block {block}"
        return Kind.REORDERED, f"block {block} stands after block {latest.block}"

    def _advance(self, seal: Seal) -> None:
        self.first = self.first or seal.block
        self._latest = seal
        self._recent[seal.hash] = seal.block
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
