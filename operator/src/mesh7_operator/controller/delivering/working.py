"""What is marked is reconciled, in turns: planned, applied, and looked at again when it is time."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from mesh7_core import errors
from mesh7_core.telemetry import conventions, operator_spans
from mesh7_core.telemetry.spans import Kind, Value
from mesh7_operator import tracing
from mesh7_operator.clock import Clock
from mesh7_operator.controller.delivering.applying import Applier
from mesh7_operator.controller.delivering.planning import Planner
from mesh7_operator.controller.turns import Again, Ended, Outcome, Turns
from mesh7_operator.metrics import ControllerMetrics
from mesh7_operator.reconciling.plan import Plan
from mesh7_operator.tracing import Begun, Tracer

_AT_ONCE: Final = 16
"""More would not be faster: the API server is what is waited for, and bursts come to fewer."""
TURN_S: Final = 0.5
"""Of a namespace's statuses while something newer is known of it, or others wait: a kill that comes
after thousands of grants does not wait for their statuses."""
LONGEST_TURN_S: Final = 10.0
STUCK_S: Final = 60.0
LONGEST_S: Final = 600.0


@dataclass(slots=True)
class _Turn:
    """One that is being taken.

    Attributes:
        written: how much was to be written.
    """

    began_s: float
    span: Begun | None
    written: int = 0


class Workers:
    """Reconciles what is marked.

    Args:
        settled: told of each plan that was carried out.
        tracer: each namespace's turn is a span.
    """

    def __init__(
        self,
        *,
        planner: Planner,
        applier: Applier,
        settled: Callable[[Plan], None],
        clock: Clock,
        metrics: ControllerMetrics,
        tracer: Tracer = tracing.OFF,
    ) -> None:
        self._planner = planner
        self._applier = applier
        self._settled = settled
        self._clock = clock
        self._metrics = metrics
        self._tracer = tracer
        self._turns = Turns(
            self._turn, clock, at_once=_AT_ONCE, crashed="reconciling crashed", ended=self._ended
        )
        # A namespace has one at a time.
        self._taken: dict[str, _Turn] = {}
        self._ended_s = clock.monotonic_s()

    def mark(self, namespace: str) -> None:
        """It is to be reconciled."""
        self._turns.mark(namespace)

    @property
    def age_s(self) -> float:
        """How long the namespace that is due longest has waited."""
        return self._turns.age_s

    @property
    def is_stuck(self) -> bool:
        """Whether something waits for too long, and not because of many that are large."""
        age_s, rest_s = self.age_s, self._clock.monotonic_s() - self._ended_s
        return min(age_s, rest_s) > STUCK_S or age_s > LONGEST_S

    async def run(self) -> None:
        """Work until cancelled."""
        await self._turns.run(self._measure)

    def _measure(self) -> None:
        self._metrics.queue_depth.set(self._turns.depth)
        self._metrics.queue_age.set(self._turns.age_s)

    async def _turn(self, namespace: str) -> Again | None:
        turn = self._taken[namespace] = _Turn(self._clock.monotonic_s(), self._tracer.begin())
        if self._planner.is_ending(namespace):
            return None
        delivered: list[Plan] = []
        try:
            plan = await self._planner.plan(namespace, self._turns.aside)
            tell = partial(delivered.append, plan)
            troubles = await self._applier.apply(plan, self._turn_of(namespace), tell)
        except errors.ClusterError as error:
            plan, troubles = None, (error.message,)
        # What could not be told puts off nothing of what was delivered.
        for one in delivered:
            if one.look_again_at is not None:
                self._turns.mark(namespace, self._until(one.look_again_at))
            self._settled(one)
        turn.written = _size(plan)
        version = plan.bundle_version if plan else 0
        about = {"bundle_version": version, "errors": troubles}
        return Again(why="not converged", about=about) if troubles else None

    def _ended(self, namespace: str, ended: Ended) -> None:
        turn = self._taken.pop(namespace)
        self._ended_s = self._clock.monotonic_s()
        self._metrics.reconciles.labels(ended.outcome.value).observe(self._ended_s - turn.began_s)
        error = None if ended.outcome is Outcome.DONE else ended.outcome.value
        attributes: dict[str, Value] = {
            operator_spans.NAMESPACE: namespace,
            operator_spans.OUTCOME: ended.outcome.value,
            operator_spans.WRITTEN: turn.written,
        }
        attributes |= {conventions.ERROR: error} if error else {}
        # What was logged of the turn names its span: hence it ends only now.
        self._tracer.end(turn.span, operator_spans.RECONCILE, Kind.INTERNAL, attributes, error)

    def _turn_of(self, namespace: str) -> Callable[[], bool]:
        """Whether a plan's statuses have taken long enough; the namespace is taken again then."""
        began_s = self._clock.monotonic_s()

        def is_over() -> bool:
            longest_s = TURN_S if self._turns.is_wanted(namespace) else LONGEST_TURN_S
            is_over = self._clock.monotonic_s() - began_s > longest_s
            if is_over:
                self._turns.mark(namespace)
            return is_over

        return is_over

    def _until(self, moment: datetime) -> float:
        return max(0.0, (moment - self._clock.now()).total_seconds())

    def forget(self, namespace: str) -> None:
        """There is no such namespace any more."""
        self._turns.forget(namespace)
        self._planner.forget(namespace)


def _size(plan: Plan | None) -> int:
    if plan is None:
        return 0
    once = (plan.network_policy, plan.config_map, plan.annotations or None)
    return len(plan.publish) + len(plan.statuses) + sum(one is not None for one in once)
