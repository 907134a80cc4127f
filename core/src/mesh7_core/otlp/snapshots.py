"""A moment's readings → OTLP's metrics. Imported only by programs that send.

Sums and histograms are cumulative: a batch that is lost costs a moment, and no count.
"""

from collections.abc import Sequence
from typing import Final

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
)

from mesh7_core.otlp import scopes
from mesh7_core.otlp.moments import Snapshot
from mesh7_core.telemetry.instruments import Distribution, Instrument, Kind, Number, Reading

_CUMULATIVE: Final = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE


def metrics_of(snapshot: Snapshot) -> list[Metric]:
    """All of it; instruments without a series are left out."""
    return [_metric(one, snapshot) for one in snapshot.readings if one.points]


def _metric(reading: Reading, snapshot: Snapshot) -> Metric:
    one = reading.instrument
    metric = Metric(name=one.name, description=one.help, unit=one.unit or "1")
    numbers = [
        _number(one, point, snapshot) for point in reading.points if isinstance(point, Number)
    ]
    match one.kind:
        case Kind.COUNTER:
            metric.sum.CopyFrom(
                Sum(data_points=numbers, aggregation_temporality=_CUMULATIVE, is_monotonic=True)
            )
        case Kind.GAUGE:
            metric.gauge.CopyFrom(Gauge(data_points=numbers))
        case Kind.HISTOGRAM:
            points = [
                _distribution(one, point, snapshot)
                for point in reading.points
                if isinstance(point, Distribution)
            ]
            metric.histogram.CopyFrom(
                Histogram(data_points=points, aggregation_temporality=_CUMULATIVE)
            )
    return metric


def _number(one: Instrument, point: Number, snapshot: Snapshot) -> NumberDataPoint:
    read = NumberDataPoint(
        attributes=_labels(one, point.values),
        start_time_unix_nano=snapshot.since_ns,
        time_unix_nano=snapshot.at_ns,
    )
    if isinstance(point.value, int):
        read.as_int = point.value
    else:
        read.as_double = point.value
    return read


def _distribution(one: Instrument, point: Distribution, snapshot: Snapshot) -> HistogramDataPoint:
    return HistogramDataPoint(
        attributes=_labels(one, point.values),
        start_time_unix_nano=snapshot.since_ns,
        time_unix_nano=snapshot.at_ns,
        count=sum(point.counts),
        sum=point.total,
        bucket_counts=point.counts,
        explicit_bounds=one.buckets,
    )


def _labels(one: Instrument, values: tuple[str, ...]) -> Sequence[KeyValue]:
    """An empty value says that the label does not apply."""
    pairs = zip(one.labels, values, strict=True)
    return scopes.attributes({label.attribute: value for label, value in pairs if value})
