"""What is ignored of deliveries and decisions: counted by kind, told at most once a minute each.

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
_DECISION_ADVICE: Final[Mapping[Refusal, str]] = {
    Refusal.MALFORMED: "somebody else wrote it, or the operator is of another release",
    Refusal.UNSIGNED: "somebody else wrote it; see who has the namespace's Redis credentials",
    Refusal.FOREIGN: "somebody copied it there from another request",
    Refusal.OLD: "somebody put it back; see who has the namespace's Redis credentials",
    Refusal.TOO_LARGE: "somebody else wrote it, for the operator writes nothing as large",
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
        self._add(_PLACES[origin] % kind, refused, _ADVICE[refused.refusal])

    def add_decision(self, request_id: str, refused: Refused) -> None:
        """Count what people are said to have decided in Redis, and tell of it as seldom.

        Args:
            request_id: empty when it is none of ours.
            refused: why it is not believed.
        """
        what = f"the decision about request `{request_id}`" if request_id else "an answer"
        self._add(f"{what} in Redis", refused, _DECISION_ADVICE[refused.refusal])

    def _add(self, what: str, refused: Refused, advice: str) -> None:
        why = refused.refusal
        self.counts[why] += 1
        now_s = self._clock_s()
        told_at_s, told = self._told.get(why, (float("-inf"), 0))
        if now_s - told_at_s < TELL_EVERY_S:
            return
        self._told[why] = (now_s, self.counts[why])
        log.warning(
            "%s is ignored (%s, %d since this was last said): %s – %s",
            what, why, self.counts[why] - told, refused.message, advice,
        )  # fmt: skip
