"""What a sidecar is started with: each variable read strictly, each on its page."""

import base64
import re
import ssl
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path

import pytest

from mesh7_core import errors, names
from mesh7_core.delivery import trust
from mesh7_core.delivery.envelopes import Kind
from mesh7_core.ledger.redis_url import RedisServer
from mesh7_core.otlp import exporter
from mesh7_core.otlp import settings as otlp
from mesh7_sidecar import pod_settings
from mesh7_sidecar.pod_settings import ExchangeSettings, GivenRedis, PodSettings
from mesh7_sidecar.settings import Address, AuditShare
from tests.architecture.tree import ROOT
from tests.core.otlp import parts
from tests.operator.exchange import certificates
from tests.peers import otlp_receiver

KEY = bytes(range(32))
PAGE = ROOT / "docs" / "reference" / "pod-environment.md"
LEAST = {
    "MESH7_NAMESPACE": "shop",
    "MESH7_SERVICE_ACCOUNT": "support",
    "MESH7_POD_NAME": "support-1",
    "MESH7_POD_UID": "0b0c9a8e-6d5f-4d3e-9a51-1f2e3d4c5b6a",
    "MESH7_TRUST_KEY": base64.b64encode(KEY).decode(),
}
AUTHORITY = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n"
EXCHANGE = {
    "MESH7_EXCHANGE_URL": "https://mesh7-exchange.mesh7-system.svc:8443",
    "MESH7_EXCHANGE_AUTHORITIES": f"{AUTHORITY}\n{AUTHORITY}",
    "MESH7_TOKEN_FILE": "/var/run/mesh7/token",
}
REDIS = {
    "MESH7_REDIS_URL": "rediss://everybody@redis:6380/1",
    "MESH7_REDIS_PASSWORD_FILE": "/etc/mesh7/password",
    "MESH7_REDIS_CA": "/etc/mesh7/redis.pem",
}

RESOURCE = {
    "service.name": "mesh7-sidecar",
    "service.version": names.RELEASE,
    "service.instance.id": LEAST["MESH7_POD_UID"],
    "k8s.namespace.name": "shop",
    "k8s.pod.name": "support-1",
    "k8s.pod.uid": LEAST["MESH7_POD_UID"],
}


def test_little_is_required_and_the_rest_has_its_default() -> None:
    """docs/reference/pod-environment.md."""
    assert pod_settings.read(LEAST) == PodSettings(
        agent="support",
        pod="support-1",
        uid="0b0c9a8e-6d5f-4d3e-9a51-1f2e3d4c5b6a",
        labels_file=None,
        trust=trust.Trust(namespace="shop", keys=(KEY,), floors={Kind.BUNDLE: 0, Kind.OVERLAY: 0}),
        bundle_directory=Path("/etc/mesh7/bundle"),
        state=Path("/var/lib/mesh7/state"),
        credentials=None,
        redis=None,
        listen=Address("127.0.0.1", 7007),
        admin=Address("0.0.0.0", 7008),  # noqa: S104 - what is shown
        telemetry=otlp.Settings(resource=RESOURCE),
    )


def test_every_variable_is_read_as_what_it_means() -> None:
    environment = {
        **LEAST,
        **EXCHANGE,
        "MESH7_BUNDLE_FLOOR": "17",
        "MESH7_OVERLAY_FLOOR": "9007199254740991",
        "MESH7_LABELS_FILE": "/etc/mesh7/labels",
        "MESH7_BUNDLE_DIR": "/mounted",
        "MESH7_STATE": "/kept",
        "MESH7_CREDENTIALS": "/secret",
        "MESH7_POD_IP": "10.1.2.3,fd00::0003",
        "MESH7_LISTEN": "[::1]:7",
        "MESH7_ADMIN": "[::]:8",
        "MESH7_DIALLED": "10.0.0.0/8, fd00::/8",
        "MESH7_HOLD": "0s",
        "MESH7_FIRST_BUNDLE": "500ms",
        "MESH7_AUDIT": "denied",
        "MESH7_TRACE_SHARE": "0.25",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
        "KUBERNETES_SERVICE_HOST": "10.96.0.1",
    }
    assert pod_settings.read(environment) == PodSettings(
        agent="support",
        pod="support-1",
        uid=LEAST["MESH7_POD_UID"],
        labels_file=Path("/etc/mesh7/labels"),
        trust=trust.Trust(
            namespace="shop", keys=(KEY,), floors={Kind.BUNDLE: 17, Kind.OVERLAY: 2**53 - 1}
        ),
        bundle_directory=Path("/mounted"),
        state=Path("/kept"),
        credentials=Path("/secret"),
        redis=ExchangeSettings(
            url=EXCHANGE["MESH7_EXCHANGE_URL"],
            authorities=(AUTHORITY,),
            token=Path("/var/run/mesh7/token"),
        ),
        listen=Address("::1", 7),
        admin=Address("::", 8),
        # As a `host` header has it: the kubelet asks an IPv6 pod in brackets.
        own_hosts=("10.1.2.3", "[fd00::3]"),
        api_server="10.96.0.1",
        dialled=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")),
        first_bundle_s=0.5,
        audit=AuditShare.DENIED,
        hold_s=0.0,
        telemetry=otlp.Settings(
            resource=RESOURCE, traces=otlp.Target(url="http://collector:4318/v1/traces")
        ),
        trace_share=0.25,
    )


