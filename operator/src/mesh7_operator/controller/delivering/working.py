"""Namespaces off the queue, several at a time: planned and applied; what fails backs off.

The edge of one namespace: a defect that shows with it must not cost the others their bundles.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
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
from mesh7_operator.controller.queue import Queue
from mesh7_operator.metrics import ControllerMetrics
from mesh7_operator.reconciling.plan import Plan
from mesh7_operator.tracing import Begun, Tracer

_LOG: Final = logging.getLogger(__name__)
_AT_ONCE: Final = 16
"""More would not be faster: the API server is what is waited for, and bursts come to fewer."""
TURN_S: Final = 0.5
"""Of a namespace's statuses while something newer is known of it, or others wait: a kill that comes
after thousands of grants does not wait for their statuses."""
LONGEST_TURN_S: Final = 10.0
STUCK_S: Final = 60.0
LONGEST_S: Final = 600.0
_LONGEST_WAIT_S: Final = 1.0
"""Gauges are this fresh."""


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
        self._queue = Queue()
        self._busy = 0
        self._turn = asyncio.Event()
        self._ended_s = clock.monotonic_s()

    def mark(self, namespace: str) -> None:
        """It is to be reconciled."""
        self._queue.mark(namespace, self._clock.monotonic_s())
        self._turn.set()

    @property
    def age_s(self) -> float:
        """How long the namespace that is due longest has waited."""
        return self._queue.age_s(self._clock.monotonic_s())

    @property
    def is_stuck(self) -> bool:
        """Whether something waits for too long, and not because of many that are large."""
        age_s, rest_s = self.age_s, self._clock.monotonic_s() - self._ended_s
        return min(age_s, rest_s) > STUCK_S or age_s > LONGEST_S

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._turn.clear()
                now_s = self._clock.monotonic_s()
                while self._busy < _AT_ONCE and (namespace := self._queue.take(now_s)) is not None:
                    self._busy += 1
                    tasks.create_task(self._one(namespace))
                self._metrics.queue_depth.set(self._queue.depth(now_s))
                self._metrics.queue_age.set(self._queue.age_s(now_s))
                await self._wait(now_s)

    async def _wait(self, now_s: float) -> None:
        next_s = self._queue.next_s() if self._busy < _AT_ONCE else None
        wait_s = _LONGEST_WAIT_S if next_s is None else min(next_s - now_s, _LONGEST_WAIT_S)
        if wait_s <= 0:
            # Whatever became due while the last ones were started is taken at the next turn.
            wait_s = 0.001
        try:
            async with asyncio.timeout(wait_s):
                await self._turn.wait()
        except TimeoutError:
            return

    async def _one(self, namespace: str) -> None:
        began_s = self._clock.monotonic_s()
        outcome, written = "crashed", 0
        begun = self._tracer.begin()
        try:
            outcome, written = await self._try(namespace)
        except Exception:  # noqa: BLE001 - the edge of one namespace, see above
            pause_s = self._queue.failed(namespace, self._clock.monotonic_s())
            _LOG.exception(
                "reconciling crashed",
                extra={"namespace": namespace, "again_in_s": round(pause_s, 1)},
            )
        finally:
            took_s = self._clock.monotonic_s() - began_s
            self._metrics.reconciles.labels(outcome).observe(took_s)
            self._tell(begun, namespace, outcome, written)
            self._busy -= 1
            self._ended_s = self._clock.monotonic_s()
            self._turn.set()

    def _tell(self, begun: Begun | None, namespace: str, outcome: str, written: int) -> None:
        error = None if outcome == "done" else outcome
        attributes: dict[str, Value] = {
            operator_spans.NAMESPACE: namespace,
            operator_spans.OUTCOME: outcome,
            operator_spans.WRITTEN: written,
        }
        attributes |= {conventions.ERROR: error} if error else {}
        self._tracer.end(begun, operator_spans.RECONCILE, Kind.INTERNAL, attributes, error)

    async def _try(self, namespace: str) -> tuple[str, int]:
        """What came of it, and how much was to be written."""
        if self._planner.is_ending(namespace):
            self._queue.done(namespace, self._clock.monotonic_s())
            return "done", 0
        delivered: list[Plan] = []
        try:
            plan = await self._planner.plan(namespace, self._aside)
            tell = partial(delivered.append, plan)
            troubles = await self._applier.apply(plan, self._turn_of(namespace), tell)
        except errors.ClusterError as error:
            plan, troubles = None, (error.message,)
        now_s = self._clock.monotonic_s()
        if troubles:
            self._fail(namespace, now_s, plan.bundle_version if plan else 0, troubles)
        else:
            self._queue.done(namespace, now_s)
        # What could not be told puts off nothing of what was delivered.
        for one in delivered:
            if one.look_again_at is not None:
                self._queue.mark(namespace, now_s, self._until(one.look_again_at))
            self._settled(one)
        return "failed" if troubles else "done", _size(plan)

    def _fail(self, namespace: str, now_s: float, version: int, troubles: Sequence[str]) -> None:
        pause_s = self._queue.failed(namespace, now_s)
        _LOG.warning(
            "not converged",
            extra={
                "namespace": namespace,
                "bundle_version": version,
                "errors": troubles,
                "again_in_s": round(pause_s, 1),
            },
        )

    @contextlib.contextmanager
    def _aside(self) -> Iterator[None]:
        """Threads work for a namespace: as long as they do, it keeps nobody's place."""
        self._busy -= 1
        self._turn.set()
        try:
            yield
        finally:
            self._busy += 1

    def _turn_of(self, namespace: str) -> Callable[[], bool]:
        """Whether a plan's statuses have taken long enough; the namespace is taken again then."""
        began_s = self._clock.monotonic_s()

        def is_over() -> bool:
            now_s = self._clock.monotonic_s()
            is_wanted = self._queue.is_due(namespace, now_s) or self._is_crowded(now_s)
            is_over = now_s - began_s > (TURN_S if is_wanted else LONGEST_TURN_S)
            if is_over:
                self._queue.mark(namespace, now_s)
            return is_over

        return is_over

    def _is_crowded(self, now_s: float) -> bool:
        next_s = self._queue.next_s()
        return self._busy >= _AT_ONCE and next_s is not None and next_s <= now_s

    def _until(self, moment: datetime) -> float:
        return max(0.0, (moment - self._clock.now()).total_seconds())

    def forget(self, namespace: str) -> None:
        """There is no such namespace any more."""
        self._queue.forget(namespace)
        self._planner.forget(namespace)


def _size(plan: Plan | None) -> int:
    if plan is None:
        return 0
    once = (plan.network_policy, plan.config_map, plan.annotations or None)
    return len(plan.publish) + len(plan.statuses) + sum(one is not None for one in once)
