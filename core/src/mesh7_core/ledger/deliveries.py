"""What the operator delivers to a namespace's sidecars through the ledger's store, and hears back.

What is found there was possibly written by anybody: nothing of it is worth anything before
`delivery.trust` has considered it.
Pure: no clock, no network, no logging.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mesh7_core.delivery import envelopes
from mesh7_core.ledger.protocol import Lost


@dataclass(frozen=True, slots=True)
class Versions:
    """Which versions lie there, by the word of whoever wrote them; 0 = none."""

    bundle: int = 0
    overlay: int = 0

    def of(self, kind: envelopes.Kind) -> int:
        """The version of one kind."""
        return self.bundle if kind is envelopes.Kind.BUNDLE else self.overlay


class Deliveries(Protocol):
    """One namespace's deliveries, seen from a sidecar."""

    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Be told when something was delivered, and when a connection was made anew.

        Messages get lost; whoever listens also asks for `versions` now and then.

        Returns:
            Call it to be told no more.
        """

    async def versions(self) -> Versions | Lost:
        """Which versions lie there; cheap."""

    async def fetch(self, kind: envelopes.Kind) -> bytes | Lost | None:
        """The envelope that lies there; None = none, or one too large to be ours."""

    async def decision(self, request_id: str) -> bytes | Lost | None:
        """What lies there as the signed decision about a request.

        None = nothing, or an id that none of our requests has. Of one that is too large to be ours
        no more comes than shows that.
        """

    async def report(self, uid: str, text: bytes) -> bool:
        """Say what this sidecar obeys and sees; forgotten after 90 s by the store's clock.

        Args:
            uid: of the pod.
            text: by `delivery.reports.encode`.

        Returns:
            Whether it was taken: not by a store that is lost or has no room for it.
        """
