"""What was delivered and is ignored: counted by kind, told in the log at most once a minute each.

Anybody may write where deliveries lie, so what is ignored must neither stop anything nor fill the
log.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Final

from mesh7_core import names
from mesh7_core.delivery.envelopes import Kind, Refusal, Refused
from mesh7_core.delivery.reports import Origin

log = logging.getLogger("mesh7.delivery")

TELL_EVERY_S: Final = 60.0
_ADVICE: Final[Mapping[Refusal, str]] = {
    Refusal.MALFORMED: "somebody else wrote it, or the operator is of another release",
    Refusal.UNSIGNED: "somebody else wrote it; after the keys were replaced, restart the pod",
    Refusal.FOREIGN: "somebody copied it there from another place",
    Refusal.OLD: "a ConfigMap lags by up to two minutes; if this goes on, somebody put it back",
    Refusal.TOO_LARGE: "somebody else wrote it, for the operator delivers nothing as large",
}
_PLACES: Final[Mapping[Origin, str]] = {
    Origin.REDIS: "the `%s` in Redis",
    Origin.CONFIG_MAP: f"`%s` in ConfigMap `{names.BUNDLE_CONFIG_MAP}`",
    Origin.NONE: "the `%s` kept in the state folder",
}


class Refusals:
    """One sidecar's.

    Args:
        clock_s: monotonic seconds.

    Attributes:
        counts: how many were ignored, by why; every refusal is there.
    """

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self.counts = dict.fromkeys(Refusal, 0)
        self._clock_s = clock_s
        self._told: dict[Refusal, tuple[float, int]] = {}

    def add(self, kind: Kind, origin: Origin, refused: Refused) -> None:
        """Count one, and tell of it unless one of its kind was told within a minute."""
        why = refused.refusal
        self.counts[why] += 1
        now_s = self._clock_s()
        told_at_s, told = self._told.get(why, (float("-inf"), 0))
        if now_s - told_at_s < TELL_EVERY_S:
            return
        self._told[why] = (now_s, self.counts[why])
        log.warning(
            "%s is ignored (%s, %d since this was last said): %s – %s",
            _PLACES[origin] % kind, why, self.counts[why] - told, refused.message, _ADVICE[why],
        )  # fmt: skip
