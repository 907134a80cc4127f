"""Streams as the controller reads them, written by chains that are real."""

from collections.abc import Sequence
from dataclasses import replace

from mesh7_core.audit import chain
from mesh7_core.audit.heads import Head
from mesh7_core.delivery.keys import KEY_BYTES, SigningKey
from mesh7_core.ledger import audit_writers
from mesh7_core.ledger.audit_entries import Entry, Kind, Segment
from mesh7_operator.anchoring.anchor import Anchor
from mesh7_operator.anchoring.following import Followed, follow


def key_of(seed: int) -> SigningKey:
    """One that every run has again."""
    return SigningKey(seed.to_bytes(KEY_BYTES, "big"))


ONE_KEY = key_of(1)
OTHER_KEY = key_of(2)
ONE = audit_writers.name_of(ONE_KEY.public)
OTHER = audit_writers.name_of(OTHER_KEY.public)
OPERATORS = "abcdefghijkl"
TIME = "2026-11-21T10:00:00.000000Z"
AT_MS = 1_795_255_200_000
NAMESPACE = "shop"


class Writer:
    """One pod's chain; without a key, the operator's."""

    def __init__(
        self,
        key: SigningKey | None = ONE_KEY,
        pod: str = "web-1",
        uid: str = "",
        namespace: str = NAMESPACE,
    ) -> None:
        self._namespace = namespace
        self._chain = chain.new(OPERATORS if key is None else audit_writers.name_of(key.public))
        self._key = key
        self._pod = pod
        self._uid = uid or f"uid-of-{pod}"

    @property
    def head(self) -> Head:
        return self._chain.head

    def blocks(self, *counts: int) -> Segment:
        """One segment of blocks with as many records each."""
        records = [b'{"time":"%b","n":%d}' % (TIME.encode(), n) for n in range(max(counts or (2,)))]
        return self.lines(*(records[:count] for count in counts or (2,)))

    def lines(self, *blocks: Sequence[bytes]) -> Segment:
        """One segment of blocks with these records each."""
        body, first = b"", self.head.block + 1
        for records in blocks:
            sealed = self._chain.seal(records, TIME)
            self._chain.keep(sealed)
            body += sealed.content
        return self._segment(Kind.BLOCKS, first, sum(map(len, blocks)), body)

    def withheld(self, *counts: int) -> Segment:
        """The same, named instead of sent."""
        return self.signed(replace(self.blocks(*counts), kind=Kind.WITHHELD, body=b""))

    def signed(self, segment: Segment) -> Segment:
        """By this writer, whatever it is."""
        if self._key is None:
            return segment
        return audit_writers.signed(segment, self._key, self._namespace)

    def raw(self, body: bytes, head: Head, records: int, first: int = 1) -> Segment:
        """Signed blocks that no chain of ours has made."""
        return self.signed(
            replace(
                self._segment(Kind.BLOCKS, first, records, body), last=head.block, hash=head.hash
            )
        )

    def end(self) -> Segment:
        """Nothing follows."""
        return self._segment(Kind.END, self.head.block, 0, b"")

    def _segment(self, kind: Kind, first: int, records: int, body: bytes) -> Segment:
        return self.signed(Segment(
            kind=kind, chain=self.head.chain, first=first, last=self.head.block,
            hash=self.head.hash, records=records, uid=self._uid, pod=self._pod, body=body,
        ))  # fmt: skip


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
