"""A program's metrics, sent over OTLP by choice: read from the registry that Prometheus scrapes.

What the process itself is measured by (`process_…`) is left to scrapes.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import prometheus_client
from prometheus_client.samples import Sample

from mesh7_core.otlp import metrics
from mesh7_core.otlp.metrics import MetricExporter
from mesh7_core.telemetry import table
from mesh7_core.telemetry.instruments import Distribution, Instrument, Kind, Number, Reading
from mesh7_operator.clock import Clock

_TABLE: Final = {one.family: one for one in table.INSTRUMENTS}


class Exported:
    """Sends what a registry reads, once an interval and once more at the end."""

    def __init__(self, sending: MetricExporter, clock: Clock) -> None:
        self.sending = sending
        self._clock = clock
        self._keeping: asyncio.Task[None] | None = None

    def begin(self, registry: prometheus_client.CollectorRegistry) -> None:
        """On the event loop."""
        self._keeping = asyncio.create_task(
            metrics.keep(self.sending, lambda: readings(registry), self._clock.wall_ns)
        )

    async def end(self) -> None:
        """Read it once more."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)


def readings(registry: prometheus_client.CollectorRegistry) -> list[Reading]:
    """All that the table knows."""
    return [
        Reading(one, _points(one, family.samples))
        for family in registry.collect()
        if (one := _TABLE.get(family.name)) is not None
    ]


def _points(one: Instrument, samples: Sequence[Sample]) -> Sequence[Number | Distribution]:
    if one.kind is Kind.HISTOGRAM:
        return _distributions(one, samples)
    (name,) = one.samples
    return [Number(_values(one, sample), sample.value) for sample in samples if sample.name == name]


def _distributions(one: Instrument, samples: Sequence[Sample]) -> list[Distribution]:
    """Prometheus counts in a bucket all that is in those before it; OTLP does not."""
    bucket, total, _ = one.samples
    up_to: dict[tuple[str, ...], list[int]] = {}
    totals = {_values(one, sample): sample.value for sample in samples if sample.name == total}
    for sample in samples:
        if sample.name == bucket:
            up_to.setdefault(_values(one, sample), []).append(int(sample.value))
    return [
        Distribution(
            values,
            tuple(count - before for before, count in zip([0, *counts], counts, strict=False)),
            totals[values],
        )
        for values, counts in up_to.items()
    ]


def _values(one: Instrument, sample: Sample) -> tuple[str, ...]:
    return tuple(sample.labels[name] for name in one.label_names)
