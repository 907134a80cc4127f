"""A moment's readings → the SDK's metrics. Imported only by programs that send.

Sums and histograms are cumulative: a batch that is lost costs a moment, and no count.
"""

from collections.abc import Mapping
from typing import Final

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource

from mesh7_core.otlp import encoding
from mesh7_core.otlp.moments import Snapshot
from mesh7_core.telemetry import conventions
from mesh7_core.telemetry.instruments import Distribution, Instrument, Kind, Number, Reading

_CUMULATIVE: Final = AggregationTemporality.CUMULATIVE


def metrics_of(snapshot: Snapshot, resource: Resource) -> MetricsData:
    """All of it, as the SDK's exporter takes it; instruments without a series are left out."""
    metrics = [_metric(one, snapshot) for one in snapshot.readings if one.points]
    scope = ScopeMetrics(encoding.SCOPE, metrics, conventions.SCHEMA_URL)
    return MetricsData([ResourceMetrics(resource, [scope], conventions.SCHEMA_URL)])


def _metric(reading: Reading, snapshot: Snapshot) -> Metric:
    one = reading.instrument
    return Metric(one.name, one.help, one.unit or "1", _points(reading, snapshot))


def _points(reading: Reading, snapshot: Snapshot) -> Sum | Gauge | Histogram:
    one = reading.instrument
    numbers = [
        NumberDataPoint(_labels(one, point.values), snapshot.since_ns, snapshot.at_ns, point.value)
        for point in reading.points
        if isinstance(point, Number)
    ]
    match one.kind:
        case Kind.COUNTER:
            return Sum(numbers, _CUMULATIVE, is_monotonic=True)
        case Kind.GAUGE:
            return Gauge(numbers)
        case Kind.HISTOGRAM:
            return Histogram(
                [
                    _distribution(one, point, snapshot)
                    for point in reading.points
                    if isinstance(point, Distribution)
                ],
                _CUMULATIVE,
            )


def _distribution(one: Instrument, point: Distribution, snapshot: Snapshot) -> HistogramDataPoint:
    return HistogramDataPoint(
        attributes=_labels(one, point.values),
        start_time_unix_nano=snapshot.since_ns,
        time_unix_nano=snapshot.at_ns,
        count=sum(point.counts),
        sum=point.total,
        bucket_counts=point.counts,
        explicit_bounds=one.buckets,
        min=None,  # type: ignore[arg-type]  # not known, and the encoder leaves it out
        max=None,  # type: ignore[arg-type]
    )


def _labels(one: Instrument, values: tuple[str, ...]) -> Mapping[str, str]:
    """An empty value says that the label does not apply."""
    pairs = zip(one.labels, values, strict=True)
    return {label.attribute: value for label, value in pairs if value}
