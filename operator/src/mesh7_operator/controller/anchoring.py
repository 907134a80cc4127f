"""The audit of all enrolled namespaces: taken in turns, verified, anchored, trimmed.

A namespace that floods delays no other: each has one bounded turn after the other. What its writer
cannot undo is the anchor, a signed ConfigMap of the release namespace; it is written when something
changed, at most once in a round.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from mesh7_core import errors
from mesh7_core.audit import deeds
from mesh7_core.ledger.audit_entries import Entry, place_of
from mesh7_operator.anchoring import following, trimming
from mesh7_operator.anchoring.anchor import Anchor, Finding, Trouble
from mesh7_operator.anchoring.trimming import Terms
from mesh7_operator.clock import Clock
from mesh7_operator.controller.anchors import Anchors, Kept
from mesh7_operator.controller.recording import Recorder
from mesh7_operator.metrics import ControllerMetrics
from mesh7_operator.store.audit import Extent

_LOG: Final = logging.getLogger(__name__)
_QUESTIONS: Final = 100
_ROUND_S: Final = 10.0
"""Of turns; then anchors are written, and the next round goes on."""
_CHECKED_S: Final = 60.0
"""From one look at what lies there to the next, where nothing was appended."""
_PAGE: Final = 256
_LARGE_BYTES: Final = 64 * 1024
_MOST_LOGGED: Final = 10


class Audit(Protocol):
    """Streams in Redis; None and False = it is lost."""

    async def waiting(self, namespaces: Sequence[str]) -> Mapping[str, int] | None:
        """How many segments were appended and not moved yet, of each."""

    async def gather(self, namespace: str) -> int | None:
        """Move some of them; how many are left."""

    async def extent(self, namespace: str) -> Extent | None:
        """What lies there."""

    async def read(
        self, namespace: str, *, after: str = "", limit: int = _PAGE
    ) -> list[Entry] | None:
        """Entries, oldest first."""

    async def trim(self, namespace: str, up_to: str) -> bool:
        """Take away that one and all before it."""

    async def forget(self, namespace: str) -> bool:
        """Take away everything."""


@dataclass(slots=True, kw_only=True)
class _Known:
    """One namespace.

    Attributes:
        kept: its anchor, as it stands and as it was written; None = not read yet.
        checked_s: when it was last looked at what lies there.
    """

    kept: Kept | None = None
    checked_s: float = float("-inf")
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Auditing:
    """Takes the rounds.

    Args:
        audit: streams.
        anchors: ConfigMaps.
        enrolled: whose audit is taken.
        recorder: of what is trimmed.
        terms: how much is kept.
    """

    def __init__(  # noqa: PLR0913 - all that it works with
        self,
        *,
        audit: Audit,
        anchors: Anchors,
        enrolled: Callable[[], Sequence[str]],
        recorder: Recorder,
        metrics: ControllerMetrics,
        clock: Clock,
        terms: Terms,
    ) -> None:
        self._audit = audit
        self._anchors = anchors
        self._enrolled = enrolled
        self._recorder = recorder
        self._metrics = metrics
        self._clock = clock
        self._terms = terms
        self._known: dict[str, _Known] = {}
        self._left: deque[str] = deque()

    async def look(self) -> None:
        """One round over all namespaces.

        Raises:
            ClusterError: an anchor could not be read or written; the others are.
        """
        failed: dict[str, errors.ClusterError] = {}
        await self._line_up()
        until_s = self._clock.monotonic_s() + _ROUND_S
        turned: dict[str, None] = {}
        while self._left and self._clock.monotonic_s() < until_s:
            namespace = self._left.popleft()
            turned[namespace] = None
            with _noting(failed, namespace):
                if await self._turn(namespace):
                    self._left.append(namespace)
        for namespace in turned:
            with _noting(failed, namespace):
                await self._finish(namespace)
        for namespace, error in failed.items():
            raise errors.ClusterError(f"the audit of `{namespace}`: {error.message}")

    @contextlib.asynccontextmanager
    async def walk(self, namespace: str) -> AsyncIterator[Anchor | None]:
        """Its anchor as signed; None when there is none. Nothing is trimmed meanwhile."""
        known = self._known.setdefault(namespace, _Known())
        async with known.lock:
            try:
                kept = await self._kept(namespace, known)
            except errors.ClusterError as error:
                about = {"namespace": namespace, "error": error.message}
                _LOG.warning("an anchor cannot be read", extra=about)
                kept = None
            yield None if kept is None else kept.signed

    async def note(self, namespace: str, deed: deeds.Deed) -> bool:
        """Write what a person did into our own chain; whether it is written."""
        self._recorder.note(namespace, deeds.line(deed))
        return await self._recorder.flush()

    def forget(self, namespace: str) -> None:
        """There is no such namespace any more; what is kept of it goes by its age."""
        self._recorder.forget(namespace)

    # Turns

    async def _line_up(self) -> None:
        """Who has something to be looked at; who was not done with in the last round goes first."""
        names = list(dict.fromkeys([*self._enrolled(), *await self._anchors.names()]))
        now_s, fresh, lined = self._clock.monotonic_s(), self._recorder.fresh(), set(self._left)
        for start in range(0, len(names), _QUESTIONS):
            some = names[start : start + _QUESTIONS]
            waiting = await self._audit.waiting(some)
            for namespace in some if waiting is not None else ():
                known = self._known.setdefault(namespace, _Known())
                is_due = known.kept is None or now_s - known.checked_s > _CHECKED_S
                is_told = (waiting is not None and waiting[namespace] > 0) or namespace in fresh
                if (is_due or is_told or _is_behind(known)) and namespace not in lined:
                    self._left.append(namespace)

    async def _turn(self, namespace: str) -> bool:
        """Some of a namespace's; whether there may be more."""
        known = self._known.setdefault(namespace, _Known())
        if known.lock.locked():  # somebody verifies it, which may take minutes
            return False
        async with known.lock:
            kept = await self._kept(namespace, known)
            left = None if kept is None else await self._audit.gather(namespace)
            if kept is None or left is None:
                return False
            page = await self._audit.read(namespace, after=kept.anchor.last)
            await self._follow(namespace, kept, page or [])
            return bool(left or page)

    async def _finish(self, namespace: str) -> None:
        """Hold what lies there against what should, let the oldest go, and sign."""
        known = self._known[namespace]
        kept = known.kept
        if kept is None or known.lock.locked():
            return
        async with known.lock:
            extent = await self._audit.extent(namespace)
            if extent is not None:
                known.checked_s = self._clock.monotonic_s()
                if place_of(extent.last) <= place_of(kept.anchor.last):
                    await self._lose(namespace, kept, extent)
                await self._trim(namespace, kept, extent)
            if namespace in self._known:
                await self._sign(namespace, kept)

    async def _follow(self, namespace: str, kept: Kept, page: list[Entry]) -> None:
        if not page:
            return
        if _size(page) > _LARGE_BYTES:
            followed = await asyncio.to_thread(following.follow, kept.anchor, page)
        else:
            followed = following.follow(kept.anchor, page)
        kept.anchor = followed.anchor
        await self._tell(namespace, followed.findings)

    async def _lose(self, namespace: str, kept: Kept, extent: Extent) -> None:
        """Look whether fewer entries are there than should be."""
        if extent.entries < kept.anchor.entries:
            kept.anchor = trimming.lost(kept.anchor, extent.entries, self._now_ms())
            await self._tell(namespace, kept.anchor.findings[-1:])
        # Ids go on from what is there now: it may have been another server's clock.
        kept.anchor = replace(kept.anchor, last=extent.last)

    # Trimming

    async def _trim(self, namespace: str, kept: Kept, extent: Extent) -> None:
        oldest = extent.first
        while trimming.is_due(kept.anchor, oldest, self._terms, self._now_ms()):
            page = await self._audit.read(namespace, limit=_PAGE)
            gone = trimming.chosen(kept.anchor, page or (), self._terms, self._now_ms())
            if page is None or not gone:
                return
            kept.anchor = trimming.trimmed(kept.anchor, gone)
            # First it is said, then done: otherwise a crash between would look like an attack.
            await self._anchors.write(namespace, kept)
            if not await self._audit.trim(namespace, kept.anchor.trimmed.up_to):
                return
            if namespace in self._enrolled():
                said = {"upTo": gone[-1].id, "entries": len(gone)}
                self._recorder.note_fact(namespace, "trimmed", said)
            oldest = page[len(gone)].id if len(gone) < len(page) else ""
            if not oldest:
                rest = await self._audit.read(namespace, limit=1)
                oldest = rest[0].id if rest else ""
        if not kept.anchor.entries and namespace not in self._enrolled():
            await self._audit.forget(namespace)
            await self._anchors.remove(namespace)
            self._known.pop(namespace, None)

    # Anchors

    async def _kept(self, namespace: str, known: _Known) -> Kept | None:
        """Its anchor; read once, and made when there is none. None = Redis is lost."""
        if known.kept is not None:
            return known.kept
        extent = await self._audit.extent(namespace)
        if extent is None:
            return None
        kept = await self._anchors.read(namespace)
        is_new = not kept.is_there and await self._begins_with_ours(namespace)
        if kept.trouble and not is_new:
            finding = Finding(trouble=Trouble.UNANCHORED, said=kept.trouble, at_ms=self._now_ms())
            kept.anchor = following.noted(kept.anchor, [finding])
            await self._tell(namespace, [finding])
        if kept.anchor.trimmed.up_to:
            await self._audit.trim(namespace, kept.anchor.trimmed.up_to)
        known.kept = kept
        if kept.signed is None:
            await self._anchors.write(namespace, kept)
        return kept

    async def _begins_with_ours(self, namespace: str) -> bool:
        """Whether nothing lies there that is older than this term of ours."""
        first = await self._audit.read(namespace, limit=1)
        if not first:
            return first is not None
        segment = first[0].segment
        name = segment.chain if segment is not None and first[0].is_operators else ""
        return bool(name) and name == self._recorder.name_of(namespace)

    async def _sign(self, namespace: str, kept: Kept) -> None:
        trouble = await self._anchors.write(namespace, kept)
        if trouble:
            finding = Finding(trouble=Trouble.UNANCHORED, said=trouble, at_ms=self._now_ms())
            kept.anchor = following.noted(kept.anchor, [finding])
            await self._tell(namespace, [finding])
            await self._anchors.write(namespace, kept)

    async def _tell(self, namespace: str, findings: Sequence[Finding]) -> None:
        for place, one in enumerate(findings):
            self._metrics.audit_findings.labels(namespace, one.trouble.value).inc()
            if place < _MOST_LOGGED:
                about = {
                    "namespace": namespace, "finding": one.trouble.value, "chain": one.chain,
                    "pod": one.pod, "block": one.block, "entry": one.entry,
                }  # fmt: skip
                _LOG.warning("audit: %s", one.said, extra=about)
        for trouble in {one.trouble for one in findings}:
            first = next(one for one in findings if one.trouble is trouble)
            await self._anchors.announce(namespace, first)

    def _now_ms(self) -> int:
        return self._clock.wall_ns() // 1_000_000


def _is_behind(known: _Known) -> bool:
    return known.kept is not None and known.kept.signed != known.kept.anchor


@contextlib.contextmanager
def _noting(failed: dict[str, errors.ClusterError], namespace: str) -> Iterator[None]:
    """One namespace that fails costs the others nothing."""
    try:
        yield
    except errors.ClusterError as error:
        failed[namespace] = error


def _size(page: Sequence[Entry]) -> int:
    return sum(one.size_bytes for one in page)