def test_one_redis_for_everybody_is_read_without_its_password() -> None:
    assert pod_settings.read(LEAST | REDIS).redis == GivenRedis(
        server=RedisServer(
            host="redis", port=6380, user="everybody", database=1, is_tls=True,
            ca_file="/etc/mesh7/redis.pem",
        ),
        password_file=Path("/etc/mesh7/password"),
    )  # fmt: skip


@pytest.mark.parametrize("variable", LEAST)
@pytest.mark.parametrize("value", [None, "", "  "])
def test_what_is_required_and_missing_is_named(variable: str, value: str | None) -> None:
    environment = {**LEAST, variable: value or ""}
    if value is None:
        del environment[variable]
    with pytest.raises(errors.SettingsError, match=rf"^{variable} is not set – the injector"):
        pod_settings.read(environment)


@pytest.mark.parametrize("written", ["hello", "/etc/mesh7/ca.pem", AUTHORITY[:-10]])
def test_what_is_no_authority_is_refused(written: str) -> None:
    with pytest.raises(errors.SettingsError, match=r"^MESH7_EXCHANGE_AUTHORITIES: "):
        pod_settings.read(LEAST | EXCHANGE | {"MESH7_EXCHANGE_AUTHORITIES": written})


def test_who_vouches_for_the_collector_stands_in_a_variable() -> None:
    """docs/administrator/telemetry.md."""
    told = LEAST | {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector:4318",
        "MESH7_COLLECTOR_AUTHORITIES": AUTHORITY.strip(),
    }
    by_value = pod_settings.read(told).telemetry.traces
    by_file = pod_settings.read(told | {"OTEL_EXPORTER_OTLP_CERTIFICATE": "/ca.pem"})

    assert by_value is not None
    assert (by_value.authorities, by_value.authorities_pem) == ("", AUTHORITY)
    assert by_file.telemetry.traces is not None
    assert by_file.telemetry.traces.authorities_pem == ""
    assert by_file.telemetry.traces.authorities == "/ca.pem"
    with pytest.raises(errors.SettingsError, match=r"^MESH7_COLLECTOR_AUTHORITIES: "):
        pod_settings.read(told | {"MESH7_COLLECTOR_AUTHORITIES": "/ca.pem"})


