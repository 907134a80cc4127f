"""Deliveries by Redis: told of, asked for each second as a net, fetched when they are newer.

What Redis says of a version is nobody's word. A version that turns out to be none is fetched again
ever more seldom, or when somebody says that it changed, so that a forged entry costs a read now and
then. Messages are worth no more than a look, however many there are.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mesh7_core.delivery.envelopes import Kind, Refusal, Refused
from mesh7_core.delivery.reports import Origin
from mesh7_core.ledger.deliveries import Deliveries
from mesh7_core.ledger.protocol import Lost
from mesh7_sidecar.bundles.believed import REVOCATIONS_FIRST
from mesh7_sidecar.bundles.delivered import Delivery

POLL_S: Final = 1.0
JITTER: Final = 0.2
"""Of the interval, either way: sidecars that started together must not ask together."""
REST_S: Final = 0.05
"""From one look to the next: a flood of messages costs as many looks as there is room for."""
DOUBT_S: Final = 1.0
LONGEST_DOUBT_S: Final = 30.0


@dataclass(slots=True)
class _Doubt:
    """A version that Redis claims to have, and had not when it was fetched.

    Attributes:
        wait_s: until it is fetched again.
        is_told: somebody says that it changed since.
    """

    version: int
    tried_at_s: float
    wait_s: float = DOUBT_S
    is_told: bool = False


class Pushed:
    """One namespace's deliveries in Redis.

    Args:
        deliveries: where they lie.
        delivery: gets what is found, and judges it.
        clock_s: monotonic seconds.
    """

    def __init__(
        self, deliveries: Deliveries, delivery: Delivery, clock_s: Callable[[], float]
    ) -> None:
        self._deliveries = deliveries
        self._delivery = delivery
        self._clock_s = clock_s
        self._changed = asyncio.Event()
        self._doubts: dict[Kind, _Doubt] = {}

    async def watch(self) -> None:
        """Take what is delivered, until cancelled; a Redis that is away is asked again."""
        unsubscribe = self._deliveries.subscribe(self._told)
        try:
            while True:
                self._changed.clear()
                await self.look()
                await asyncio.sleep(REST_S)
                wait_s = POLL_S * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._changed.wait()
        finally:
            unsubscribe()

    async def look(self) -> None:
        """Ask once which versions lie there, and fetch those that are newer than what is known."""
        versions = await self._deliveries.versions()
        if isinstance(versions, Lost):
            return
        for kind in REVOCATIONS_FIRST:
            claimed = versions.of(kind)
            if claimed <= self._delivery.known(kind):
                self._doubts.pop(kind, None)
                self._delivery.confirm(kind, claimed)
            elif self._is_due(kind, claimed):
                await self._fetch(kind, claimed)

    def _told(self) -> None:
        for doubt in self._doubts.values():
            doubt.is_told = True
        self._changed.set()

    def _is_due(self, kind: Kind, claimed: int) -> bool:
        doubt = self._doubts.get(kind)
        if doubt is None or doubt.version != claimed:
            return True
        wait_s = DOUBT_S if doubt.is_told else doubt.wait_s
        return self._clock_s() - doubt.tried_at_s >= wait_s

    async def _fetch(self, kind: Kind, claimed: int) -> None:
        found = await self._deliveries.fetch(kind)
        if isinstance(found, Lost):
            return
        # Nothing, where a version is named, is counted as what it is: no envelope.
        is_taken = await self._delivery.take(kind, found or b"", Origin.REDIS)
        known = self._delivery.known(kind)
        if is_taken and known >= claimed:
            self._doubts.pop(kind, None)
            return
        before = self._doubts.get(kind)
        is_same = before is not None and before.version == claimed
        if is_taken and not is_same:
            message = f"it is said to be version {claimed}, and is {known}"
            refused = Refused(refusal=Refusal.MALFORMED, message=message)
            self._delivery.refusals.add(kind, Origin.REDIS, refused)
        fresh = _Doubt(claimed, self._clock_s())
        if before is not None and is_same:
            fresh.wait_s = min(LONGEST_DOUBT_S, before.wait_s * 2)
        self._doubts[kind] = fresh
