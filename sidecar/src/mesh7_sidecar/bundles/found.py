"""One genuine delivery on its way into force, and what became of it so far."""

from typing import Final

from mesh7_core.delivery import envelopes
from mesh7_core.delivery.reports import Origin
from mesh7_sidecar.bundles.freshness import Moment

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0
"""Of a bundle: a compiler run that fails again and again must not take the time of calls."""


class Found:
    """A genuine delivery: the newest of its kind, the one in force, or both.

    Attributes:
        content: what it says, as a digest; two versions with the same one are the same.
        origin: the way it came first; NONE = it was kept from before a restart.
        confirmed: when it was last known to be the newest; None = not since the start.
        failed_with: what it was tried with in vain: a bundle, another delivery, or itself when it
            is of no use with anything.
        since_s: when it was found.
        again_s: when it may be tried again, after it made us fail.
    """

    __slots__ = (
        "again_s",
        "confirmed",
        "content",
        "failed_with",
        "kind",
        "origin",
        "payload",
        "sealed",
        "since_s",
        "stumbles",
        "version",
    )

    def __init__(
        self,
        opened: envelopes.Opened,
        sealed: bytes,
        origin: Origin,
        confirmed: Moment | None,
        since_s: float,
    ) -> None:
        self.kind = opened.header.kind
        self.version = opened.header.version
        self.content = opened.header.content
        self.payload = opened.payload
        self.sealed = sealed
        self.origin = origin
        self.confirmed = confirmed
        self.failed_with: object = None
        self.since_s = since_s
        self.again_s = float("-inf")
        self.stumbles = 0

    def stumbled(self, now_s: float) -> None:
        """It made us fail: it is tried again, an overlay each second, a bundle ever more seldom."""
        pause_s = FIRST_PAUSE_S
        if self.kind is envelopes.Kind.BUNDLE:
            pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**self.stumbles)
            self.stumbles = min(self.stumbles + 1, 10)
        self.again_s = now_s + pause_s
