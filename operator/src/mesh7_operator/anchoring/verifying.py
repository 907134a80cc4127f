"""All that is kept of a namespace, held against its anchor: what was edited, cut, or never came.

Pure: no clock, no network, no logging.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from mesh7_core.ledger.audit_entries import Entry, Kind, place_of
from mesh7_operator.anchoring.anchor import Anchor, Finding, Trouble
from mesh7_operator.anchoring.following import follow
from mesh7_operator.anchoring.trimming import rewound

MOST_SHOWN: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was found.

    Attributes:
        entries, records, chains: how much was walked and bears its hashes.
        newer: entries among them that came after the anchor was written: their order and
            contents hold, that none was cut from their end is not known yet.
        findings: the first of them; `WITHHELD` is a writer's own word, all others are not.
        found: how many there were.
        signed_ms: until when the anchor vouches, by the server's clock; 0 = for nothing.
    """

    entries: int
    records: int
    chains: int
    newer: int
    findings: tuple[Finding, ...]
    found: int
    signed_ms: int

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing or changed but what its writer said itself."""
        return all(one.trouble is Trouble.WITHHELD for one in self.findings)


class Verifying:
    """A walk over a stream, page by page, from its oldest entry.

    Args:
        anchor: as it was signed; nothing may be trimmed during the walk.
    """

    def __init__(self, anchor: Anchor) -> None:
        self._anchor = anchor
        self._walked = rewound(anchor)
        self._at_anchor = self._walked
        self._records = 0
        self._newer = 0
        self._found = 0
        self._shown: list[Finding] = []

    def take(self, entries: Iterable[Entry]) -> None:
        """The next ones."""
        limit = place_of(self._anchor.last)
        page = list(entries)
        older = [one for one in page if one.place <= limit]
        newer = page[len(older) :]
        self._follow(older)
        if older:
            self._at_anchor = self._walked
        self._follow(newer)
        self._newer += len(newer)
        self._records += sum(_records(one) for one in page)

    def end(self) -> Verified:
        """What was found, now that there are no more."""
        self._hold_against()
        return Verified(
            entries=self._walked.entries,
            records=self._records,
            chains=len(self._walked.chains),
            newer=self._newer,
            findings=tuple(self._shown),
            found=self._found,
            signed_ms=place_of(self._anchor.last)[0],
        )

    def _follow(self, entries: list[Entry]) -> None:
        if entries:
            followed = follow(self._walked, entries)
            self._walked = replace(followed.anchor, findings=(), found={})
            self._note(followed.findings)

    def _hold_against(self) -> None:
        """What the anchor signs has to be what is there."""
        for name, signed in self._anchor.chains.items():
            found = self._at_anchor.chains.get(name)
            block = found.head.block if found is not None else signed.base.block
            digest = found.head.hash if found is not None else signed.base.hash
            if block < signed.head.block:
                said = f"blocks {block + 1} to {signed.head.block} were anchored and are gone"
                self._note([_of(name, signed.pod, Trouble.CUT, block + 1, said)])
            elif block > signed.head.block or digest != signed.head.hash:
                said = f"block {signed.head.block} is not the one that was anchored"
                self._note([_of(name, signed.pod, Trouble.EDITED, signed.head.block, said)])

    def _note(self, findings: Iterable[Finding]) -> None:
        for one in findings:
            self._found += 1
            if len(self._shown) < MOST_SHOWN:
                self._shown.append(replace(one, at_ms=0))


def verify(entries: Iterable[Entry], anchor: Anchor) -> Verified:
    """All at once.

    Args:
        entries: all that are there, oldest first.
        anchor: as it was signed.
    """
    walk = Verifying(anchor)
    walk.take(entries)
    return walk.end()


def _records(entry: Entry) -> int:
    segment = entry.segment
    return segment.records if segment is not None and segment.kind is Kind.BLOCKS else 0


def _of(chain: str, pod: str, trouble: Trouble, block: int, said: str) -> Finding:
    return Finding(trouble=trouble, said=said, chain=chain, pod=pod, block=block)
