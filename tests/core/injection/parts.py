"""A pod, a namespace, a release and a cluster to inject with, and how each may differ."""

from collections.abc import Mapping

from mesh7_core import names
from mesh7_core.injection.inject import Cluster, Namespace, Source
from mesh7_core.injection.outcomes import Injected, Outcome, Refused
from mesh7_core.injection.settings import Exchange, Settings

RELEASE = Settings(
    image="registry.example/mesh7/sidecar:0.1.0",
    exchange=Exchange(url="https://mesh7-exchange.mesh7-system.svc", is_redis_encrypted=True),
)
CLUSTER = Cluster(
    trust_key="a2V5",
    authorities="PEM",
    sources=(Source(name="git-hub", kind="mcp"), Source(name="billing", kind="http")),
    has_network_policy=True,
)
AGENT: Mapping[str, object] = {"name": "agent", "image": "registry.example/agent:1"}


def namespace(injection: str | None = "enabled", level: str | None = None) -> Namespace:
    """`shop`, enrolled so."""
    labels = {names.INJECTION_LABEL: injection, names.ENFORCEMENT: level}
    written = {key: value for key, value in labels.items() if value is not None}
    return Namespace(name="shop", labels=written, annotations={})


def pod(
    *containers: Mapping[str, object],
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    **spec: object,
) -> dict[str, object]:
    """One with these containers; else with an agent."""
    return {
        "metadata": {
            "generateName": "agent-",
            "labels": dict(labels or {}),
            "annotations": dict(annotations or {}),
        },
        "spec": {"containers": list(containers or (AGENT,)), **spec},
    }


def guarded(outcome: Outcome) -> Mapping[str, object]:
    """The pod that came out."""
    assert isinstance(outcome, Injected), outcome
    return outcome.pod


def told(outcome: Outcome) -> list[tuple[str, str]]:
    """Reasons and paths of a refusal."""
    assert isinstance(outcome, Refused), outcome
    return [(one.reason.value, one.path) for one in outcome.problems]
