"""What the exchange counts, by name; docs/reference/metrics.md explains each."""

import prometheus_client
from prometheus_client import Counter, Gauge, Histogram

from mesh7_operator.metrics import ApiMetrics


class ExchangeMetrics:
    """The exchange's; each attribute is one metric."""

    def __init__(self, registry: prometheus_client.CollectorRegistry) -> None:
        self.api = ApiMetrics(registry)
        self.requests = Counter(
            "mesh7_exchange_requests",
            "Requests for credentials, by what became of them: handed, or why not",
            ["outcome"],
            registry=registry,
        )
        self.reviews = Counter(
            "mesh7_exchange_token_reviews",
            "Tokens that the API server was asked about",
            registry=registry,
        )
        self.seconds = Histogram(
            "mesh7_exchange_seconds", "From a request to its answer", registry=registry
        )
        self.certificate_days = Gauge(
            "mesh7_certificate_days",
            "Days that a certificate is still valid",
            ["certificate"],
            registry=registry,
        )
