"""What is counted of held calls: how many wait, what people decide, what was forged."""

from collections.abc import Mapping
from typing import Final

from mesh7_core import names
from mesh7_core.api.grants import parse_moment
from mesh7_core.ledger.asked import Request
from mesh7_operator import tracing
from mesh7_operator.approving.ground import Ground
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import shapes
from mesh7_operator.controller.approving.witnessing import Witness
from mesh7_operator.controller.auditing.chronicle import NOTHING, Chronicle
from mesh7_operator.metrics import ControllerMetrics
from mesh7_operator.reconciling.plan import StatusChange
from mesh7_operator.reconciling.reasons import Phase

_MOST_REFUSED: Final = 10_000


class Weights:
    """Counts, each thing once where it would be seen again with every look.

    Args:
        witness: told of what people decided.
        chronicle: has it in the audit, too.
    """

    def __init__(
        self,
        metrics: ControllerMetrics,
        clock: Clock,
        witness: Witness | None = None,
        chronicle: Chronicle = NOTHING,
    ) -> None:
        self._metrics = metrics
        self._clock = clock
        self._witness = witness or Witness(tracing.OFF)
        self._chronicle = chronicle
        self._doubted: dict[str, Mapping[str, str]] = {}
        self._refused: dict[str, None] = {}

    def open(self, namespace: str, many: int) -> None:
        """So many wait or can be used."""
        self._metrics.open_requests.labels(namespace).set(many)

    def none(self, namespace: str) -> None:
        """There is nothing there."""
        self._metrics.open_requests.remove_by_labels({"namespace": namespace})

    def forged(self, namespace: str, request: Request, why: str) -> None:
        """What lay in Redis was nobody's word."""
        self._metrics.forged_requests.labels(namespace).inc()
        self._chronicle.forged(namespace, request.id, why)

    def doubted(self, namespace: str, doubted: Mapping[str, str]) -> Mapping[str, str]:
        """They are not what they claim to be; which of them were not so the last time."""
        before = self._doubted.pop(namespace, {})
        if doubted:
            self._doubted[namespace] = dict(doubted)
        fresh = {one: why for one, why in doubted.items() if before.get(one) != why}
        self._metrics.doubted_requests.labels(namespace).inc(len(fresh))
        self._chronicle.doubted(namespace, fresh)
        return fresh

    def told(self, change: StatusChange) -> None:
        """A status was written; a grant that is refused counts once."""
        if change.kind != names.GRANT or change.status.get("phase") != Phase.REFUSED.value:
            return
        if change.uid not in self._refused:
            self._refused[change.uid] = None
            self._metrics.refused_answers.inc()
            if len(self._refused) > _MOST_REFUSED:
                del self._refused[next(iter(self._refused))]

    def decided(self, request: Request, ground: Ground) -> None:
        """What people said is signed and written."""
        self._metrics.decisions.labels(request.state.value).inc()
        self._chronicle.decided(request, ground)
        made = [
            parse_moment(shapes.text(one.value, "metadata", "creationTimestamp"))
            for one in ground.grants
            if shapes.text(one.value, "spec", "requestRef", "name") == request.id
        ]
        self._witness.decided(request, ground.namespace, max(made, default=None))
        if made:
            took = self._clock.now() - max(made)
            self._metrics.decision_seconds.observe(max(took.total_seconds(), 0.0))

    def forget(self, namespace: str) -> None:
        """There is no such namespace any more."""
        self._doubted.pop(namespace, None)
