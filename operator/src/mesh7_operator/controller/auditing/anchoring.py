"""The audit of all enrolled namespaces: taken in turns, verified, anchored.

A namespace that floods delays no other: each has one bounded turn after the other. What its writer
cannot undo is the anchor, a signed ConfigMap of the release namespace; it is written when something
changed, at most once in a round.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from mesh7_core import errors
from mesh7_core.ledger.audit_entries import Entry, place_of
from mesh7_operator.anchoring import folding, following, trimming
from mesh7_operator.anchoring.anchor import Anchor, Finding, Trouble
from mesh7_operator.anchoring.trimming import Terms
from mesh7_operator.clock import Clock
from mesh7_operator.controller.auditing.anchors import Anchors, Kept
from mesh7_operator.controller.auditing.making_room import MakingRoom, Room
from mesh7_operator.controller.auditing.recording import Recorder
from mesh7_operator.controller.auditing.streams import Audit
from mesh7_operator.metrics import ControllerMetrics
from mesh7_operator.store.audit import Extent

_LOG: Final = logging.getLogger(__name__)
_QUESTIONS: Final = 100
_ROUND_S: Final = 10.0
"""Of turns; then anchors are written, and the next round goes on."""
_CHECKED_S: Final = 60.0
"""From one look at what lies there to the next, where nothing was appended."""
_MANY: Final = 16
"""Entries of a page that is followed beside the loop: each has a signature."""
_LARGE_BYTES: Final = 64 * 1024
_MOST_LOGGED: Final = 10
_MOST_PAGES: Final = 8
_SLACK: Final = 1.5
_HALF_GONE: Final = (
    "entries that it says to be gone are still there, for Redis or the API server did not answer; "
    "they go in a later round"
)
_CUT_DOWN: Final = (
    "so much was recorded meanwhile that some of what was walked over had to go; ask again"
)


@dataclass(slots=True, kw_only=True)
class _Known:
    """One namespace.

    Attributes:
        kept: its anchor, as it stands and as it was written; None = not read yet.
        checked_s: when it was last looked at what lies there.
        room: what went.
        lock: of what is kept; held for moments.
        walking: of who walks over all that lies there, which may take minutes.
        users: how many hold or await one of the two.
        was_cut: what lies there was cut down while somebody walked over it.
    """

    kept: Kept | None = None
    checked_s: float = float("-inf")
    room: Room = field(default_factory=Room)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    walking: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    was_cut: bool = False


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
        self._making_room = MakingRoom(
            audit,
            self._sign,
            recorder,
            enrolled=enrolled,
            metrics=metrics,
            clock=clock,
            terms=terms,
        )
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
        """Its anchor as signed; None when it cannot be read. Its audit goes on meanwhile.

        Raises:
            ClusterError: at its end: so much came that some of what lies there had to go.
        """
        with self._using(namespace) as known:
            async with known.walking:
                signed = await self._signed(namespace, known)
                known.was_cut = False
                yield signed
                if known.was_cut:
                    raise errors.ClusterError(_CUT_DOWN)

    async def _signed(self, namespace: str, known: _Known) -> Anchor | None:
        async with known.lock:
            try:
                kept = await self._kept(namespace, known)
                extent = None if kept is None else await self._audit.extent(namespace)
                if kept is not None and extent is not None:
                    # The walk before this one held it back.
                    making, room = self._making_room, known.room
                    if not await making.make(namespace, kept, room, extent.first):
                        raise errors.ClusterError(_HALF_GONE)  # noqa: TRY301 - said as others are
                    await self._sign(namespace, kept)
            except errors.ClusterError as error:
                about = {"namespace": namespace, "error": error.message}
                _LOG.warning("an anchor cannot be read or written", extra=about)
                return None
            return None if kept is None else kept.signed

    def is_begun(self, namespace: str) -> bool:
        """Whether its anchor is there.

        Whoever writes into its stream asks right before: what lies there without one is a finding.
        """
        known = self._known.get(namespace)
        return known is not None and known.kept is not None and known.kept.is_there

    async def begin(self, namespace: str) -> bool:
        """Whether its anchor is there; made where nothing lies there yet."""
        if self.is_begun(namespace):
            return True
        # The next round says why not, and tries again.
        with contextlib.suppress(errors.ClusterError):
            async with self._locked(namespace) as known:
                await self._kept(namespace, known)
        return self.is_begun(namespace)

    async def gather(self, namespace: str) -> int | None:
        """Move some of what was appended lately into its stream; how many are left, None = lost."""
        return await self._audit.gather(namespace) if await self.begin(namespace) else None

    def forget(self, namespace: str) -> None:
        """There is no such namespace any more; what is kept of it goes by its age."""
        self._recorder.forget(namespace)

    # Turns

    async def _line_up(self) -> None:
        """Who has something to be looked at; who was not done with in the last round goes first."""
        # What we wrote for one that is not enrolled goes by its age, too.
        fresh = self._recorder.fresh()
        names = list(dict.fromkeys([*self._enrolled(), *await self._anchors.names(), *fresh]))
        now_s, lined = self._clock.monotonic_s(), set(self._left)
        for start in range(0, len(names), _QUESTIONS):
            some = names[start : start + _QUESTIONS]
            waiting = await self._audit.waiting(some)
            for namespace in some if waiting is not None else ():
                known = self._known.get(namespace)
                is_due = known is None or _is_behind(known) or now_s - known.checked_s > _CHECKED_S
                is_told = (waiting is not None and waiting[namespace] > 0) or namespace in fresh
                if (is_due or is_told) and namespace not in lined:
                    self._left.append(namespace)

    async def _turn(self, namespace: str) -> bool:
        """Some of a namespace's; whether there may be more."""
        async with self._locked(namespace) as known:
            kept = await self._kept(namespace, known)
            left = None if kept is None else await self._audit.gather(namespace)
            if kept is None or left is None:
                return False
            page = await self._audit.read(namespace, after=kept.anchor.last)
            await self._follow(namespace, kept, page or [])
            if folding.is_over(kept.anchor):
                known.was_cut = True
                await self._making_room.evict(namespace, kept, known.room)
            return bool(left or page)

    async def _finish(self, namespace: str) -> None:
        """Hold what lies there against what should, let the oldest go, and sign."""
        async with self._locked(namespace) as known:
            kept = known.kept
            if kept is None:
                return
            extent = await self._audit.extent(namespace)
            if extent is not None:
                known.checked_s = self._clock.monotonic_s()
                is_half_gone = trimming.is_half_gone(kept.anchor, extent.first)
                if await self._caught_up(namespace, kept, extent) and not is_half_gone:
                    await self._lose(namespace, kept, extent)
                await self._make_room(namespace, known, kept, extent)
            oldest_ms = self._clock.wall_ms() - int(self._terms.retention.total_seconds() * 1000)
            kept.anchor = following.outlived(kept.anchor, oldest_ms)
            if known.kept is not None:
                await self._sign(namespace, kept)

    async def _caught_up(self, namespace: str, kept: Kept, extent: Extent) -> bool:
        """Follow what lies there and was not read in its turn; whether that is all."""
        for _ in range(_MOST_PAGES):
            if place_of(extent.last) <= place_of(kept.anchor.last):
                return True
            if folding.is_over(kept.anchor):
                # With more chains it could not be written; some go first.
                return False
            page = await self._audit.read(namespace, after=kept.anchor.last)
            ours = [one for one in page or () if one.place <= place_of(extent.last)]
            if not ours:
                return False
            await self._follow(namespace, kept, ours)
        return place_of(extent.last) <= place_of(kept.anchor.last)

    async def _make_room(self, namespace: str, known: _Known, kept: Kept, extent: Extent) -> None:
        """While somebody walks over it, only what there is far too much of goes."""
        making = self._making_room
        if known.walking.locked():
            if not making.is_too_much(kept.anchor, known.room, _SLACK):
                return
            known.was_cut = True
        await making.make(namespace, kept, known.room, extent.first)
        # What was sent and not answered may come yet.
        is_awaited = namespace in self._enrolled() or namespace in self._recorder.waiting
        if not kept.anchor.entries and not is_awaited:
            await self._leave(namespace, known, kept)

    async def _leave(self, namespace: str, known: _Known, kept: Kept) -> None:
        """Nothing is vouched for any more: the anchor goes, unless something came meanwhile."""
        # From now on whoever would write there waits for the lock.
        known.kept = None
        if not await self._audit.forget_empty(namespace):
            known.kept = kept
            return
        known.room, known.checked_s = Room(), float("-inf")
        self._recorder.begin_anew(namespace)
        await self._anchors.remove(namespace)

    async def _follow(self, namespace: str, kept: Kept, page: list[Entry]) -> None:
        if not page:
            return
        if len(page) > _MANY or _size(page) > _LARGE_BYTES:
            followed = await asyncio.to_thread(following.follow, kept.anchor, page)
        else:
            followed = following.follow(kept.anchor, page)
        kept.anchor = followed.anchor
        await self._tell(namespace, followed.findings)

    async def _lose(self, namespace: str, kept: Kept, extent: Extent) -> None:
        """Look whether fewer entries are there than should be."""
        if extent.entries < kept.anchor.entries:
            kept.anchor = trimming.lost(kept.anchor, extent.entries, self._clock.wall_ms())
            await self._tell(namespace, kept.anchor.findings[-1:])
        # Ids go on from what is there now: it may have been another server's clock.
        kept.anchor = replace(kept.anchor, last=extent.last)

    # What is known

    @contextlib.contextmanager
    def _using(self, namespace: str) -> Iterator[_Known]:
        """What is known of it; without an anchor it is forgotten with its last user."""
        known = self._known.setdefault(namespace, _Known())
        known.users += 1
        try:
            yield known
        finally:
            known.users -= 1
            if not known.users and known.kept is None:
                del self._known[namespace]

    @contextlib.asynccontextmanager
    async def _locked(self, namespace: str) -> AsyncIterator[_Known]:
        with self._using(namespace) as known:
            async with known.lock:
                yield known

    # Anchors

    async def _kept(self, namespace: str, known: _Known) -> Kept | None:
        """Its anchor; read once, and made when there is none. None = Redis is lost."""
        if known.kept is None:
            extent = await self._audit.extent(namespace)
            if extent is None:
                return None
            known.kept = await self._read(namespace, extent)
            await self._making_room.finish(namespace, known.kept, extent.first)
        if known.kept.signed is None:
            await self._sign(namespace, known.kept)
        return known.kept

    async def _read(self, namespace: str, extent: Extent) -> Kept:
        kept = await self._anchors.read(namespace)
        # Nothing is written there before the first anchor is (`begin`).
        is_new = not kept.is_there and not extent.last
        if kept.trouble and not is_new:
            finding = Finding(
                trouble=Trouble.UNANCHORED, said=kept.trouble, at_ms=self._clock.wall_ms()
            )
            kept.anchor = following.noted(kept.anchor, [finding])
            await self._tell(namespace, [finding])
        return kept

    async def _sign(self, namespace: str, kept: Kept) -> None:
        trouble = await self._anchors.write(namespace, kept)
        if trouble:
            finding = Finding(trouble=Trouble.UNANCHORED, said=trouble, at_ms=self._clock.wall_ms())
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


def _is_behind(known: _Known) -> bool:
    return known.kept is None or known.kept.signed != known.kept.anchor


@contextlib.contextmanager
def _noting(failed: dict[str, errors.ClusterError], namespace: str) -> Iterator[None]:
    """One namespace that fails costs the others nothing."""
    try:
        yield
    except errors.ClusterError as error:
        failed[namespace] = error


def _size(page: Sequence[Entry]) -> int:
    return sum(one.size_bytes for one in page)
