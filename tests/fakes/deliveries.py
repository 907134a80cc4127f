"""Deliveries in memory; it passes tests/sidecar/bundles/test_deliveries_contract.py as Redis does.

It can be lost, forged and counted, which a server cannot be as exactly.
"""

from collections.abc import Callable

from typing_extensions import override

from mesh7_core.delivery import decisions
from mesh7_core.delivery.envelopes import MAXIMUM_SEALED_BYTES, Kind
from mesh7_core.ledger.deliveries import Deliveries, Versions
from mesh7_core.ledger.protocol import LOST, Lost


class MemoryDeliveries(Deliveries):
    """One namespace's deliveries.

    Attributes:
        is_lost: nothing is answered.
        entries: version and envelope by kind, whoever wrote them.
        looks: how often versions were asked for.
        fetched: what was fetched, in order.
        reports: by uid, those that were taken, in order.
        decisions: signed decisions by request id, whoever wrote them.
    """

    def __init__(self) -> None:
        self.is_lost = False
        self.entries: dict[Kind, tuple[int, bytes]] = {}
        self.looks = 0
        self.fetched: list[Kind] = []
        self.reports: list[tuple[str, bytes]] = []
        self.decisions: dict[str, bytes] = {}
        self._listeners: list[Callable[[], None]] = []

    def deliver(self, kind: Kind, version: int, sealed: bytes) -> None:
        """As the operator does: only a higher version, and everybody is told."""
        if version > self.entries.get(kind, (0, b""))[0]:
            self.entries[kind] = version, sealed
            self.tell()

    def tell(self) -> None:
        """Publish, whatever there is."""
        for listener in tuple(self._listeners):
            listener()

    def come_back(self) -> None:
        """The connection is made anew."""
        self.is_lost = False
        self.tell()

    @override
    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    @override
    async def versions(self) -> Versions | Lost:
        self.looks += 1
        if self.is_lost:
            return LOST
        found = {kind: self.entries.get(kind, (0, b""))[0] for kind in Kind}
        return Versions(found[Kind.BUNDLE], found[Kind.OVERLAY])

    @override
    async def fetch(self, kind: Kind) -> bytes | Lost | None:
        self.fetched.append(kind)
        if self.is_lost:
            return LOST
        sealed = self.entries.get(kind, (0, b""))[1]
        return sealed if 0 < len(sealed) <= MAXIMUM_SEALED_BYTES else None

    @override
    async def decision(self, request_id: str) -> bytes | Lost | None:
        if self.is_lost:
            return LOST
        return self.decisions.get(request_id, b"")[: decisions.MAXIMUM_BYTES + 1] or None

    @override
    async def report(self, uid: str, text: bytes) -> bool:
        if not self.is_lost:
            self.reports.append((uid, text))
        return not self.is_lost