def test_a_pod_sends_over_tls_to_the_collector_that_its_variable_vouches_for(
    tmp_path: Path,
) -> None:
    """What the chart's `telemetry.otlp.ca` comes to in a tenant's namespace: no file, no mount."""
    certificate, key = tmp_path / "ca.crt", tmp_path / "key.pem"
    pem = certificates.write_pair(certificate, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with otlp_receiver.running(context) as receiver:
        told = LEAST | {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
        read = pod_settings.read(told | {"MESH7_COLLECTOR_AUTHORITIES": pem})
        sending = exporter.of(read.telemetry)
        assert sending is not None
        sending.add(parts.span())
        sending.close(30)
        assert [span.name for span in receiver.spans()] == [parts.span().name]


@pytest.mark.parametrize("variable", ["MESH7_EXCHANGE_AUTHORITIES", "MESH7_TOKEN_FILE"])
def test_an_exchange_without_its_certificates_or_token_is_refused(variable: str) -> None:
    environment = LEAST | EXCHANGE
    del environment[variable]
    with pytest.raises(errors.SettingsError, match=f"^{variable} is not set"):
        pod_settings.read(environment)


GARBAGE = {
    "MESH7_NAMESPACE": ["shop}", "Shop", "shop/x", "a" * 64, "shop\nbank", "-"],
    "MESH7_SERVICE_ACCOUNT": ["Support", "a b", "support/x", "x" * 254],
    "MESH7_POD_NAME": ["support_1", "../x"],
    "MESH7_POD_UID": ["a b", "x" * 65, "uid:1"],
    "MESH7_TRUST_KEY": ["AAAA", "not base64", base64.b64encode(KEY + b"x").decode(), "ключ"],
    "MESH7_BUNDLE_FLOOR": ["-1", "1.5", "one", "9007199254740992", "٣", "1" * 400],
    "MESH7_OVERLAY_FLOOR": ["0x10"],
    "MESH7_POD_IP": ["pod", "10.0.0.1/8", "10.0.0.256"],
    "MESH7_EXCHANGE_URL": [
        "http://exchange", "exchange:8443", "https://", "https://user@exchange",
        "https://u:p@exchange", "https://exchange/path", "https://exchange?x", "https://a:b",
        "https://a:0", "HTTPS//x", "https://ex change", "https://[::1",
    ],
    "MESH7_LISTEN": ["7007", "127.0.0.1", "127.0.0.1:70000", "agent:7007", "127.0.0.1:²", ":7"],
    "MESH7_ADMIN": ["0.0.0.0",  # noqa: S104 - refused
        "0.0.0.0:-1", "nowhere:1"],
    "MESH7_DIALLED": ["10.0.0.0/33", "10.0.0.1/8", "everywhere"],
    "MESH7_HOLD": ["50", "soon", "-5s", "9999h"],
    "MESH7_FIRST_BUNDLE": ["20"],
    "MESH7_AUDIT": ["some", "ALL"],
    "MESH7_TRACE_SHARE": ["2", "-0.1", "1.01", "nan", "1e-2", "half", "0.1,0.2", "1" * 400],
}  # fmt: skip
"""Of variables that can mean nothing; a path can be any text."""


@pytest.mark.parametrize(
    ("variable", "value"), [(name, value) for name, values in GARBAGE.items() for value in values]
)
def test_what_means_nothing_is_named(variable: str, value: str) -> None:
    """docs/reference/pod-environment.md: it ends the program at once with a line that names it."""
    others = EXCHANGE if variable in EXCHANGE else {}
    with pytest.raises(errors.SettingsError, match=f"^{variable}: ") as refused:
        pod_settings.read({**LEAST, **others, variable: value})
    assert "\n" not in refused.value.message


@pytest.mark.parametrize("address", ["0.0.0.0:7007", "10.1.2.3:7007", "[::]:7007"])
def test_the_data_listener_stays_on_loopback(address: str) -> None:
    """Whoever reaches it is the agent, and nobody is asked who he is."""
    with pytest.raises(errors.SettingsError, match=r"MESH7_LISTEN: .* is beyond loopback"):
        pod_settings.read(LEAST | {"MESH7_LISTEN": address})


@pytest.mark.parametrize(
    ("url", "more"),
    [
        ("redis://:secret@redis", {}), ("http://redis", {}), ("redis:6379", {}), ("redis://", {}),
        ("redis://redis:0", {}), ("redis://redis/x", {}), ("redis://redis/0?x", {}),
        ("redis://redis", {"MESH7_REDIS_CA": "/ca.pem"}),
    ],
)  # fmt: skip
def test_a_redis_that_means_nothing_is_named_by_its_variables(
    url: str, more: Mapping[str, str]
) -> None:
    with pytest.raises(errors.SettingsError, match=r"^MESH7_REDIS_(URL|CA): ") as refused:
        pod_settings.read({**LEAST, "MESH7_REDIS_URL": url, **more})
    assert "--" not in refused.value.message
    assert "secret" not in refused.value.message


def test_an_exchange_and_a_redis_together_are_refused() -> None:
    with pytest.raises(errors.SettingsError, match="are both set – set one"):
        pod_settings.read(LEAST | EXCHANGE | REDIS)


def test_labels_are_read_as_the_downward_api_writes_them() -> None:
    text = 'app="support"\nmesh7.dev/hold=""\npod-template-hash="5d4f"'
    assert pod_settings.read_labels(text) == {
        "app": "support", "mesh7.dev/hold": "", "pod-template-hash": "5d4f",
    }  # fmt: skip
    assert pod_settings.read_labels("") == {}


@pytest.mark.parametrize("text", ["app=support", '="x"', 'app="x', "app", 'a="b"\n\nc="d"', '"'])
def test_labels_in_another_form_are_refused(text: str) -> None:
    with pytest.raises(errors.SettingsError, match=r"^MESH7_LABELS_FILE: "):
        pod_settings.read_labels(text)


class Recording(Mapping[str, str]):
    """An environment that remembers which variables were asked for."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def test_the_page_has_every_variable_and_no_other() -> None:
    """docs/reference/pod-environment.md lists what is read."""
    asked: set[str] = set()
    for more in ({}, EXCHANGE, REDIS):
        environment = Recording(LEAST | more)
        pod_settings.read(environment)
        asked |= environment.asked
    rows = re.findall(r"(?m)^\| (`[A-Z0-9_`, ]+) \|", PAGE.read_text("utf-8"))
    documented = {name for row in rows for name in re.findall(r"`([A-Z0-9_]+)`", row)}
    assert documented == asked


@pytest.mark.parametrize("variable", GARBAGE)
def test_the_table_of_garbage_knows_every_variable_that_is_no_path(variable: str) -> None:
    assert variable in PAGE.read_text("utf-8")
