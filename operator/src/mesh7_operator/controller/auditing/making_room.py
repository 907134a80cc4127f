"""What is too old, or too much, goes out of a namespace's audit; and it is said.

The anchor says first what goes, then it goes: otherwise a crash between would look like an attack.
What was begun is done before anything else is: what the signed anchor says to be gone is taken away
as often as it takes.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from mesh7_operator.anchoring import evicting, folding, trimming
from mesh7_operator.anchoring.anchor import Anchor, Evicted
from mesh7_operator.anchoring.trimming import Terms
from mesh7_operator.clock import Clock
from mesh7_operator.controller.auditing.anchors import Kept
from mesh7_operator.controller.auditing.recording import Recorder
from mesh7_operator.controller.auditing.streams import PAGE, Audit
from mesh7_operator.metrics import ControllerMetrics

_LOG: Final = logging.getLogger(__name__)
_AT_ONCE: Final = 1000
"""Entries that are named in an anchor before they go."""
_TOLD_S: Final = 600.0
"""From one line of our own chain to the next: a flood is not to fill that."""
_MOST_TOLD: Final = 5
"""Writers in one line."""


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
        sign: writes an anchor, where it is said first; and finds it where somebody else wrote it.
        recorder: where it is said for as long as the audit is kept.
        enrolled: whose audit gets such lines.
        terms: how much is kept.
    """

    def __init__(  # noqa: PLR0913 - all that it works with
        self,
        audit: Audit,
        sign: Callable[[str, Kept], Awaitable[None]],
        recorder: Recorder,
        *,
        enrolled: Callable[[], Sequence[str]],
        metrics: ControllerMetrics,
        clock: Clock,
        terms: Terms,
    ) -> None:
        self._audit = audit
        self._sign = sign
        self._recorder = recorder
        self._enrolled = enrolled
        self._metrics = metrics
        self._clock = clock
        self._terms = terms

    async def make(self, namespace: str, kept: Kept, room: Room, oldest: str) -> bool:
        """Let go what is too old, and what is too much; whether nothing is left half done.

        Args:
            oldest: the id of the oldest entry that is there; empty = there is none.

        Raises:
            ClusterError: the anchor could not be written.
        """
        if not await self.finish(namespace, kept, oldest):
            return False
        kept.anchor = trimming.outlived(kept.anchor, self._terms, self._clock.wall_ms())
        is_done = await self._age(namespace, kept, room, oldest)
        if is_done and self.is_too_much(kept.anchor, room):
            is_done = await self.evict(namespace, kept, room)
        self._tell(namespace, kept.anchor, room)
        return is_done

    def is_too_much(self, anchor: Anchor, room: Room, slack: float = 1.0) -> bool:
        """Whether something has to go before its time.

        Args:
            slack: of what may be kept, that may be there for a while.
        """
        others = anchor.size_bytes - min(room.own_bytes, self._terms.most_bytes // 2)
        return others > self._terms.most_bytes * slack or folding.is_over(anchor)

    async def evict(self, namespace: str, kept: Kept, room: Room) -> bool:
        """Let go what whoever has most wrote first; whether nothing is left half done.

        Raises:
            ClusterError: the anchor could not be written.
        """
        first = await self._audit.read(namespace, limit=1)
        if first is None or not await self.finish(namespace, kept, first[0].id if first else ""):
            return False
        census, after = evicting.Census(kept.anchor), ""
        while page := await self._audit.read(namespace, after=after):
            await asyncio.to_thread(census.take, page)
            after = page[-1].id
        if page is None:
            return True
        room.own_bytes = evicting.own_bytes(census.held)
        found = await asyncio.to_thread(evicting.excess, kept.anchor, census.held, self._terms)
        for some in evicting.parts(found, _AT_ONCE):
            shorter = evicting.evicted(kept.anchor, some)
            kept.anchor = replace(shorter, going=tuple(one.id for one in some.gone))
            records = sum(one.records for one in some.gone)
            self._metrics.audit_evicted.labels(namespace).inc(records)
            if not await self.finish(namespace, kept):
                return False
        return True

    async def finish(self, namespace: str, kept: Kept, oldest: str = "") -> bool:
        """Take away what the anchor says to be gone, once that is signed; whether it is gone.

        Args:
            oldest: the id of the oldest entry that is there; empty = there is none, or none that
                was trimmed.

        Raises:
            ClusterError: the anchor could not be written.
        """
        if not trimming.is_half_gone(kept.anchor, oldest):
            return True
        if not _is_signed(kept):
            await self._sign(namespace, kept)
        if not _is_signed(kept) or not await self._audit.remove(namespace, kept.anchor.going):
            return False
        kept.anchor = replace(kept.anchor, going=())
        is_gone = not trimming.is_half_gone(kept.anchor, oldest)
        return is_gone or await self._audit.trim(namespace, kept.anchor.trimmed.up_to)

    async def _age(self, namespace: str, kept: Kept, room: Room, oldest: str) -> bool:
        while trimming.is_due(kept.anchor, oldest, self._terms, self._clock.wall_ms()):
            page = await self._audit.read(namespace, after=kept.anchor.trimmed.up_to, limit=PAGE)
            gone = trimming.chosen(kept.anchor, page or (), self._terms, self._clock.wall_ms())
            if page is None or not gone:
                return True
            kept.anchor = trimming.trimmed(kept.anchor, gone)
            own_bytes = sum(one.size_bytes for one in gone if one.is_operators)
            room.own_bytes = max(room.own_bytes - own_bytes, 0)
            room.up_to, room.entries = gone[-1].id, room.entries + len(gone)
            if not await self.finish(namespace, kept, gone[0].id):
                return False
            oldest = page[len(gone)].id if len(gone) < len(page) else ""
            if not oldest:
                rest = await self._audit.read(namespace, limit=1)
                oldest = rest[0].id if rest else ""
        return True

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


def _is_signed(kept: Kept) -> bool:
    """Whether the anchor that is written says what goes."""
    signed, anchor = kept.signed, kept.anchor
    return signed is not None and (signed.going, signed.trimmed) == (anchor.going, anchor.trimmed)


def _said(one: Evicted) -> dict[str, object]:
    return {
        "pod": one.pod, "uid": one.uid, "from": one.since, "upTo": one.until,
        "entries": one.entries, "records": one.records,
    }  # fmt: skip
