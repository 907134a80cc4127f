"""What the controller counts and measures, by name; docs/reference/metrics.md explains each.

Labels are bounded: namespaces that are enrolled, and closed sets of words.
"""

from typing import Final

import prometheus_client
from prometheus_client import Counter, Gauge, Histogram

_LAG_BUCKETS: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_WORK_BUCKETS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


def registry() -> prometheus_client.CollectorRegistry:
    """An empty registry with what is known of the process itself: memory, CPU, open files."""
    fresh = prometheus_client.CollectorRegistry()
    prometheus_client.ProcessCollector(registry=fresh)
    return fresh


class ApiMetrics:
    """Of every program that speaks to the API server."""

    def __init__(self, registry: prometheus_client.CollectorRegistry) -> None:
        self.errors = Counter(
            "mesh7_api_errors",
            "Requests that the API server did not do",
            ["verb", "kind", "error"],
            registry=registry,
        )


class ControllerMetrics:
    """The controller's; each attribute is one metric."""

    def __init__(self, registry: prometheus_client.CollectorRegistry) -> None:
        self.leader = Gauge(
            "mesh7_leader", "1 where this process holds the Lease", registry=registry
        )
        self.queue_depth = Gauge(
            "mesh7_queue_depth", "Namespaces that wait to be reconciled", registry=registry
        )
        self.queue_age = Gauge(
            "mesh7_queue_age_seconds",
            "How long the namespace that is due longest has waited",
            registry=registry,
        )
        self.reconciles = Histogram(
            "mesh7_reconcile_seconds",
            "One namespace: gathered, reconciled, applied",
            ["outcome"],
            buckets=_WORK_BUCKETS,
            registry=registry,
        )
        self.watch_restarts = Counter(
            "mesh7_watch_restarts", "Watches begun anew", ["kind"], registry=registry
        )
        self.failed_rounds = Counter(
            "mesh7_failed_rounds",
            "Rounds of upkeep that were not done",
            ["round", "outcome"],
            registry=registry,
        )
        self.certificate_days = Gauge(
            "mesh7_certificate_days",
            "Days that a certificate is still valid",
            ["certificate"],
            registry=registry,
        )
        self.certificates_made = Counter(
            "mesh7_certificates_made", "Certificates issued", ["certificate"], registry=registry
        )
        self.authorities = Gauge(
            "mesh7_authorities", "Authorities that are trusted now", registry=registry
        )
        self.api = ApiMetrics(registry)
        self._measure_what_is_delivered(registry)
        self._measure_what_is_guarded(registry)
        self._measure_what_people_decide(registry)

    def _measure_what_is_delivered(self, registry: prometheus_client.CollectorRegistry) -> None:
        self.bundle_version = Gauge(
            "mesh7_bundle_version", "In force (Unix ms)", ["namespace"], registry=registry
        )
        self.bundle_bytes = Gauge(
            "mesh7_bundle_bytes", "Size as delivered", ["namespace"], registry=registry
        )
        self.propagation = Histogram(
            "mesh7_propagation_seconds",
            "From a bundle's version to the first report of each sidecar that obeys it",
            buckets=_LAG_BUCKETS,
            registry=registry,
        )
        self.stale_sidecars = Gauge(
            "mesh7_stale_sidecars",
            "Sidecars that report an older bundle than the one in force",
            ["namespace"],
            registry=registry,
        )
        self.store = Gauge(
            "mesh7_store_state", "1 for how it stands with Redis", ["state"], registry=registry
        )
        self.store_trouble = Gauge(
            "mesh7_store_trouble",
            "1 for what is wrong with a server of Redis",
            ["trouble"],
            registry=registry,
        )

    def _measure_what_is_guarded(self, registry: prometheus_client.CollectorRegistry) -> None:
        def gauge(name: str, about: str) -> Gauge:
            return Gauge(name, about, ["namespace"], registry=registry)

        self.guarded_pods = gauge("mesh7_guarded_pods", "Pods with a sidecar")
        self.unguarded_pods = gauge(
            "mesh7_unguarded_pods", "Pods without a sidecar that should have one"
        )
        self.outdated_pods = gauge(
            "mesh7_outdated_pods", "Pods whose sidecar has another image than those of today"
        )
        self.unready_sidecars = gauge(
            "mesh7_unready_sidecars", "Pods that run while their sidecar is not ready"
        )
        self.network_policies = Gauge(
            "mesh7_network_policies",
            "Namespaces with NetworkPolicy mesh7-guarded",
            ["egress"],
            registry=registry,
        )

    def _measure_what_people_decide(self, registry: prometheus_client.CollectorRegistry) -> None:
        self.open_requests = Gauge(
            "mesh7_open_requests",
            "ApprovalRequests that wait or can be used",
            ["namespace"],
            registry=registry,
        )
        self.decisions = Counter(
            "mesh7_decisions", "Held calls that people decided", ["verdict"], registry=registry
        )
        self.refused_answers = Counter(
            "mesh7_refused_answers",
            "Grants that answer a held call and do not count",
            registry=registry,
        )
        self.forged_requests = Counter(
            "mesh7_forged_requests",
            "Requests in Redis whose state was nobody's word, and was repaired",
            ["namespace"],
            registry=registry,
        )
        self.doubted_requests = Counter(
            "mesh7_doubted_requests",
            "Requests in Redis that are not what they claim to be, and are not mirrored",
            ["namespace"],
            registry=registry,
        )
        self.decision_seconds = Histogram(
            "mesh7_decision_seconds",
            "From the creation of the last Grant that was needed to the decision in Redis",
            buckets=_LAG_BUCKETS,
            registry=registry,
        )

    def forget(self, namespace: str) -> None:
        """It is no longer enrolled: drop its series."""
        for gauge in (
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
