"""An audit in memory: real chains of real lines, in the entries that a stream would have."""

import json
from collections.abc import Sequence
from typing import Any

from mesh7_core.audit import chain, moments
from mesh7_core.delivery.keys import SigningKey
from mesh7_core.ledger import audit_writers
from mesh7_core.ledger.audit_entries import Entry, Kind, Segment

SHOP = "shop"
KEY = SigningKey(b"k" * 32)
CHAIN = audit_writers.name_of(KEY.public)
BEGAN_MS = 1_795_258_936_000


def line(at_ms: int, tool: str = "billing.refund", **fields: Any) -> bytes:
    """One call's, as a sidecar writes it, but for its id."""
    said = {
        "time": moments.written(at_ms * 1_000_000),
        "decision": "Allow",
        "reason": "allowed-by-rule",
        "rules": ["shop/support/reads"],
        "agent": {"namespace": SHOP, "serviceAccount": "support", "pod": "support-7d9f"},
        "outcome": "ok",
        "tool": tool,
        **fields,
    }
    return json.dumps(said, separators=(",", ":")).encode()


class Trail:
    """The stream of one namespace, and a writer of it.

    Attributes:
        entries: oldest first.
        is_lost: Redis does not answer.
        most: entries of a page.
    """

    def __init__(self, key: SigningKey = KEY, namespace: str = SHOP) -> None:
        self._namespace = namespace
        self._chain = chain.new(audit_writers.name_of(key.public))
        self._key = key
        self.entries: list[Entry] = []
        self.is_lost = False
        self.most = 4
        self.asked = 0

    def write(self, *lines: bytes, at_ms: int | None = None) -> Entry:
        """Seal lines into one more entry."""
        when = at_ms if at_ms is not None else BEGAN_MS + 1000 * len(self.entries)
        first = self._chain.head.block + 1
        sealed = self._chain.seal(lines, moments.written(when * 1_000_000))
        self._chain.keep(sealed)
        head = self._chain.head
        segment = Segment(
            kind=Kind.BLOCKS, chain=head.chain, first=first, last=head.block, hash=head.hash,
            records=len(lines), uid="3f0c", pod="support-7d9f", body=sealed.content,
        )  # fmt: skip
        return self.add(audit_writers.signed(segment, self._key, self._namespace), when)

    def add(self, segment: Segment | None, at_ms: int) -> Entry:
        """Whatever it is."""
        size = len(segment.body) if segment is not None else 9
        entry = Entry(
            id=f"{at_ms}-{len(self.entries)}", segment=segment, is_operators=False, size_bytes=size
        )
        self.entries.append(entry)
        return entry

    async def read(self, _: str, *, after: str = "") -> list[Entry] | None:
        """As `store.audit.Audit` does."""
        self.asked += 1
        left = [one for one in self.entries if not after or one.place > _place(after)]
        return None if self.is_lost else left[: self.most]

    async def read_back(self, _: str, *, before: str = "") -> list[Entry] | None:
        """As `store.audit.Audit` does."""
        self.asked += 1
        return None if self.is_lost else self.page(before)

    def page(self, before: str) -> list[Entry]:
        """Newest first."""
        left = [one for one in self.entries if not before or one.place < _place(before)]
        return left[::-1][: self.most]


def ids(records: Sequence[str]) -> list[str]:
    """Of lines."""
    return [json.loads(one)["id"] for one in records]


def _place(entry: str) -> tuple[int, int]:
    milliseconds, _, number = entry.partition("-")
    return int(milliseconds), int(number)
