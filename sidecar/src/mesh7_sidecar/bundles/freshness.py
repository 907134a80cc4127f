"""How long grants are honoured without news: what was revoked meanwhile is not known.

Vetoes, kills and policies have no such bound; who cannot hear of their end obeys them.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from mesh7_core.policy import bundle
from mesh7_sidecar.clock import Clock

log = logging.getLogger("mesh7.delivery")

GRANTS_LAST: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Moment:
    """When something was known: for sums, and for people."""

    monotonic_s: float
    at: datetime


class Freshness:
    """Of the overlay in force.

    Args:
        clock: the time.
        lasts: from one confirmation to the last use of a grant; None = nothing confirms, because
            the ConfigMap is the only way here, and grants hold until they expire.
    """

    def __init__(self, clock: Clock, lasts: timedelta | None) -> None:
        self._clock = clock
        self._lasts_s = None if lasts is None else lasts.total_seconds()
        self._confirmed: Moment | None = None
        self._is_honouring = lasts is None

    @property
    def confirmed_at(self) -> datetime | None:
        """When the overlay in force was last known to be the newest; None = never."""
        return None if self._confirmed is None else self._confirmed.at

    def now(self) -> Moment:
        """A confirmation that comes now."""
        return Moment(self._clock.monotonic_s(), self._clock.now())

    def follow(self, confirmed: Moment | None) -> None:
        """Go by this confirmation; None = of an overlay that nothing has confirmed yet."""
        self._confirmed = confirmed

    def turned(self) -> bool:
        """Whether grants are honoured from now on and were not before, or the reverse."""
        is_fresh = self._is_fresh()
        if is_fresh == self._is_honouring:
            return False
        self._is_honouring = is_fresh
        if is_fresh:
            log.info("standing grants are honoured: they are confirmed")
        else:
            log.warning(
                "standing grants are not honoured until Redis confirms them: nothing did for %d s;"
                " policies and vetoes hold – see whether Redis is reached",
                self._lasts_s,
            )
        return True

    def honoured(self, grants: tuple[bundle.Grant, ...]) -> tuple[bundle.Grant, ...]:
        """Those that calls are judged by now; vetoes always are."""
        if self._is_honouring:
            return grants
        return tuple(one for one in grants if one.effect is bundle.Effect.DENY)

    def _is_fresh(self) -> bool:
        if self._lasts_s is None:
            return True
        confirmed = self._confirmed
        return (
            confirmed is not None
            and self._clock.monotonic_s() - confirmed.monotonic_s < self._lasts_s
        )
