"""What this sidecar obeys and sees, reported to the operator through Redis: status is made of it.

Nothing here is on the way of a call: a glance each second costs a few comparisons, and the report
itself is made by a thread. Without Redis nobody is told, and calls go on.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from mesh7_core import names
from mesh7_core.delivery import reports
from mesh7_core.delivery.envelopes import Kind
from mesh7_core.ledger.deliveries import Deliveries
from mesh7_core.policy import calls
from mesh7_sidecar.bundles.delivered import Delivery
from mesh7_sidecar.sources import reported
from mesh7_sidecar.sources.baselines import Baselines
from mesh7_sidecar.sources.registry import Registry

EVERY_S: Final = 30.0
GLANCE_S: Final = 1.0
"""Reports are not sent more often, whatever changes."""
RETRY_S: Final = 5.0
_Glance = tuple[reports.Report, Sequence[reported.Look]]


class Reporting:
    """One sidecar's reports.

    Args:
        agent: whose sidecar it is.
        uid: of its pod.
        delivery: what is in force.
        registry: the sources.
        baselines: what was seen of them first.
        deliveries: where reports go.
        clock_s: monotonic seconds.
    """

    def __init__(  # noqa: PLR0913 - what a report is made of
        self,
        agent: calls.Agent,
        uid: str,
        *,
        delivery: Delivery,
        registry: Registry,
        baselines: Baselines,
        deliveries: Deliveries,
        clock_s: Callable[[], float],
    ) -> None:
        self._agent = agent
        self._uid = uid
        self._delivery = delivery
        self._registry = registry
        self._baselines = baselines
        self._deliveries = deliveries
        self._clock_s = clock_s
        self._changed = asyncio.Event()
        self._reported: _Glance | None = None
        self._due_at_s = float("-inf")
        delivery.on_change.append(self._changed.set)
        registry.on_change.append(self._changed.set)

    async def watch(self) -> None:
        """Report what changes and, now and then, that we are here; until cancelled."""
        while True:
            self._changed.clear()
            if self.is_due():
                await self.report()
                await asyncio.sleep(GLANCE_S)
                continue
            # Not all that changes is told of: a source that fails, a delivery that is refused.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GLANCE_S):
                    await self._changed.wait()

    def is_due(self) -> bool:
        """Whether something changed since the last report, or that was long ago."""
        if self._reported is None or self._clock_s() >= self._due_at_s:
            return True
        before, looks = self._reported
        now, fresh = self._glance()
        return now != before or not (
            len(looks) == len(fresh)
            and all(one.is_like(other) for one, other in zip(looks, fresh, strict=True))
        )

    async def report(self) -> bool:
        """Report once; whether it was taken. One that was not is sent again soon."""
        bare, looks = glance = self._glance()
        before = [reported.expected(one.source, self._baselines) for one in looks]

        def written() -> bytes:
            sources = tuple(one.report(each) for one, each in zip(looks, before, strict=True))
            return reports.encode(replace(bare, sources=sources))

        text = await asyncio.to_thread(written)
        is_taken = await self._deliveries.report(self._uid, text)
        self._reported = glance
        self._due_at_s = self._clock_s() + (EVERY_S if is_taken else RETRY_S)
        return is_taken

    def _glance(self) -> _Glance:
        """The report but for its sources, and what is seen of these."""
        versions, agent = self._delivery.versions, self._agent
        report = reports.Report(
            pod=agent.pod,
            uid=self._uid,
            agent=agent.service_account,
            labels=agent.labels,
            release=names.RELEASE,
            bundle=versions[Kind.BUNDLE],
            overlay=versions[Kind.OVERLAY],
            origin=self._delivery.origin,
            refused={why.value: count for why, count in self._delivery.refusals.counts.items()},
        )
        served = (one for kind in calls.SourceKind for one in self._registry.all_of(kind))
        return report, [reported.look(one) for one in served]
