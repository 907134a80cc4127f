"""What the injector counts, by name; docs/administrator/admission.md explains each."""

import prometheus_client
from prometheus_client import Counter, Gauge, Histogram

from mesh7_operator.metrics import ApiMetrics


class InjectorMetrics:
    """The injector's; each attribute is one metric."""

    def __init__(self, registry: prometheus_client.CollectorRegistry) -> None:
        self.api = ApiMetrics(registry)
        self.admissions = Counter(
            "mesh7_admissions",
            "Questions of the API server, by door, kind and what became of them",
            ["door", "kind", "outcome"],
            registry=registry,
        )
        self.seconds = Histogram(
            "mesh7_admission_seconds",
            "From a question to its answer",
            ["door"],
            buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
            registry=registry,
        )
        self.certificate_days = Gauge(
            "mesh7_certificate_days",
            "Days that a certificate is still valid",
            ["certificate"],
            registry=registry,
        )
