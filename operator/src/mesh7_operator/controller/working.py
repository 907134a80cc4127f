"""Namespaces off the queue, several at a time: gather, reconcile, apply; what fails backs off.

The edge of one namespace: a defect that shows with it must not cost the others their bundles.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from mesh7_core import errors
from mesh7_operator.clock import Clock
from mesh7_operator.controller.applying import Applier
from mesh7_operator.controller.gathering import Gatherer
from mesh7_operator.controller.queue import Queue
from mesh7_operator.metrics import ControllerMetrics
from mesh7_operator.reconciling.plan import Plan
from mesh7_operator.reconciling.world import World

_LOG: Final = logging.getLogger(__name__)
_AT_ONCE: Final = 16
"""More would not be faster: the API server is what is waited for, and bursts come to fewer."""
_LONGEST_WAIT_S: Final = 1.0
"""Gauges are this fresh."""


class Workers:
    """Reconciles what is marked.

    Args:
        reconcile: pure.
        settled: told of each plan that was carried out.
    """

    def __init__(
        self,
        *,
        gatherer: Gatherer,
        reconcile: Callable[[World], Plan],
        applier: Applier,
        settled: Callable[[Plan], None],
        clock: Clock,
        metrics: ControllerMetrics,
    ) -> None:
        self._gatherer = gatherer
        self._reconcile = reconcile
        self._applier = applier
        self._settled = settled
        self._clock = clock
        self._metrics = metrics
        self._queue = Queue()
        self._busy = 0
        self._turn = asyncio.Event()

    def mark(self, namespace: str) -> None:
        """It is to be reconciled."""
        self._queue.mark(namespace, self._clock.monotonic_s())
        self._turn.set()

    @property
    def age_s(self) -> float:
        """How long the namespace that is due longest has waited."""
        return self._queue.age_s(self._clock.monotonic_s())

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
        outcome = "crashed"
        try:
            outcome = await self._try(namespace)
        except Exception:  # noqa: BLE001 - the edge of one namespace, see above
            pause_s = self._queue.failed(namespace, self._clock.monotonic_s())
            _LOG.exception(
                "reconciling crashed",
                extra={"namespace": namespace, "again_in_s": round(pause_s, 1)},
            )
        finally:
            took_s = self._clock.monotonic_s() - began_s
            self._metrics.reconciles.labels(outcome).observe(took_s)
            self._busy -= 1
            self._turn.set()

    async def _try(self, namespace: str) -> str:
        try:
            plan = self._reconcile(await self._gatherer.gather(namespace))
            troubles = await self._applier.apply(plan)
        except errors.ClusterError as error:
            plan, troubles = None, (error.message,)
        now_s = self._clock.monotonic_s()
        if troubles or plan is None:
            pause_s = self._queue.failed(namespace, now_s)
            _LOG.warning(
                "not converged",
                extra={
                    "namespace": namespace,
                    "bundle_version": plan.bundle_version if plan else 0,
                    "errors": troubles,
                    "again_in_s": round(pause_s, 1),
                },
            )
            return "failed"
        self._queue.done(namespace, now_s)
        if plan.look_again_at is not None:
            self._queue.mark(namespace, now_s, self._until(plan.look_again_at))
        self._settled(plan)
        return "done"

    def _until(self, moment: datetime) -> float:
        return max(0.0, (moment - self._clock.now()).total_seconds())

    def forget(self, namespace: str) -> None:
        """There is no such namespace any more."""
        self._queue.forget(namespace)
