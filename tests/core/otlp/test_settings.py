"""The usual variables: docs/administrator/telemetry.md and OpenTelemetry's specification."""

import pytest

from mesh7_core import errors
from mesh7_core.otlp import settings
from mesh7_core.otlp.settings import Settings, Target

_KNOWN = {"service.name": "mesh7-sidecar", "service.version": "1"}
_ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


def test_without_an_endpoint_nothing_is_sent() -> None:
    environment = {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    assert settings.read(environment, _KNOWN) == Settings(resource=_KNOWN)


def test_an_endpoint_alone_has_traces_sent_and_nothing_else() -> None:
    """Metrics are scraped and the audit is a file unless somebody chooses."""
    assert settings.read(_ENDPOINT, _KNOWN) == Settings(
        resource=_KNOWN, traces=Target(url="http://collector:4318/v1/traces")
    )


@pytest.mark.parametrize(
    "chosen",
    [
        {"OTEL_METRICS_EXPORTER": "otlp", **_ENDPOINT, "OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://collector:4318/v1/metrics"},
        {"OTEL_METRICS_EXPORTER": "prometheus, otlp", **_ENDPOINT, "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_metrics_are_sent_by_choice(chosen: dict[str, str]) -> None:
    read = settings.read(chosen, _KNOWN)
    assert read.traces is None
    assert read.logs is None
    assert read.metrics == Target(url="http://collector:4318/v1/metrics", delay_s=60.0)


def test_logs_are_sent_by_choice_within_their_own_bounds() -> None:
    read = settings.read(
        {"OTEL_LOGS_EXPORTER": "otlp", "OTEL_BLRP_MAX_QUEUE_SIZE": "7", **_ENDPOINT}, _KNOWN
    )
    assert read.logs == Target(url="http://collector:4318/v1/logs", most_waiting=7, batch=7)


def test_a_signals_own_variables_win() -> None:
    read = settings.read(
        {
            **_ENDPOINT,
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://other:1234/as/it/stands",
            "OTEL_EXPORTER_OTLP_HEADERS": "a=1",
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "Authorization=Bearer%20x%2Cy, b = 2",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1000",
            "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "2500",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_EXPORTER_OTLP_CERTIFICATE": "/ca.pem",
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": "/own.pem",
            "OTEL_EXPORTER_OTLP_CLIENT_KEY": "/own.key",
            "OTEL_BSP_MAX_QUEUE_SIZE": "100",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "10",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        },
        _KNOWN,
    )
    assert read.traces == Target(
        url="https://other:1234/as/it/stands",
        headers={"authorization": "Bearer x,y", "b": "2"},
        timeout_s=2.5,
        is_compressed=True,
        authorities="/ca.pem",
        certificate="/own.pem",
        private_key="/own.key",
        most_waiting=100,
        batch=10,
        delay_s=0.05,
    )


def test_whose_telemetry_it_is_people_may_say() -> None:
    read = settings.read(
        {
            "OTEL_RESOURCE_ATTRIBUTES": "service.name=a,k8s.pod.name=p%2C1,service.version=2",
            "OTEL_SERVICE_NAME": "b",
        },
        _KNOWN,
    )
    assert read.resource == {
        "service.name": "b",
        "service.version": "2",
        "k8s.pod.name": "p,1",
    }


def test_all_of_it_can_be_switched_off() -> None:
    read = settings.read({**_ENDPOINT, "OTEL_SDK_DISABLED": "True"}, _KNOWN)
    assert read == Settings(resource=_KNOWN)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "grpc",
            (
                "OTEL_EXPORTER_OTLP_PROTOCOL: `grpc` is not spoken here; write `http/protobuf` and "
                "give the collector's HTTP port, which is usually 4318"
            ),
        ),
        (
            "OTEL_TRACES_EXPORTER",
            "zipkin",
            (
                "OTEL_TRACES_EXPORTER: `zipkin` is not served; write `otlp`, or `none` to switch "
                "it off"
            ),
        ),
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "collector:4318",
            (
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: is no address of a collector; write "
                "`http://collector.example:4318`"
            ),
        ),
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://x:99999",
            (
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: is no address of a collector; write "
                "`http://collector.example:4318`"
            ),
        ),
        (
            "OTEL_EXPORTER_OTLP_COMPRESSION",
            "zstd",
            "OTEL_EXPORTER_OTLP_COMPRESSION: `zstd` is not served; write `gzip` or `none`",
        ),
        (
            "OTEL_BSP_MAX_QUEUE_SIZE",
            "0",
            "OTEL_BSP_MAX_QUEUE_SIZE: `0` is no number from 1 to 1000000",
        ),
        (
            "OTEL_EXPORTER_OTLP_TIMEOUT",
            "9" * 20,
            f"OTEL_EXPORTER_OTLP_TIMEOUT: `{'9' * 20}` is no number from 1 to 3600000",
        ),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "a=1,b",
            (
                "OTEL_RESOURCE_ATTRIBUTES: part 2 has no name and value; write "
                "`name=value,other=value`"
            ),
        ),
    ],
)
def test_what_cannot_be_used_says_where_and_what_to_do(name: str, value: str, said: str) -> None:
    with pytest.raises(errors.SettingsError) as raised:
        settings.read({**_ENDPOINT, name: value}, _KNOWN)
    assert raised.value.message == said


@pytest.mark.promise("T6")
@pytest.mark.parametrize("headers", ["a=s3cret%0d%0aevil: 1", "sp ace=s3cret", "s3cret"])
def test_a_header_that_cannot_be_one_is_not_quoted(headers: str) -> None:
    """It may be a token."""
    with pytest.raises(errors.SettingsError) as raised:
        settings.read({**_ENDPOINT, "OTEL_EXPORTER_OTLP_HEADERS": headers}, _KNOWN)
    assert "s3cret" not in raised.value.message


@pytest.mark.promise("T6")
def test_neither_headers_nor_a_password_in_the_address_are_shown() -> None:
    read = settings.read(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "https://me:s3cret@collector:4318/path",
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=s3cret",
        },
        _KNOWN,
    )
    assert read.traces is not None
    assert read.traces.place == "https://collector:4318"
    assert "headers" not in repr(read)
