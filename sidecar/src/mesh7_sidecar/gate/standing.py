"""Grants and vetoes made by hand, compiled and laid over the bundle in force.

They are read when the ledger tells of a change, and each second as a net. While the ledger is lost
those that were last read stay in force: a kill is not lifted by cutting a line. One that cannot be
compiled and does not say that it allows something may be a veto, so it stops everything. Those that
have ended are removed an hour later, so that they take nobody's place.
"""

import asyncio
import contextlib
import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Final

from mesh7_core.compiling import grants
from mesh7_core.ledger.protocol import LOST, Changed, Ledger, Lost, Standing
from mesh7_core.policy import bundle
from mesh7_sidecar.bundles.current import Current

log = logging.getLogger("mesh7.standing")

REREAD_S: Final = 1.0
"""A change that nobody told of is in force after as long."""
KEPT: Final = timedelta(hours=1)
"""How long people still see a grant that has ended."""


class StandingGrants:
    """Keeps the overlay of `current` as the ledger has it.

    Args:
        ledger: where people's grants and vetoes are kept.
        current: what calls are judged by.
    """

    def __init__(self, ledger: Ledger, current: Current) -> None:
        self._ledger = ledger
        self._current = current
        self._bundle: bundle.Bundle | None = None
        self._compiled: dict[Standing, bundle.Grant | None] = {}
        self._changed = asyncio.Event()
        self._unsubscribe = ledger.subscribe(self._told)

    async def refresh(self) -> None:
        """Read them once; what cannot be compiled is told of in the log and left out."""
        found = await self._ledger.standing()
        in_force = self._current.bundle
        if isinstance(found, Lost) or in_force is None:
            return
        known = self._compiled if in_force is self._bundle else {}
        fresh = {one: known[one] if one in known else self._compile(one, in_force) for one in found}
        if in_force is self._bundle and fresh == self._compiled:
            return
        self._bundle, self._compiled = in_force, fresh
        self._current.swap_overlay(tuple(one for one in fresh.values() if one is not None))

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
            await self.refresh()
            await self.remove_ended()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REREAD_S):
                    await self._changed.wait()

    def close(self) -> None:
        """Be told of nothing any more."""
        self._unsubscribe()

    def _told(self, changed: Changed) -> None:
        if not changed.request_id:
            self._changed.set()

    def _compile(self, standing: Standing, in_force: bundle.Bundle) -> bundle.Grant | None:
        compiled = grants.compile_standing(standing.document, in_force)
        if isinstance(compiled, bundle.Grant):
            return compiled
        if _allows(standing.document):
            log.error(
                "grant `%s` is not in force: %s – revoke it, or mend what it names",
                standing.name, "; ".join(compiled),
            )  # fmt: skip
            return None
        log.error(
            "veto `%s` cannot be read (%s): every call is refused – revoke it",
            standing.name, "; ".join(compiled),
        )  # fmt: skip
        return bundle.Grant(
            id=f"{in_force.namespace}/{standing.name}",
            effect=bundle.Effect.DENY,
            service_account="",
            pod="",
            patterns=(),
            policy="",
            expires_at=None,
            maximum_uses=None,
            reason="a veto cannot be read",
        )


def _allows(document: str) -> bool:
    """Whether it says that it is a permission, so that nothing is lost without it."""
    with contextlib.suppress(ValueError):
        written = json.loads(document)
        spec = written.get("spec") if isinstance(written, dict) else None
        return isinstance(spec, dict) and spec.get("effect") == bundle.Effect.ALLOW
    return False
