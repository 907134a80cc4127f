"""All that is kept of a namespace, held against its anchor: what was edited, cut, or never came.

Pure: no clock, no network, no logging.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from mesh7_core.ledger.audit_entries import Entry, place_of
from mesh7_operator.anchoring.anchor import Anchor, Evicted, Finding, Trouble
from mesh7_operator.anchoring.following import follow
from mesh7_operator.anchoring.trimming import rewound

MOST_SHOWN: Final = 100
_TOLD: Final = frozenset({Trouble.WITHHELD, Trouble.EVICTED})
"""Of these somebody said so: that is no breach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was found.

    Attributes:
        entries, records, chains: how much was walked and bears its hashes.
        newer: entries among them that came after the anchor was written: their order and
            contents hold, that none was cut from their end is not known yet.
        findings: the first of them; `WITHHELD` is a writer's own word, `EVICTED` ours, all others
            are breaches. What the anchor tells of stands among them: it does not heal by having
            been noticed.
        found: how many there were.
        broken: how many of them are more than that.
        signed_ms: until when the anchor vouches, by the server's clock; 0 = for nothing.
    """

    entries: int
    records: int
    chains: int
    newer: int
    findings: tuple[Finding, ...]
    found: int
    broken: int
    signed_ms: int

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing or changed but what its writer, or we, said."""
        return not self.broken


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
        self._broken = 0
        self._shown: list[Finding] = []
        self._standing = {_place(one): one for one in anchor.findings}

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

    def end(self) -> Verified:
        """What was found, now that there are no more."""
        self._hold_against()
        self._note(tuple(self._standing.values()))
        self._note(_gone(one) for one in self._anchor.evicted)
        return Verified(
            entries=self._walked.entries,
            records=self._records,
            chains=len(self._walked.chains),
            newer=self._newer,
            findings=tuple(self._shown),
            found=self._found,
            broken=self._broken,
            signed_ms=place_of(self._anchor.last)[0],
        )

    def _follow(self, entries: list[Entry]) -> None:
        if entries:
            followed = follow(self._walked, entries)
            self._walked = replace(followed.anchor, findings=(), found={})
            self._records += followed.records
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
            # Found again: it is told once.
            self._standing.pop(_place(one), None)
            is_broken = one.trouble not in _TOLD
            self._found += 1
            self._broken += is_broken
            if len(self._shown) < (MOST_SHOWN if is_broken else MOST_SHOWN // 2):
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


def _place(one: Finding) -> tuple[Trouble, str, str, int, str]:
    """By which a finding is known again."""
    # What was found of no entry is known by what it says.
    return one.trouble, one.chain, one.entry, one.block, "" if one.entry else one.said


def _gone(one: Evicted) -> Finding:
    said = (
        f"{one.records} records in {one.entries} entries, {one.since} to {one.until}, were taken"
        " away before their time, for their writer had written too much; they are on its stdout"
    )
    return Finding(trouble=Trouble.EVICTED, said=said, pod=one.pod, entry=one.until)


def _of(chain: str, pod: str, trouble: Trouble, block: int, said: str) -> Finding:
    return Finding(trouble=trouble, said=said, chain=chain, pod=pod, block=block)
