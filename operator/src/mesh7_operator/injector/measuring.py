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
        self._injections = Counter(
            "mesh7_injections",
            "Pods that were asked about, by what became of them, and why",
            ["outcome", "reason"],
            registry=registry,
        )
        self._patch_bytes = Histogram(
            "mesh7_injection_patch_bytes",
            "Size of what was changed of a pod",
            buckets=(1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576),
            registry=registry,
        )
        self.certificate_days = Gauge(
            "mesh7_certificate_days",
            "Days that a certificate is still valid",
            ["certificate"],
            registry=registry,
        )

    def injected(self, outcome: str, reason: str, patch_bytes: int) -> None:
        """Count one pod; both words are of closed sets."""
        self._injections.labels(outcome, reason).inc()
        if patch_bytes:
            self._patch_bytes.observe(patch_bytes)
