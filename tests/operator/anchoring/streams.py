"""Streams as the controller reads them, written by chains that are real."""

from collections.abc import Sequence
from dataclasses import replace

from mesh7_core.audit import chain
from mesh7_core.audit.heads import Head
from mesh7_core.ledger.audit_entries import Entry, Kind, Segment
from mesh7_operator.anchoring.anchor import Anchor
from mesh7_operator.anchoring.following import Followed, follow

ONE = "abcdefghijkl"
OTHER = "mnopqrstuvwx"
TIME = "2026-11-21T10:00:00.000000Z"
AT_MS = 1_795_255_200_000
NAMESPACE = "shop"


class Writer:
    """One pod's chain."""

    def __init__(self, name: str = ONE, pod: str = "web-1", uid: str = "") -> None:
        self._chain = chain.new(name)
        self._pod = pod
        self._uid = uid or f"uid-of-{pod}"

    @property
    def head(self) -> Head:
        return self._chain.head

    def blocks(self, *counts: int) -> Segment:
        """One segment of blocks with as many records each."""
        body, first = b"", self.head.block + 1
        for count in counts or (2,):
            records = [b'{"time":"%b","n":%d}' % (TIME.encode(), n) for n in range(count)]
            sealed = self._chain.seal(records, TIME)
            self._chain.keep(sealed)
            body += sealed.content
        return self._segment(Kind.BLOCKS, first, sum(counts or (2,)), body)

    def withheld(self, *counts: int) -> Segment:
        """The same, named instead of sent."""
        return replace(self.blocks(*counts), kind=Kind.WITHHELD, body=b"")

    def end(self) -> Segment:
        """Nothing follows."""
        return self._segment(Kind.END, self.head.block, 0, b"")

    def _segment(self, kind: Kind, first: int, records: int, body: bytes) -> Segment:
        return Segment(
            kind=kind, chain=self.head.chain, first=first, last=self.head.block,
            hash=self.head.hash, records=records, uid=self._uid, pod=self._pod, body=body,
        )  # fmt: skip


def entries(*segments: Segment | None, start: int = 0, is_operators: bool = False) -> list[Entry]:
    """As they lie in a stream, a millisecond apart; None = nothing of ours."""
    return [
        Entry(
            id=f"{AT_MS + start + place}-0",
            segment=segment,
            is_operators=is_operators,
            size_bytes=100 + (len(segment.body) if segment is not None else 0),
        )
        for place, segment in enumerate(segments)
    ]


def followed(stream: Sequence[Entry], before: Anchor | None = None) -> Followed:
    """From nothing, or from there."""
    return follow(before or Anchor(namespace=NAMESPACE), stream)
