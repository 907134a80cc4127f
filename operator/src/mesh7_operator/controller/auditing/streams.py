"""Streams of audits in Redis, as the leader that follows them sees them."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from mesh7_core.ledger.audit_entries import Entry
from mesh7_operator.store.audit import Extent

PAGE: Final = 256
"""Entries that are read at once."""


class Audit(Protocol):
    """Of all namespaces; None and False = it is lost."""

    async def waiting(self, namespaces: Sequence[str]) -> Mapping[str, int] | None:
        """How many segments were appended and not moved yet, of each."""

    async def gather(self, namespace: str) -> int | None:
        """Move some of them; how many are left."""

    async def extent(self, namespace: str) -> Extent | None:
        """What lies there."""

    async def read(
        self, namespace: str, *, after: str = "", limit: int = PAGE
    ) -> list[Entry] | None:
        """Entries, oldest first."""

    async def trim(self, namespace: str, up_to: str) -> bool:
        """Take away that one and all before it."""

    async def remove(self, namespace: str, ids: Sequence[str]) -> bool:
        """Take away these; none are gone already."""

    async def forget_empty(self, namespace: str) -> bool:
        """Forget a stream in which nothing lies, nor waits for it."""
