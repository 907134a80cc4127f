"""What the injector counts; the table of instruments says what each of it means."""

import prometheus_client

from mesh7_core.telemetry import operator_instruments
from mesh7_operator.metrics import ApiMetrics, Making, TelemetryMetrics


class InjectorMetrics:
    """The injector's; each attribute is one metric."""

    def __init__(self, registry: prometheus_client.CollectorRegistry) -> None:
        making = Making(registry)
        self.api = ApiMetrics(registry)
        self.telemetry = TelemetryMetrics(registry)
        self.admissions = making.counter(operator_instruments.ADMISSIONS)
        self.seconds = making.histogram(operator_instruments.ADMISSION)
        self.certificate_days = making.gauge(operator_instruments.CERTIFICATE_DAYS)
        self._injections = making.counter(operator_instruments.INJECTIONS)
        self._patch_bytes = making.histogram(operator_instruments.PATCH_BYTES)

    def injected(self, outcome: str, reason: str, patch_bytes: int) -> None:
        """Count one pod; both words are of closed sets."""
        self._injections.labels(outcome, reason).inc()
        if patch_bytes:
            self._patch_bytes.observe(patch_bytes)
