"""The metrics of the operator's programs, made from the one table of instruments.

What each of them means is said there (`mesh7_core.telemetry.operator_instruments`), and in
docs/reference/telemetry.md, which is generated from it.
"""

from collections.abc import Callable, Iterator, Mapping

import prometheus_client
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

from mesh7_core.otlp.counts import Counts
from mesh7_core.telemetry import operator_instruments, sidecar_instruments
from mesh7_core.telemetry.instruments import Instrument


def registry() -> prometheus_client.CollectorRegistry:
    """An empty registry with what is known of the process itself: memory, CPU, open files."""
    fresh = prometheus_client.CollectorRegistry()
    prometheus_client.ProcessCollector(registry=fresh)
    return fresh


class Making:
    """Makes metrics of one registry, as the table says."""

    def __init__(self, registry: prometheus_client.CollectorRegistry) -> None:
        self._registry = registry

    def counter(self, one: Instrument) -> Counter:
        """A counter; its samples end in `_total`."""
        return Counter(one.family, one.help, one.label_names, registry=self._registry)

    def gauge(self, one: Instrument) -> Gauge:
        """A gauge."""
        return Gauge(one.family, one.help, one.label_names, registry=self._registry)

    def histogram(self, one: Instrument) -> Histogram:
        """A histogram with the buckets of the table."""
        return Histogram(
            one.family, one.help, one.label_names, buckets=one.buckets, registry=self._registry
        )


class ApiMetrics:
    """Of every program that speaks to the API server."""

    def __init__(self, registry: prometheus_client.CollectorRegistry) -> None:
        self.errors = Making(registry).counter(operator_instruments.API_ERRORS)


class TelemetryMetrics:
    """What became of telemetry that was sent; numbers that are read when somebody scrapes.

    Attributes:
        counts: by signal; empty where nothing is sent.
    """

    def __init__(self, registry: prometheus_client.CollectorRegistry) -> None:
        self.counts: Mapping[str, Counts] = {}
        registry.register(_Read(sidecar_instruments.OTLP_SENT, self._sent))
        registry.register(_Read(sidecar_instruments.OTLP_DROPPED, self._dropped))

    def _sent(self) -> Iterator[tuple[tuple[str, ...], float]]:
        for signal, counts in self.counts.items():
            yield (signal,), counts.sent

    def _dropped(self) -> Iterator[tuple[tuple[str, ...], float]]:
        for signal, counts in self.counts.items():
            for reason, count in counts.lost.items():
                yield (signal, reason.value), count


class _Read(Collector):
    """A counter that somebody else counts."""

    def __init__(
        self, one: Instrument, read: Callable[[], Iterator[tuple[tuple[str, ...], float]]]
    ) -> None:
        self._one = one
        self._labelnames = one.label_names
        self._read = read

    def describe(self) -> list[CounterMetricFamily]:
        """Its name, which a registry asks for."""
        return [CounterMetricFamily(self._one.family, self._one.help, labels=self._labelnames)]

    @override
    def collect(self) -> list[CounterMetricFamily]:
        (family,) = self.describe()
        for values, value in self._read():
            family.add_metric(values, value)
        return [family]


class ControllerMetrics:
    """The controller's; each attribute is one metric."""

    def __init__(self, registry: prometheus_client.CollectorRegistry) -> None:
        making = Making(registry)
        self.api = ApiMetrics(registry)
        self.telemetry = TelemetryMetrics(registry)
        self.leader = making.gauge(operator_instruments.LEADER)
        self.queue_depth = making.gauge(operator_instruments.QUEUE_DEPTH)
        self.queue_age = making.gauge(operator_instruments.QUEUE_AGE)
        self.reconciles = making.histogram(operator_instruments.RECONCILE)
        self.watch_restarts = making.counter(operator_instruments.WATCH_RESTARTS)
        self.failed_rounds = making.counter(operator_instruments.FAILED_ROUNDS)
        self.certificate_days = making.gauge(operator_instruments.CERTIFICATE_DAYS)
        self.certificates_made = making.counter(operator_instruments.CERTIFICATES_MADE)
        self.authorities = making.gauge(operator_instruments.AUTHORITIES)
        self._measure_what_is_delivered(making)
        self._measure_what_is_guarded(making)
        self._measure_what_people_decide(making)

    def _measure_what_is_delivered(self, making: Making) -> None:
        self.bundle_version = making.gauge(operator_instruments.BUNDLE_VERSION)
        self.bundle_bytes = making.gauge(operator_instruments.BUNDLE_BYTES)
        self.propagation = making.histogram(operator_instruments.PROPAGATION)
        self.stale_sidecars = making.gauge(operator_instruments.STALE_SIDECARS)
        self.store = making.gauge(operator_instruments.STORE_STATE)
        self.store_trouble = making.gauge(operator_instruments.STORE_TROUBLE)

    def _measure_what_is_guarded(self, making: Making) -> None:
        self.guarded_pods = making.gauge(operator_instruments.GUARDED_PODS)
        self.unguarded_pods = making.gauge(operator_instruments.UNGUARDED_PODS)
        self.outdated_pods = making.gauge(operator_instruments.OUTDATED_PODS)
        self.unready_sidecars = making.gauge(operator_instruments.UNREADY_SIDECARS)
        self.network_policies = making.gauge(operator_instruments.NETWORK_POLICIES)

    def _measure_what_people_decide(self, making: Making) -> None:
        self.open_requests = making.gauge(operator_instruments.OPEN_REQUESTS)
        self.decisions = making.counter(operator_instruments.DECISIONS)
        self.refused_answers = making.counter(operator_instruments.REFUSED_ANSWERS)
        self.forged_requests = making.counter(operator_instruments.FORGED_REQUESTS)
        self.doubted_requests = making.counter(operator_instruments.DOUBTED_REQUESTS)
        self.decision_seconds = making.histogram(operator_instruments.DECISION)
        self.audit_findings = making.counter(operator_instruments.AUDIT_FINDINGS)
        self.audit_evicted = making.counter(operator_instruments.AUDIT_EVICTED)

    def forget(self, namespace: str) -> None:
        """It is no longer enrolled: drop its series."""
        for gauge in (
            self.audit_findings,
            self.audit_evicted,
            self.open_requests,
            self.forged_requests,
            self.doubted_requests,
            self.bundle_version,
            self.bundle_bytes,
            self.stale_sidecars,
            self.guarded_pods,
            self.unguarded_pods,
            self.outdated_pods,
            self.unready_sidecars,
        ):
            gauge.remove_by_labels({"namespace": namespace})
