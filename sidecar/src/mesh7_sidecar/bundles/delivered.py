"""What was delivered, put in force: believed or not, compiled aside, swapped whole.

Whatever way an envelope comes, the highest version that is genuine wins, of bundle and overlay
each. Nothing is in force before both are there. What cannot be used leaves the last good in force.
An overlay never waits for a bundle that is being compiled, so that a kill is in force at once.
Grants are honoured only while their overlay is known to be the newest (`freshness`).
What makes us fail is tried again; while an overlay that is known cannot be laid, nothing passes.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from mesh7_core import errors
from mesh7_core.compiling import delivered, standing
from mesh7_core.delivery import decisions, envelopes, payloads
from mesh7_core.delivery.envelopes import Kind
from mesh7_core.delivery.reports import Origin
from mesh7_core.policy import bundle
from mesh7_sidecar.bundles.believed import REVOCATIONS_FIRST, Believed, Work, worked
from mesh7_sidecar.bundles.current import Current
from mesh7_sidecar.bundles.found import Found
from mesh7_sidecar.bundles.freshness import Freshness
from mesh7_sidecar.bundles.problems import Problems
from mesh7_sidecar.bundles.refusals import Refusals
from mesh7_sidecar.bundles.remembered import Remembered
from mesh7_sidecar.telling import tell

log = logging.getLogger("mesh7.delivery")

REVIEW_S: Final = 1.0
LAID_WITHIN_S: Final = 5.0
"""An overlay that is known, and that we fail to lay for as long, may hold a kill: all is vetoed."""
WITHHELD: Final = "mesh7-overlay-not-in-force"
_Grants = tuple[bundle.Grant, ...]


class Delivery:
    """One sidecar's.

    Args:
        current: what calls are judged by; its overlay is put there by nobody else.
        apply: puts a bundle in force, with its sources. When it raises `Mesh7Error`, what was in
            force still is.
        remembered: what outlives the container.
        refusals: where what is ignored is counted.
        freshness: how long grants are honoured without news.
        work: runs what may take long.

    Attributes:
        refusals: as given.
        on_change: told whenever something else is in force.
        arrived: set once a bundle is in force.
    """

    def __init__(
        self,
        current: Current,
        apply: Callable[[bundle.Bundle], None],
        *,
        remembered: Remembered,
        refusals: Refusals,
        freshness: Freshness,
        work: Work = worked,
    ) -> None:
        self.refusals = refusals
        self.on_change: list[Callable[[], None]] = []
        self.arrived = asyncio.Event()
        self._problems = Problems()
        self._current = current
        self._apply = apply
        self._remembered = remembered
        self._freshness = freshness
        self._work = work
        self._believed = Believed(remembered, refusals)
        self._newest: dict[Kind, Found] = {}
        self._in_force: dict[Kind, Found] = {}
        self._grants: _Grants = ()
        self._is_withheld = False
        self._laying = asyncio.Lock()
        self._raising: asyncio.Task[None] | None = None

    @property
    def versions(self) -> Mapping[Kind, int]:
        """In force, by kind; 0 = none."""
        found = self._in_force
        return {kind: found[kind].version if kind in found else 0 for kind in Kind}

    @property
    def problems(self) -> Mapping[Kind, str]:
        """Of a kind whose newest is not in force: why."""
        return self._problems.by_kind

    @property
    def origin(self) -> Origin:
        """Which way the bundle in force came; NONE = no way brought it since the start."""
        found = self._in_force.get(Kind.BUNDLE)
        return Origin.NONE if found is None else found.origin

    @property
    def confirmed_at(self) -> datetime | None:
        """When the overlay in force was last known to be the newest; None = not since the start."""
        return self._freshness.confirmed_at

    def known(self, kind: Kind) -> int:
        """What is newer than this is worth fetching; perhaps it is not in force."""
        newest = self._newest.get(kind)
        return newest.version if newest is not None else max(self._believed.floor(kind) - 1, 0)

    def decision(self, data: bytes) -> decisions.Decision | envelopes.Refused:
        """What people decided about a held call, if a key that may sign now has signed it."""
        return self._believed.decision(data)

    # What the ways bring

    async def start(self) -> None:
        """Put in force what an earlier process of the pod left; before anything else is taken."""
        for kind in REVOCATIONS_FIRST:
            opened, least = self._believed.kept(kind), self._believed.in_force(kind)
            kept = 0 if opened is None else opened.header.version
            if kept < least:
                self._problems.outdated(kind, kept, least)
            elif opened is not None:
                self._newest[kind] = self._found(opened, b"", Origin.NONE)
        self._raise_soon()
        await self.settled()

    async def take(self, kind: Kind, data: bytes, origin: Origin) -> bool:
        """Look at what was found, and have it in force soon if it is the newest.

        A new overlay is in force when this returns, unless no bundle is; a new bundle is compiled
        in the background (`settled`). Never raises.

        Returns:
            Whether it is genuine, and was not older than what was known when it came first.
        """
        try:
            return await self._take(kind, data, origin)
        except Exception:
            # A defect of ours: what comes next must be taken all the same.
            log.exception("what was delivered makes mesh7 fail; what is in force stays")
            return False

    def confirm(self, kind: Kind, version: int) -> None:
        """Redis says that this version is the newest."""
        found = self._in_force.get(kind)
        if found is None or version != found.version or version < self._believed.floor(kind):
            return
        if found.origin is Origin.NONE:
            found.origin = Origin.REDIS
        if kind is Kind.OVERLAY:
            found.confirmed = self._freshness.now()
            self._freshness.follow(found.confirmed)
            self.review()

    async def settled(self) -> None:
        """Wait until bundles that were taken are in force, or found to be of no use."""
        while self._raising is not None and not self._raising.done():
            await asyncio.wait([self._raising])

    # Time

    async def watch(self) -> None:
        """Let grants lapse that nothing confirms, until cancelled."""
        while True:
            await asyncio.sleep(REVIEW_S)
            self.review()

    def review(self) -> None:
        """Look at the time once; `watch` does so at an interval."""
        if self._freshness.turned():
            self._lay_again()
        overlay = self._unlaid()
        if self._wanted() is not None or (overlay is not None and self._is_due(overlay)):
            self._raise_soon()
        self._withhold()
        self._remembered.go_on()

    async def close(self) -> None:
        """Compile no more, and have on disk what is in force."""
        if self._raising is not None:
            self._raising.cancel()
            await asyncio.wait([self._raising])
        await self._remembered.close()

    async def _take(self, kind: Kind, data: bytes, origin: Origin) -> bool:
        opened = await self._believed.consider(kind, data, origin)
        if opened is None:
            return self._believed.did_believe(kind, origin)
        newest = self._newest.get(kind)
        if newest is not None and opened.header.version <= newest.version:
            if newest.origin is Origin.NONE:
                newest.origin = origin
            return True
        self._newest[kind] = self._found(opened, data, origin)
        await self._lay_newest()
        self._raise_soon()
        return True

    # The overlay in force

    async def _lay_newest(self) -> None:
        """Lay the newest overlay over the bundle in force."""
        async with self._laying:
            while (found := self._unlaid()) is not None and self._is_due(found):
                try:
                    await self._lay_over_bundle(found)
                except Exception as error:  # noqa: BLE001 - it is tried again
                    self._stumble(found, error)

    def _unlaid(self) -> Found | None:
        """The newest overlay, unless it is in force or of no use over the bundle in force."""
        below, found = self._current.bundle, self._newest.get(Kind.OVERLAY)
        if below is None or found is None or found is self._in_force.get(Kind.OVERLAY):
            return None
        return None if found.failed_with is below else found

    async def _lay_over_bundle(self, found: Found) -> None:
        below, laid = self._current.bundle, self._in_force.get(Kind.OVERLAY)
        if below is None:
            return
        grants: _Grants | None = self._grants
        if laid is None or laid.content != found.content:
            grants = await self._compiled_overlay(found, below)
        if grants is None:
            found.failed_with = below
        elif self._current.bundle is below:
            self._lay(found, grants)
            self._put(found)
            self._tell()

    async def _compiled_overlay(self, found: Found, below: bundle.Bundle) -> _Grants | None:
        def compiled() -> _Grants:
            return delivered.compile_overlay(payloads.read_overlay(found.payload), below)

        try:
            return await self._work(len(found.payload), compiled)
        except errors.BundleError as error:
            self._problems.unusable(found, error)
            return None

    def _lay(self, found: Found, grants: _Grants) -> None:
        self._grants = grants
        self._freshness.follow(found.confirmed)
        self._freshness.turned()
        self._is_withheld = self._is_withheld and found is not self._newest.get(Kind.OVERLAY)
        self._current.swap_overlay(self._honoured())

    def _lay_again(self) -> None:
        """The same overlay, after something changed that bears on it."""
        self._current.swap_overlay(self._honoured())
        self._tell()

    def _honoured(self) -> _Grants:
        grants, below = self._freshness.honoured(self._grants), self._current.bundle
        if not self._is_withheld or below is None:
            return grants
        why = "a newer overlay cannot be put in force here"
        return (*grants, standing.veto_of_everything(WITHHELD, below.namespace, why))

    def _withhold(self) -> None:
        """Veto everything while the newest overlay is long known and not laid; it may be a kill."""
        found = self._unlaid()
        is_overdue = found is not None and self._now_s() - found.since_s >= LAID_WITHIN_S
        if is_overdue != self._is_withheld:
            self._is_withheld = is_overdue
            self._lay_again()

    # The bundle in force

    def _raise_soon(self) -> None:
        if self._raising is None or self._raising.done():
            self._raising = asyncio.get_running_loop().create_task(self._raise_newest())
            self._raising.add_done_callback(_told)

    async def _raise_newest(self) -> None:
        """Put the newest bundle in force, with the newest overlay that goes with it."""
        await self._lay_newest()
        while (found := self._wanted()) is not None:
            try:
                await self._raise(found)
            except Exception as error:  # noqa: BLE001 - it is tried again
                self._stumble(found, error)
        await self._lay_newest()

    def _wanted(self) -> Found | None:
        """The newest bundle, unless it is in force or was tried in vain with what there is."""
        found, overlay = self._newest.get(Kind.BUNDLE), self._newest.get(Kind.OVERLAY)
        if found is None or overlay is None or found is self._in_force.get(Kind.BUNDLE):
            return None
        return None if found.failed_with in {found, overlay} or not self._is_due(found) else found

    async def _raise(self, found: Found) -> None:
        before = self._in_force.get(Kind.BUNDLE)
        if before is not None and before.content == found.content:
            # Whoever may make versions grow must not make us compile.
            self._put(found)
            self._tell()
            return
        compiled = await self._compiled_bundle(found)
        if compiled is not None:
            await self._raise_compiled(found, compiled)

    async def _compiled_bundle(self, found: Found) -> bundle.Bundle | None:
        def compiled() -> bundle.Bundle:
            return delivered.compile_bundle(payloads.read_bundle(found.payload))

        try:
            return await self._work(len(found.payload), compiled)
        except errors.BundleError as error:
            self._problems.unusable(found, error)
            found.failed_with = found
            return None

    async def _raise_compiled(self, found: Found, compiled: bundle.Bundle) -> None:
        while True:
            newest = self._newest[Kind.OVERLAY]
            laid = self._in_force.get(Kind.OVERLAY, newest)
            overlay, grants = newest, await self._compiled_overlay(newest, compiled)
            if grants is None and laid is not newest:
                overlay, grants = laid, await self._compiled_overlay(laid, compiled)
            # A kill may have been laid meanwhile; an older overlay must not lift it.
            if newest is self._newest[Kind.OVERLAY] and laid is self._in_force.get(
                Kind.OVERLAY, newest
            ):
                break
        if grants is None:
            found.failed_with = newest
            return
        try:
            self._swap(found, compiled, overlay, grants)
        finally:
            if self._current.bundle is compiled:
                self._put(overlay)
                self._put(found)
                self.arrived.set()
                self._tell()

    def _swap(self, found: Found, compiled: bundle.Bundle, overlay: Found, grants: _Grants) -> None:
        """Both in one step: no call is judged by one of them alone."""
        before, laid = self._grants, self._in_force.get(Kind.OVERLAY)
        self._lay(overlay, grants)
        try:
            self._apply(compiled)
        except errors.Mesh7Error as error:
            self._problems.unusable(found, error)
            found.failed_with = found
        finally:
            # What is in force says it: a step after the swap may have failed.
            if self._current.bundle is not compiled and laid is not None:
                self._lay(laid, before)

    # Both

    def _put(self, found: Found) -> None:
        """It is in force: remember it, say so, and let go of what is needed no more."""
        if self._in_force.get(found.kind) is found:
            return
        self._in_force[found.kind] = found
        if found is self._newest[found.kind]:
            self._problems.clear(found.kind)
        if found.sealed:
            self._remembered.keep(found.kind, found.sealed)
        self._believed.settle(found.kind, found.version)
        found.sealed = b""
        if found.kind is Kind.BUNDLE:
            found.payload = b""
        log.info("%s %d is in force (%s)", found.kind, found.version, found.origin)

    def _found(self, opened: envelopes.Opened, sealed: bytes, origin: Origin) -> Found:
        now = self._freshness.now()
        confirmed = None if origin is Origin.NONE else now
        return Found(opened, sealed, origin, confirmed, now.monotonic_s)

    def _now_s(self) -> float:
        return self._freshness.now().monotonic_s

    def _is_due(self, found: Found) -> bool:
        return self._now_s() >= found.again_s

    def _stumble(self, found: Found, error: Exception) -> None:
        """No reason to leave what was delivered out of force: see `review`."""
        found.stumbled(self._now_s())
        self._problems.stumbled(found, error)

    def _tell(self) -> None:
        tell(self.on_change)


def _told(raising: asyncio.Task[None]) -> None:
    if not raising.cancelled() and raising.exception() is not None:
        log.error("what was delivered makes mesh7 fail", exc_info=raising.exception())
