"""What is wrong with stored records, and where; and what was read to find it.

Pure: no clock, no network, no logging.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mesh7_core.audit.heads import Head

MOST: Final = 1000
"""Findings that are kept of one reading; the rest would say nothing new."""


class Kind(StrEnum):
    """What happened to them."""

    EDITED = "edited"
    """A byte is not what was sealed, or a block not the one that was signed."""
    CUT = "cut"
    """The end is missing that a head names."""
    REORDERED = "reordered"
    """Records, blocks or files stand in another order, or stand there twice."""
    GAP = "gap"
    """Records or blocks are missing in between, or before what is kept."""
    SWAPPED = "swapped"
    """A file of another chain stands where blocks are missing."""
    FOREIGN = "foreign"
    """Lines that the writer did not write."""
    SECOND_WRITER = "second-writer"
    """Two programs went on from the same block."""
    UNSEALED = "unsealed"
    """A file of before records were sealed, in front of all that was; nothing vouches for it."""
    TORN = "torn"
    """The writer was killed while it wrote; no record is changed by that."""


_HARMLESS: Final = (Kind.TORN, Kind.UNSEALED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One.

    Attributes:
        segment: the file, or stream entry, that it is in.
        line: from 1, within the segment; 0 = the finding is about what is not there.
        offset: where that line begins, in bytes.
        chain: empty when it cannot be told.
        block: 0 when it cannot be told.
        what: for people; names blocks and lines, and nothing that a record says.
    """

    kind: Kind
    segment: str
    line: int
    offset: int
    chain: str
    block: int
    what: str

    def __str__(self) -> str:
        place = self.segment if not self.line else f"{self.segment}:{self.line}"
        return f"{place}: {self.kind}: {self.what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """What was read of one chain.

    Attributes:
        first: number of the first block that was read.
        end: of the last one; it says how many records the chain has in all.
        signed: the newest head given that it agrees with; None = there was none.
    """

    first: int
    end: Head
    signed: Head | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What came of a reading.

    Attributes:
        records: that stand in blocks.
        findings: in the order found, at most `MOST`.
    """

    records: int
    blocks: int
    chains: tuple[Stretch, ...]
    findings: tuple[Finding, ...]

    @property
    def is_intact(self) -> bool:
        """Whether nothing was done to what was sealed; a crash of the writer does nothing to it."""
        return all(finding.kind in _HARMLESS for finding in self.findings)
