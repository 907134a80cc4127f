"""Telemetry, as the chart switches it on: docs/administrator/telemetry.md."""

import json
from typing import Any

import pytest
import yaml

from mesh7_core.injection import settings as injection
from mesh7_core.otlp import settings as otlp
from tests.charts import rendered

_SET = "telemetry"
_TLS = "telemetry-tls"
_PROGRAMS = ("controller", "injector", "exchange")


def _settings(name: str) -> dict[str, str]:
    data: dict[str, str] = rendered.of_kind("ConfigMap", name)["mesh7-settings"]["data"]
    return data


def _container(program: str, name: str) -> dict[str, Any]:
    container: dict[str, Any] = rendered.pods(name)[f"mesh7-{program}"]["containers"][0]
    return container


def _injection(name: str) -> injection.Settings:
    return injection.read(
        rendered.of_kind("ConfigMap", name)["mesh7-injection"]["data"][injection.KEY]
    )


def _said(program: str) -> dict[str, str]:
    """Variables with a value that is known before the pod is."""
    container = _container(program, _SET)
    own = {one["name"]: one["value"] for one in container["env"] if "value" in one}
    return own | (_settings(_SET) if "envFrom" in container else {})


@pytest.mark.parametrize("name", [one for one in rendered.SETS if one not in {_SET, _TLS}])
def test_nothing_is_sent_unless_there_is_a_collector(name: str) -> None:
    said = yaml.safe_dump_all(rendered.documents(name))
    assert "OTEL_" not in said
    assert "MESH7_TRACE_SHARE" not in _settings(name)
    assert "MESH7_TRACE_SHARE" not in _injection(name).variables


@pytest.mark.parametrize("program", _PROGRAMS)
def test_the_operators_programs_send_traces_and_metrics_and_say_whose_they_are(
    program: str,
) -> None:
    said = _said(program)
    read = otlp.read(said, {})
    assert read.traces == otlp.Target(
        url="http://otel-collector.observability.svc:4318/v1/traces", is_compressed=True
    )
    assert read.metrics is not None
    assert read.logs is None
    assert said["MESH7_TRACE_SHARE"] == "0.1"
    assert read.resource["k8s.container.name"] == program
    of_pod = {one["name"] for one in _container(program, _SET)["env"] if "valueFrom" in one}
    asked = [value for value in read.resource.values() if value.startswith("$(")]
    assert len(asked) == 4
    assert {one.removeprefix("$(").removesuffix(")") for one in asked} <= of_pod


def test_sidecars_send_what_is_switched_on() -> None:
    given = _injection(_SET).variables
    read = otlp.read(given, {})
    assert None not in (read.traces, read.metrics, read.logs)
    assert given["MESH7_TRACE_SHARE"] == "0.1"
    assert given["OTEL_EXPORTER_OTLP_TIMEOUT"] == "5000"


@pytest.mark.parametrize("program", _PROGRAMS)
def test_the_collector_can_be_reached(program: str) -> None:
    policy = rendered.of_kind("NetworkPolicy", _SET)[f"mesh7-{program}"]
    assert {"ports": [{"port": 4318, "protocol": "TCP"}]} in policy["spec"]["egress"]


def test_the_controller_lets_guarded_pods_reach_the_collector() -> None:
    said = _settings(_SET)
    assert said["MESH7_SIDECAR_COLLECTOR"] == said["OTEL_EXPORTER_OTLP_ENDPOINT"]


@pytest.mark.parametrize("program", _PROGRAMS)
def test_the_operators_programs_are_given_authorities_and_headers(program: str) -> None:
    """Promised by docs/administrator/telemetry.md."""
    container = _container(program, _TLS)
    told = {one["name"]: one for one in container["env"]}
    mounts = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
    volumes = {one["name"]: one for one in rendered.pods(_TLS)[f"mesh7-{program}"]["volumes"]}

    folder, _, key = told["OTEL_EXPORTER_OTLP_CERTIFICATE"]["value"].rpartition("/")
    source = volumes[mounts[folder]]["configMap"]["name"]
    pem = rendered.of_kind("ConfigMap", _TLS)[source]["data"][key]
    assert pem.startswith("-----BEGIN CERTIFICATE-----")
    assert told["OTEL_EXPORTER_OTLP_HEADERS"]["valueFrom"] == {
        "secretKeyRef": {"name": "vendor-key", "key": "headers"}
    }
    own = {name: one["value"] for name, one in told.items() if "value" in one}
    said = own | (_settings(_TLS) if "envFrom" in container else {})
    assert said["OTEL_EXPORTER_OTLP_ENDPOINT"] == "https://otlp.vendor.example"


@pytest.mark.promise("T6")
def test_no_sidecar_is_told_the_headers_that_the_operator_sends() -> None:
    """The attack: a tenant reads the vendor's key from the variables of its own pod."""
    given = _injection(_TLS)
    data = rendered.of_kind("ConfigMap", _TLS)["mesh7-injection"]["data"]

    assert "vendor" not in str(data)
    assert "HEADERS" not in str(data)
    read = otlp.read(given.variables, {}, given.collector_authorities)
    assert read.traces is not None
    assert read.traces.url == "https://otel-collector.observability.svc:4318/v1/traces"
    assert read.traces.authorities_pem.startswith("-----BEGIN CERTIFICATE-----")
    assert (
        _settings(_TLS)["MESH7_SIDECAR_COLLECTOR"]
        == "https://otel-collector.observability.svc:4318"
    )


def test_the_admission_policy_wants_the_authorities_that_injection_writes() -> None:
    """Letter by letter; else it would refuse every pod that the injector made."""
    policy = rendered.of_kind("ValidatingAdmissionPolicy", _TLS)["mesh7-pods"]
    (plain,) = [one for one in policy["spec"]["variables"] if one["name"] == "plain"]

    said = json.loads(plain["expression"])
    assert said["MESH7_COLLECTOR_AUTHORITIES"] == _injection(_TLS).collector_authorities
