"""Stored records held against their seals, and against heads that somebody signed.

Whatever was changed, taken away, added or moved is found and placed; what follows is read on, so
that one change is one finding. Records are not parsed: a block is hashed as it is stored.
Pure: no clock, no network, no logging.
"""

from collections.abc import Iterable, Mapping, Sequence

from mesh7_core.audit import blocks, heads, seals
from mesh7_core.audit.findings import MOST, Finding, Kind, Stretch, Verified
from mesh7_core.audit.heads import Head
from mesh7_core.audit.strands import Missing, Strand

Segment = tuple[str, bytes]
"""A file or stream entry: what people call it, and its bytes. No block goes on in the next one."""


def verify(
    segments: Iterable[Segment],
    signed: Sequence[Head] = (),
    starts: Mapping[str, Head] | None = None,
) -> Verified:
    """Read segments in the order in which they were written.

    Args:
        segments: of any number of chains; those of one chain oldest first. Read one at a time.
        signed: heads that are believed, of any chain and time. The newest of a chain says what
            must be there: its blocks from `first` to `block`.
        starts: where the first block of a chain has to go on from, for who reads on later.
    """
    reading = _Reading(signed, starts or {})
    for name, stored in segments:
        reading.read(name, stored)
    return reading.result()


class _Reading:
    """One call of `verify`."""

    def __init__(self, signed: Sequence[Head], starts: Mapping[str, Head]) -> None:
        self._signed: dict[str, dict[int, Head]] = {}
        for head in signed:
            known = self._signed.setdefault(head.chain, {})
            before = known.get(head.block)
            known[head.block] = head if before is None or head.first > before.first else before
        self._starts = starts
        self._strands: dict[str, Strand] = {}
        self._names: list[str] = []
        self._places: dict[str, tuple[int, seals.Seal]] = {}
        self._findings: list[Finding] = []
        self._unsealed: list[str] = []
        self._records = self._blocks = 0

    def read(self, name: str, stored: bytes) -> None:
        """Read one segment to its end."""
        self._names.append(name)
        view = memoryview(stored)
        begin = at = 0
        written: set[str] = set()
        last = ""
        while (at := seals.find(stored, at)) >= 0:
            seal = seals.read(stored, at)
            if seal is None:
                # No writer of ours ended such a line; the block that it is in says so.
                at += 1
                continue
            self._block(stored, view, begin, seal)
            if seal.chain != last:
                self._beside(stored, seal, written, last)
                last = seal.chain
            begin = at = seal.end
        if not self._strands and blocks.is_of_before_seals(stored):
            self._unsealed.append(name)
        elif begin < len(stored):
            self._tail(stored, begin, last)

    def _block(self, stored: bytes, view: memoryview, begin: int, seal: seals.Seal) -> None:
        self._records += seal.records
        self._blocks += 1
        if not seals.is_true(view, begin, seal) or not blocks.is_plain(stored, begin, seal):
            for trouble in blocks.troubles(stored, begin, seal):
                self._find(stored, trouble.kind, trouble.offset, seal, trouble.what)
        strand = self._strands.get(seal.chain)
        if strand is None:
            strand = self._new(seal)
        wrong = strand.take(seal, len(self._names) - 1)
        if wrong is not None:
            self._find(stored, wrong[0], seal.begin, seal, wrong[1])

    def _new(self, seal: seals.Seal) -> Strand:
        chain = seal.chain
        strand = self._strands[chain] = Strand(self._starts.get(chain), self._signed.get(chain, {}))
        self._places[chain] = (len(self._names) - 1, seal)
        return strand

    def _beside(self, stored: bytes, seal: seals.Seal, written: set[str], last: str) -> None:
        """Two chains may follow each other in one file, but not take turns."""
        if seal.chain in written:
            what = f"chain {seal.chain} goes on after blocks of chain {last}"
            self._find(stored, Kind.SECOND_WRITER, seal.begin, seal, what)
        written.add(seal.chain)

    def _tail(self, stored: bytes, begin: int, chain: str) -> None:
        """What stands after the last seal of a segment."""
        chain = chain or blocks.chain_at(stored, begin)
        strand = self._strands.get(chain)
        tip = strand.tip if strand is not None else self._starts.get(chain)
        before = tip if tip is not None else heads.begun(chain)
        for trouble in blocks.unsealed(stored, begin, before):
            self._find(stored, trouble.kind, trouble.offset, before, trouble.what)

    def _find(
        self, stored: bytes, kind: Kind, offset: int, where: Head | seals.Seal, what: str
    ) -> None:
        if len(self._findings) >= MOST:
            return
        line = stored.count(b"\n", 0, offset) + 1
        self._add(Finding(
            kind=kind, segment=self._names[-1], line=line, offset=offset, chain=where.chain,
            block=where.block, what=what,
        ))  # fmt: skip

    def _add(self, finding: Finding) -> None:
        if len(self._findings) < MOST:
            self._findings.append(finding)

    def result(self) -> Verified:
        """What came of it; when everything is read."""
        for chain, strand in self._strands.items():
            for gap in strand.missing:
                self._add(self._gap(chain, gap))
        for chain in self._signed:
            self._end(chain)
        older = self._of_before_seals()
        return Verified(
            records=self._records,
            blocks=self._blocks,
            chains=tuple(
                self._stretch(strand, strand.tip)
                for strand in self._strands.values()
                if strand.tip is not None
            ),
            findings=(*older, *self._findings)[:MOST],
        )

    def _of_before_seals(self) -> list[Finding]:
        """Files whose seals somebody took away look as if they never had any.

        But then blocks are missing, or the first that is there is not the first that was sealed.
        """
        first = next(iter(self._strands.values()), None)
        newest = None if first is None else first.newest
        if first is not None and first.first == 1 and (newest is None or newest.first == 1):
            kind, what = Kind.UNSEALED, "written before records were sealed; nothing vouches for it"
        else:
            kind, what = Kind.FOREIGN, "nothing is sealed here, and no first block follows"
        return [
            Finding(kind=kind, segment=name, line=1, offset=0, chain="", block=0, what=what)
            for name in self._unsealed
        ]

    def _gap(self, chain: str, gap: Missing) -> Finding:
        what = f"of chain {chain}, {_blocks(gap.first, gap.last)} missing"
        return self._absent(Kind.GAP, self._names[gap.segment], chain, gap.first, what)

    def _end(self, chain: str) -> None:
        """What a head names and nobody saw."""
        head = max(self._signed[chain].values(), key=lambda one: one.block)
        strand = self._strands.get(chain)
        tip = strand.tip if strand is not None else self._starts.get(chain)
        first = max(head.first, tip.block + 1 if tip is not None else 1)
        if first > head.block:
            return
        name = self._names[-1] if self._names else ""
        what = f"of chain {chain}, {_blocks(first, head.block)} missing at its end"
        self._add(self._absent(Kind.CUT, name, chain, first, what))

    def _absent(self, kind: Kind, name: str, chain: str, block: int, what: str) -> Finding:
        for other, (segment, seal) in self._places.items():
            if self._signed and other != chain and other not in self._signed:
                return Finding(
                    kind=Kind.SWAPPED, segment=self._names[segment], line=1, offset=0,
                    chain=other, block=seal.block,
                    what=f"chain {other}, which no head names, stands there, and {what}",
                )  # fmt: skip
        return Finding(
            kind=kind, segment=name, line=0, offset=0, chain=chain, block=block, what=what
        )

    def _stretch(self, strand: Strand, tip: Head) -> Stretch:
        known = self._signed.get(tip.chain, {})
        agreed = [head for block, head in known.items() if block <= tip.block]
        newest = max(agreed, key=lambda one: one.block, default=None)
        return Stretch(first=strand.first, end=tip, signed=newest)


def _blocks(first: int, last: int) -> str:
    return f"block {first} is" if first == last else f"blocks {first} to {last} are"
