"""What the exchange counts; the table of instruments says what each of it means."""

import prometheus_client

from mesh7_core.telemetry import operator_instruments
from mesh7_operator.metrics import ApiMetrics, Making, TelemetryMetrics


class ExchangeMetrics:
    """The exchange's; each attribute is one metric."""

    def __init__(self, registry: prometheus_client.CollectorRegistry) -> None:
        making = Making(registry)
        self.api = ApiMetrics(registry)
        self.telemetry = TelemetryMetrics(registry)
        self.requests = making.counter(operator_instruments.EXCHANGE_REQUESTS)
        self.reviews = making.counter(operator_instruments.EXCHANGE_REVIEWS)
        self.seconds = making.histogram(operator_instruments.EXCHANGE)
        self.certificate_days = making.gauge(operator_instruments.CERTIFICATE_DAYS)
