"""The charts with a real Helm: what they render is what is committed, and what they refuse."""

from pathlib import Path

import pytest
import yaml

from e2e import charts
from e2e.cluster.fixtures import need
from e2e.cluster.waiting import ClusterError

_THEIRS = {
    "redis.mode": "managed",
    "redis.url": "rediss://mesh7-operator@redis.example.com:6379/0",
    "redis.existingSecret": "redis",
}


@pytest.fixture(autouse=True)
def _helm() -> None:
    need("api")


@pytest.mark.parametrize("chart", [charts.CHART, charts.CRDS_CHART], ids=lambda path: path.name)
def test_helm_finds_nothing_to_say(chart: Path) -> None:
    found = charts.helm("lint", str(chart), "--strict", *charts.VERSION)
    assert "[WARNING]" not in found
    assert "[ERROR]" not in found


def test_what_is_committed_is_what_the_charts_render() -> None:
    """Goldens, the kinds' chart and the page of values; `make charts` writes them."""
    stale = [
        str(path.relative_to(charts.ROOT))
        for path, text in charts.written().items()
        if not path.exists() or path.read_text() != text
    ]
    assert stale == []
    assert sorted(path.stem for path in charts.GOLDENS.iterdir()) == charts.sets()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"nonsense": "1"}, "additional properties 'nonsense' not allowed"),
        ({"injector.replicaCount": "2"}, "additional properties 'replicaCount' not allowed"),
        ({"injector.replicas": "0"}, "/injector/replicas"),
        ({"image.operator.tag": "latest"}, "/image/operator/tag"),
        ({"image.sidecar.digest": "sha256:1"}, "/image/sidecar/digest"),
        ({"injection.defaultEnforcement": "guarded"}, "/injection/defaultEnforcement"),
        ({"injection.variables.PATH": "/"}, "invalid propertyName 'PATH'"),
        ({"redis.url": "redis://mesh7-operator:secret@redis"}, "/redis/url"),
        ({"certificates.mode": "manual"}, "/certificates/mode"),
        ({"certificates.mode": "cert-manager"}, "certificates.issuerRef.name: is missing"),
        ({"certificates.issuerRef.name": "x"}, "certificates.issuerRef: means nothing"),
        ({"certificates.mode": "external"}, "certificates.caBundle: is missing"),
        (
            {"certificates.caBundle": "-----BEGIN CERTIFICATE-----"},
            "certificates.caBundle: means nothing",
        ),
        ({"redis.mode": "managed"}, "redis.url: is missing"),
        (
            {"redis.mode": "managed", "redis.url": "rediss://redis"},
            "redis.existingSecret: is missing",
        ),
        (
            {"redis.mode": "given", "redis.url": "rediss://redis"},
            "redis.given.existingSecret: is missing",
        ),
        ({"redis.url": "rediss://redis"}, "mean nothing with `redis.mode: embedded`"),
        ({**_THEIRS, "redis.given.url": "rediss://redis"}, "redis.given: means nothing"),
        (
            {**_THEIRS, "redis.url": "redis://redis", "injection.defaultEnforcement": "Enforced"},
            "wants a Redis with TLS",
        ),
    ],
    ids=lambda one: " ".join(f"{key}={one[key]}" for key in one) if isinstance(one, dict) else "",
)
def test_values_that_mean_nothing_are_refused(values: dict[str, str], message: str) -> None:
    flags = [f"--set={key}={value}" for key, value in values.items()]
    with pytest.raises(ClusterError) as refused:
        charts.template(charts.CHART, *flags)
    assert message in str(refused.value)


def test_an_older_kubernetes_is_refused() -> None:
    """Design 9: native sidecars and admission policies; the last flag counts."""
    with pytest.raises(ClusterError, match=r"requires kubeVersion: >=1\.30\.0-0"):
        charts.template(charts.CHART, "--kube-version=1.29.14")
    assert charts.template(charts.CHART, "--kube-version=1.30.0-eks-1")


@pytest.mark.parametrize("namespace", ["default", "kube-system"])
def test_a_namespace_of_others_is_refused(namespace: str) -> None:
    with pytest.raises(ClusterError, match="mesh7 wants one of its own"):
        charts.template(charts.CHART, f"--namespace={namespace}")


def test_another_namespace_and_another_name_are_taken_everywhere() -> None:
    text = charts.template(charts.CHART, "--namespace=guards", release="other")
    assert "mesh7-system" not in text
    webhooks = [one for one in yaml.safe_load_all(text) if one and "webhooks" in one]
    reached = {
        hook["clientConfig"]["service"]["namespace"] for one in webhooks for hook in one["webhooks"]
    }
    assert reached == {"guards"}
