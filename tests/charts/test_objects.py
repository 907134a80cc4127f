"""The rest of what the charts render: each piece is made by somebody, labelled, and bounded."""

import pytest
import yaml

from e2e import chart_values, charts
from mesh7_core import names
from mesh7_core.injection import outcomes, settings
from tests.charts import rendered

_CONTROLLERS = {
    "mesh7-injector-certificate", "mesh7-exchange-certificate", "mesh7-redis-certificate",
    "mesh7-stamp-key", "mesh7-redis-master", "mesh7-redis-operator", names.TRUST_CONFIG_MAP,
}  # fmt: skip
_PEOPLES = {"redis-operator", "redis-sidecars"}
_CLUSTERS = {"kube-root-ca.crt"}
_LABELS = {
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/version",
    "app.kubernetes.io/part-of",
    "app.kubernetes.io/managed-by",
    "helm.sh/chart",
}


@pytest.mark.parametrize("name", rendered.SETS)
def test_what_a_pod_mounts_is_made_by_somebody(name: str) -> None:
    made = _CONTROLLERS | _PEOPLES | _CLUSTERS | set(rendered.of_kind("ConfigMap", name))
    for pod in rendered.pods(name).values():
        found = set()
        for volume in pod["volumes"]:
            sources = [volume, *volume.get("projected", {}).get("sources", ())]
            found |= {one["configMap"]["name"] for one in sources if "configMap" in one}
            found |= {one["secret"]["secretName"] for one in sources if "secret" in one}
        assert found <= made


@pytest.mark.parametrize("name", rendered.SETS)
def test_the_kubelet_waits_for_what_the_controller_makes(name: str) -> None:
    """The controller alone starts without: nobody else would make it."""
    found = {
        (of, volume["secret"]["secretName"])
        for of, pod in rendered.pods(name).items()
        for volume in pod["volumes"]
        if volume.get("secret", {}).get("optional")
    }
    assert found <= {("mesh7-controller", "mesh7-redis-operator")}


@pytest.mark.parametrize("name", rendered.SETS)
def test_every_object_says_what_it_belongs_to(name: str) -> None:
    for one in rendered.documents(name):
        assert set(one["metadata"]["labels"]) >= _LABELS, one["metadata"]["name"]


@pytest.mark.parametrize("name", rendered.SETS)
def test_nothing_is_made_twice(name: str) -> None:
    found = [
        (one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"])
        for one in rendered.documents(name)
    ]
    assert len(found) == len(set(found))


@pytest.mark.parametrize("name", rendered.SETS)
def test_the_injector_can_read_what_it_is_told(name: str) -> None:
    text = rendered.of_kind("ConfigMap", name)[names.INJECTION_CONFIG_MAP]["data"][settings.KEY]
    found = settings.read(text)
    assert found.release_namespace == "mesh7-system"
    assert (found.exchange is None) == (name in {"minimal", rendered.TASKS})


def test_the_injector_is_told_what_was_chosen() -> None:
    text = rendered.of_kind("ConfigMap", "managed")[names.INJECTION_CONFIG_MAP]["data"]
    assert settings.read(text[settings.KEY]) == settings.Settings(
        image="registry.example.com/mesh7/mesh7-sidecar@sha256:" + "2".zfill(64),
        pull_policy="Always",
        user=88008,
        default_level=outcomes.Level.ENFORCED,
        may_opt_out=True,
        exchange=settings.Exchange(
            url="https://mesh7-exchange.mesh7-system.svc", is_redis_encrypted=True
        ),
        resources=settings.Resources(
            cpu_request="100m", memory_request="128Mi", memory_limit="512Mi"
        ),
        variables={"MESH7_AUDIT": "denied", "MESH7_HOLD": "20s"},
    )


@pytest.mark.parametrize("name", [one for one in rendered.SETS if one != "minimal"])
def test_every_program_has_a_network_policy_both_ways(name: str) -> None:
    policies = rendered.of_kind("NetworkPolicy", name)
    assert set(policies) >= set(rendered.of_kind("Deployment", name))
    assert all(one["spec"]["policyTypes"] == ["Ingress", "Egress"] for one in policies.values())


@pytest.mark.parametrize("of", ["mesh7-controller", "mesh7-injector", "mesh7-exchange"])
def test_a_program_asks_names_where_openshift_has_them_too(of: str) -> None:
    """docs/administrator/install.md#the-network: a network sees the port of the pod."""
    egress = rendered.of_kind("NetworkPolicy")[of]["spec"]["egress"]
    names_at = {(one["port"], one["protocol"]) for one in egress[0]["ports"]}
    assert names_at == {(port, kind) for port in (53, 5353) for kind in ("UDP", "TCP")}


def test_a_kind_in_the_chart_is_that_of_crds_and_stays() -> None:
    """`make charts` copies them."""
    for path in sorted((rendered.ROOT / "crds").glob("*.yaml")):
        text = (charts.CRDS_CHART / "templates" / path.name).read_text()
        assert text == charts.kept(path.read_text())
        (found,) = yaml.safe_load_all(text)
        assert found["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert len(list((charts.CRDS_CHART / "templates").iterdir())) == 5


def test_the_page_of_values_is_current() -> None:
    """`make charts` writes docs/reference/helm-values.md."""
    assert charts.PAGE.read_text() == chart_values.page((charts.CHART / "values.yaml").read_text())


def test_every_value_is_explained() -> None:
    found = chart_values.values((charts.CHART / "values.yaml").read_text())
    assert [one.path for one in found if not one.meaning] == []


@pytest.mark.parametrize("chart", [charts.CHART, charts.CRDS_CHART])
def test_a_chart_is_of_this_release(chart: object) -> None:
    found = yaml.safe_load((rendered.ROOT / str(chart) / "Chart.yaml").read_text())
    assert (found["version"], found["appVersion"]) == (names.RELEASE, names.RELEASE)
