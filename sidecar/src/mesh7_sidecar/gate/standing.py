"""Grants and vetoes made by hand, laid over the bundle in force.

They are read when the ledger tells of a change, and each second as a net. While the ledger is lost
those that were last read stay in force: a kill is not lifted by cutting a line, nor by a restart
meanwhile (`notes`). As long as none were ever read, everything is refused. A kill is in force here
before it is stored, and is stored as soon as the ledger takes it. Those that have ended are
removed an hour later, so that they take nobody's place.
"""

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from mesh7_core.ledger.protocol import LOST, Changed, Ledger, Lost, Refused, Standing, Unknown
from mesh7_core.policy import bundle
from mesh7_sidecar.bundles.current import Current
from mesh7_sidecar.gate import edge, stood
from mesh7_sidecar.gate.notes import Notes

REREAD_S: Final = 1.0
"""A change that nobody told of is in force after as long."""
KEPT: Final = timedelta(hours=1)
"""How long people still see a grant that has ended."""
_FAILED: Final = "reading the standing grants failed; those in force stay, it is tried again"


@dataclass(slots=True)
class _Ahead:
    """A veto that is in force here before it was read.

    Attributes:
        is_waiting: the ledger did not take it, so it has to be tried again.
        is_stored: the ledger has it; the next reading shows whether it still does.
        is_revoked: it may not stay in the ledger if it comes there after all.
    """

    standing: Standing
    is_waiting: bool = False
    is_stored: bool = False
    is_revoked: bool = False


class StandingGrants:
    """Keeps the overlay of `current` as the ledger has it.

    Args:
        ledger: where people's grants and vetoes are kept.
        current: what calls are judged by.
        notes: of what was read; None for a ledger that is there whenever the gateway is.
    """

    def __init__(self, ledger: Ledger, current: Current, notes: Notes | None = None) -> None:
        self._ledger = ledger
        self._current = current
        self._notes = notes
        self._found = notes.read() if notes is not None else None
        self._ahead: dict[str, _Ahead] = {}
        self._bundle: bundle.Bundle | None = None
        self._compiled: dict[Standing, bundle.Grant | None] = {}
        self._reading = asyncio.Lock()
        self._changed = asyncio.Event()
        self._unsubscribe = ledger.subscribe(self._told)

    async def start(self) -> None:
        """Put in force what is known, then what can be read."""
        self._lay()
        await edge.attended(self.refresh(), _FAILED)

    async def refresh(self) -> bool:
        """Read them; whether that could be done. What cannot be compiled is told of in the log."""
        async with self._reading:
            stored = [name for name, one in self._ahead.items() if one.is_stored]
            found = await self._ledger.standing()
            is_read = not isinstance(found, Lost)
            if not isinstance(found, Lost):
                self._found = found
                for name in {*stored, *(one.name for one in found)}:
                    self._ahead.pop(name, None)
            self._lay()
            if not isinstance(found, Lost) and self._notes is not None:
                await self._notes.write(found)
        return is_read

    def known(self) -> tuple[Standing, ...]:
        """All that were last read, and those that are in force before they were."""
        ahead = (one.standing for one in self._ahead.values())
        return (*(self._found or ()), *ahead)

    def in_force(self) -> tuple[bundle.Grant, ...]:
        """What calls are judged by of them."""
        return self._current.overlay

    def is_in_force(self, name: str) -> bool:
        """Whether calls are judged by it here; before the first bundle none passes anyway."""
        if self._current.bundle is None:
            return any(one.name == name for one in self.known())
        return any(one.name == name and grant is not None for one, grant in self._compiled.items())

    async def stand(self, name: str, document: str, by: str) -> Standing | Refused | Lost:
        """Keep a grant, and put it in force here; `is_in_force` says whether it is."""
        kept = await self._ledger.stand(name, document, by)
        if isinstance(kept, Standing):
            await self.refresh()
        return kept

    async def veto(self, standing: Standing) -> Standing | Refused | Lost:
        """Put a veto in force here at once, then store it; `is_waiting` when that has to wait."""
        ahead = self._ahead[standing.name] = _Ahead(standing)
        self._lay()
        kept = await self._store(ahead)
        if not isinstance(kept, Lost):
            await self.refresh()
        return kept

    def is_waiting(self, name: str) -> bool:
        """Whether a veto is in force here alone, because the ledger has not taken it."""
        return name in self._ahead and self._ahead[name].is_waiting

    async def fall(self, name: str) -> Standing | Unknown | Lost:
        """Remove one, here at once; what it was."""
        ahead = self._ahead.get(name)
        fallen = await self._ledger.fall(name)
        if ahead is not None and not isinstance(fallen, Standing):
            fallen = ahead.standing
        if isinstance(fallen, Standing):
            if ahead is not None:
                ahead.is_revoked = True
                self._ahead.pop(name, None)
            if self._found is not None:
                self._found = tuple(one for one in self._found if one.name != name)
            await self.refresh()
        return fallen

    async def remove_ended(self) -> None:
        """Remove what ended `KEPT` ago, by the ledger's clock."""
        ending = [
            (standing.name, compiled.expires_at)
            for standing, compiled in self._compiled.items()
            if compiled is not None and compiled.expires_at is not None
        ]
        now_ms = await self._ledger.now_ms() if ending else LOST
        if isinstance(now_ms, Lost):
            return
        oldest = datetime.fromtimestamp(now_ms / 1000, UTC) - KEPT
        for name, ends in ending:
            if ends < oldest:
                await self._ledger.fall(name)

    async def watch(self) -> None:
        """Keep them as the ledger has them, until cancelled."""
        while True:
            self._changed.clear()
            await edge.attended(self._keep(), _FAILED)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REREAD_S):
                    await self._changed.wait()

    def close(self) -> None:
        """Be told of nothing any more."""
        self._unsubscribe()

    async def _keep(self) -> None:
        for ahead in tuple(self._ahead.values()):
            if ahead.is_waiting:
                await self._store(ahead)
        await self.refresh()
        await self.remove_ended()

    async def _store(self, ahead: _Ahead) -> Standing | Refused | Lost:
        one = ahead.standing
        kept = await self._ledger.stand(one.name, one.document, one.by)
        ahead.is_stored = isinstance(kept, Standing)
        ahead.is_waiting = not ahead.is_stored
        if ahead.is_revoked and ahead.is_stored:
            await self._ledger.fall(one.name)
        return kept

    def _told(self, changed: Changed) -> None:
        if not changed.request_id:
            self._changed.set()

    def _lay(self) -> None:
        """Put in force what is known."""
        in_force = self._current.bundle
        if in_force is None:
            return
        known = self._compiled if in_force is self._bundle else {}
        fresh = {
            one: known[one] if one in known else stood.compiled(one, in_force)
            for one in self.known()
        }
        self._bundle, self._compiled = in_force, fresh
        unread = () if self._found is not None else (stood.unread(in_force),)
        self._current.swap_overlay((*unread, *(one for one in fresh.values() if one is not None)))
