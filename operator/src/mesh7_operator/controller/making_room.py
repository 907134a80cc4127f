"""What is too old, or too much, goes out of a namespace's audit; and it is said.

The anchor says first what goes, then it goes: otherwise a crash between would look like an attack.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from mesh7_core.ledger.audit_entries import Entry
from mesh7_operator.anchoring import evicting, folding, trimming
from mesh7_operator.anchoring.anchor import Anchor, Evicted
from mesh7_operator.anchoring.evicting import Excess
from mesh7_operator.anchoring.trimming import Terms
from mesh7_operator.clock import Clock
from mesh7_operator.controller.anchors import Anchors, Kept
from mesh7_operator.controller.recording import Recorder
from mesh7_operator.metrics import ControllerMetrics

_LOG: Final = logging.getLogger(__name__)
_PAGE: Final = 256
_AT_ONCE: Final = 1000
"""Entries that are named in an anchor before they go."""
_TOLD_S: Final = 600.0
"""From one line of our own chain to the next: a flood is not to fill that."""
_MOST_TOLD: Final = 5
"""Writers in one line."""


class Audit(Protocol):
    """Streams in Redis; None and False = it is lost."""

    async def read(
        self, namespace: str, *, after: str = "", limit: int = _PAGE
    ) -> list[Entry] | None:
        """Entries, oldest first."""

    async def trim(self, namespace: str, up_to: str) -> bool:
        """Take away that one and all before it."""

    async def remove(self, namespace: str, ids: Sequence[str]) -> bool:
        """Take away these."""


@dataclass(slots=True)
class Room:
    """One namespace's.

    Attributes:
        own_bytes: what we wrote there ourselves, when it was counted last.
        up_to, entries: what went by its age and was not told of yet.
        told: what was told of writers that wrote too much.
        told_s: when something was.
    """

    own_bytes: int = 0
    up_to: str = ""
    entries: int = 0
    told: dict[str, Evicted] = field(default_factory=dict)
    told_s: float = float("-inf")


class MakingRoom:
    """Takes away.

    Args:
        audit: streams.
        anchors: where it is said first.
        recorder: where it is said for as long as the audit is kept.
        enrolled: whose audit gets such lines.
        terms: how much is kept.
    """

    def __init__(  # noqa: PLR0913 - all that it works with
        self,
        audit: Audit,
        anchors: Anchors,
        recorder: Recorder,
        *,
        enrolled: Callable[[], Sequence[str]],
        metrics: ControllerMetrics,
        clock: Clock,
        terms: Terms,
    ) -> None:
        self._audit = audit
        self._anchors = anchors
        self._recorder = recorder
        self._enrolled = enrolled
        self._metrics = metrics
        self._clock = clock
        self._terms = terms

    async def make(self, namespace: str, kept: Kept, room: Room, oldest: str) -> None:
        """Let go what is too old, and what is too much.

        Args:
            oldest: the id of the oldest entry that is there; empty = there is none.

        Raises:
            ClusterError: the anchor could not be written.
        """
        kept.anchor = trimming.outlived(kept.anchor, self._terms, self._now_ms())
        await self._age(namespace, kept, room, oldest)
        if self.is_too_much(kept.anchor, room):
            await self.evict(namespace, kept, room)
        self._tell(namespace, kept.anchor, room)

    def is_too_much(self, anchor: Anchor, room: Room, slack: float = 1.0) -> bool:
        """Whether something has to go before its time.

        Args:
            slack: of what may be kept, that may be there for a while.
        """
        others = anchor.size_bytes - min(room.own_bytes, self._terms.most_bytes // 2)
        return others > self._terms.most_bytes * slack or folding.is_over(anchor)

    async def evict(self, namespace: str, kept: Kept, room: Room) -> None:
        """Let go what whoever has most wrote first.

        Raises:
            ClusterError: the anchor could not be written.
        """
        census, after = evicting.Census(kept.anchor), ""
        while page := await self._audit.read(namespace, after=after):
            await asyncio.to_thread(census.take, page)
            after = page[-1].id
        if page is None:
            return
        room.own_bytes = evicting.own_bytes(census.held)
        found = await asyncio.to_thread(evicting.excess, kept.anchor, census.held, self._terms)
        for start in range(0, len(found.gone), _AT_ONCE):
            gone = found.gone[start : start + _AT_ONCE]
            if not await self._go(namespace, kept, Excess(gone=gone, chains=())):
                return
        kept.anchor = folding.without(kept.anchor, found.chains)

    async def go_on(self, namespace: str, kept: Kept) -> bool:
        """Take away what an anchor says to be going; whether that is done."""
        if kept.anchor.going:
            if not await self._audit.remove(namespace, kept.anchor.going):
                return False
            kept.anchor = replace(kept.anchor, going=())
        return True

    async def _go(self, namespace: str, kept: Kept, found: Excess) -> bool:
        if not await self.go_on(namespace, kept):
            return False
        shorter = evicting.evicted(kept.anchor, found)
        kept.anchor = replace(shorter, going=tuple(one.id for one in found.gone))
        await self._anchors.write(namespace, kept)
        records = sum(one.records for one in found.gone)
        self._metrics.audit_evicted.labels(namespace).inc(records)
        return await self.go_on(namespace, kept)

    async def _age(self, namespace: str, kept: Kept, room: Room, oldest: str) -> None:
        while trimming.is_due(kept.anchor, oldest, self._terms, self._now_ms()):
            page = await self._audit.read(namespace, limit=_PAGE)
            gone = trimming.chosen(kept.anchor, page or (), self._terms, self._now_ms())
            if page is None or not gone:
                return
            kept.anchor = trimming.trimmed(kept.anchor, gone)
            await self._anchors.write(namespace, kept)
            if not await self._audit.trim(namespace, kept.anchor.trimmed.up_to):
                return
            room.own_bytes = 0
            room.up_to, room.entries = gone[-1].id, room.entries + len(gone)
            oldest = page[len(gone)].id if len(gone) < len(page) else ""
            if not oldest:
                rest = await self._audit.read(namespace, limit=1)
                oldest = rest[0].id if rest else ""

    def _tell(self, namespace: str, anchor: Anchor, room: Room) -> None:
        """A line of what went, once in a while."""
        lately = [one for one in anchor.evicted if room.told.get(one.uid) != one]
        now_s = self._clock.monotonic_s()
        is_fresh = bool(lately or room.entries) and now_s - room.told_s > _TOLD_S
        if not is_fresh or namespace not in self._enrolled():
            return
        room.told_s = now_s
        said: dict[str, object] = {"entries": room.entries}
        if room.up_to:
            said["upTo"] = room.up_to
        if lately:
            about = {"namespace": namespace, "pods": [one.pod for one in lately[-_MOST_TOLD:]]}
            _LOG.warning(
                "entries went before their time: their writers wrote too much", extra=about
            )
            said["evicted"] = [_said(one) for one in lately[-_MOST_TOLD:]]
            said["writers"] = len(lately)
        self._recorder.note_fact(namespace, "trimmed", said)
        room.told = {one.uid: one for one in anchor.evicted}
        room.up_to, room.entries = "", 0

    def _now_ms(self) -> int:
        return self._clock.wall_ns() // 1_000_000


def _said(one: Evicted) -> dict[str, object]:
    return {
        "pod": one.pod, "uid": one.uid, "from": one.since, "upTo": one.until,
        "entries": one.entries, "records": one.records,
    }  # fmt: skip
