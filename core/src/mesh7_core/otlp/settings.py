"""Where telemetry goes: the usual `OTEL_…` variables, read once into values.

Source: OpenTelemetry's "Environment Variable Specification" and "OTLP Exporter Configuration",
of which OTLP/HTTP with protobuf is spoken here; times are milliseconds, as they say. A signal
without an endpoint is off. Pure: no clock, no network, no logging.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from mesh7_core import errors

_PROTOCOL: Final = "http/protobuf"
_EXPORTERS: Final = frozenset({"otlp", "none", "prometheus"})
"""Of metrics, `prometheus` changes nothing: `/metrics` answers in any case."""
_COMPRESSIONS: Final = frozenset({"gzip", "none"})
# RFC 9110's token, and what a header line can hold.
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
DEFAULT_TIMEOUT_MS: Final = 10_000
DEFAULT_QUEUE: Final = 2_048
DEFAULT_BATCH: Final = 512
DEFAULT_DELAY_MS: Final = 1_000
"""Shorter than the specification's 5,000: what is dropped at a crash is a second's."""
DEFAULT_INTERVAL_MS: Final = 60_000
MOST_WAITING: Final = 1_000_000
MOST_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where one signal goes.

    Attributes:
        url: whole, with the signal's path.
        headers: sent with each request; may be secrets, so they are not shown.
        timeout_s: of one batch, with all that is tried again for it.
        is_compressed: by gzip.
        authorities: a file of PEM certificates that vouch for the collector; empty = none.
        authorities_pem: such certificates themselves; empty = those of the file, else the system's.
        certificate, private_key: PEM, ours, for a collector that asks; empty = none.
        most_waiting: items that may wait to be sent; those beyond are dropped.
        batch: items of one request, at most.
        delay_s: how long an item waits for others, at most; of metrics, from one to the next.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_s: float = DEFAULT_TIMEOUT_MS / 1000
    is_compressed: bool = False
    authorities: str = ""
    authorities_pem: str = ""
    certificate: str = ""
    private_key: str = ""
    most_waiting: int = DEFAULT_QUEUE
    batch: int = DEFAULT_BATCH
    delay_s: float = DEFAULT_DELAY_MS / 1000

    @property
    def place(self) -> str:
        """Scheme, host and port: what may be shown of it."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that is sent; a signal that is None is off.

    Attributes:
        resource: whose telemetry it is: `service.…`, `k8s.…`.
    """

    resource: Mapping[str, str]
    traces: Target | None = None
    metrics: Target | None = None
    logs: Target | None = None


def read(
    environment: Mapping[str, str], known: Mapping[str, str], authorities_pem: str = ""
) -> Settings:
    """What the variables say. Traces go where an endpoint is; metrics and logs only if asked for.

    Asked for is a signal whose `OTEL_<SIGNAL>_EXPORTER` names `otlp`, or that has an endpoint of
    its own.

    Args:
        environment: empty values count as not set.
        known: resource attributes that the program knows of itself, among them `service.name`;
            `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` win.
        authorities_pem: vouch for collectors for which no variable names a file.

    Raises:
        SettingsError: a variable of a signal that is on cannot be used; the message names it, and
            never quotes a header.
    """
    said = {name: value.strip() for name, value in environment.items() if value.strip()}
    resource = dict(known) | _pairs(said, "OTEL_RESOURCE_ATTRIBUTES")
    if "OTEL_SERVICE_NAME" in said:
        resource["service.name"] = said["OTEL_SERVICE_NAME"]
    if said.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return Settings(resource=resource)
    return Settings(
        resource=resource,
        traces=_target(said, "TRACES", authorities_pem),
        metrics=_target(said, "METRICS", authorities_pem),
        logs=_target(said, "LOGS", authorities_pem),
    )


def _target(said: Mapping[str, str], signal: str, authorities_pem: str) -> Target | None:
    if not _is_on(said, signal):
        return None
    url = _url(said, signal)
    if url is None:
        return None
    _refuse_other_protocols(said, signal)
    waiting = _count(said, _bounds(signal, "MAX_QUEUE_SIZE"), DEFAULT_QUEUE, MOST_WAITING)
    batch = _count(said, _bounds(signal, "MAX_EXPORT_BATCH_SIZE"), DEFAULT_BATCH, MOST_WAITING)
    authorities = said.get(_name(said, signal, "CERTIFICATE"), "")
    return Target(
        url=url,
        headers=_headers(said, signal),
        timeout_s=_count(said, _name(said, signal, "TIMEOUT"), DEFAULT_TIMEOUT_MS, MOST_MS) / 1000,
        is_compressed=_compression(said, signal) == "gzip",
        authorities=authorities,
        authorities_pem="" if authorities else authorities_pem,
        certificate=said.get(_name(said, signal, "CLIENT_CERTIFICATE"), ""),
        private_key=said.get(_name(said, signal, "CLIENT_KEY"), ""),
        most_waiting=waiting,
        batch=min(batch, waiting),
        delay_s=_delay_ms(said, signal) / 1000,
    )


def _is_on(said: Mapping[str, str], signal: str) -> bool:
    name = f"OTEL_{signal}_EXPORTER"
    chosen = {one.strip().lower() for one in said.get(name, "").split(",")} - {""}
    unknown = sorted(chosen - _EXPORTERS)
    if unknown:
        raise errors.SettingsError(
            f"{name}: `{unknown[0]}` is not served; write `otlp`, or `none` to switch it off"
        )
    if chosen:
        return "otlp" in chosen
    return signal == "TRACES" or f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT" in said


def _name(said: Mapping[str, str], signal: str, setting: str) -> str:
    """The variable that counts: the signal's own, else the one for all."""
    own = f"OTEL_EXPORTER_OTLP_{signal}_{setting}"
    return own if own in said else f"OTEL_EXPORTER_OTLP_{setting}"


def _bounds(signal: str, setting: str) -> str:
    return f"OTEL_{'BLRP' if signal == 'LOGS' else 'BSP'}_{setting}"


def _delay_ms(said: Mapping[str, str], signal: str) -> int:
    if signal == "METRICS":
        return _count(said, "OTEL_METRIC_EXPORT_INTERVAL", DEFAULT_INTERVAL_MS, MOST_MS)
    return _count(said, _bounds(signal, "SCHEDULE_DELAY"), DEFAULT_DELAY_MS, MOST_MS)


def _url(said: Mapping[str, str], signal: str) -> str | None:
    name = _name(said, signal, "ENDPOINT")
    text = said.get(name)
    if text is None:
        return None
    try:
        parts = urlsplit(text)
        is_address = parts.scheme in {"http", "https"} and bool(parts.hostname)
        is_address = is_address and (parts.port is None or parts.port > 0)
    except ValueError:
        is_address = False
    # An address with a password in it is not quoted.
    if not is_address:
        raise errors.SettingsError(
            f"{name}: is no address of a collector; write `http://collector.example:4318`"
        )
    if name == "OTEL_EXPORTER_OTLP_ENDPOINT":
        return f"{text.rstrip('/')}/v1/{signal.lower()}"
    return text


def _refuse_other_protocols(said: Mapping[str, str], signal: str) -> None:
    name = _name(said, signal, "PROTOCOL")
    protocol = said.get(name, _PROTOCOL)
    if protocol != _PROTOCOL:
        raise errors.SettingsError(
            f"{name}: `{protocol}` is not spoken here; write `{_PROTOCOL}` and give the "
            "collector's HTTP port, which is usually 4318"
        )


def _compression(said: Mapping[str, str], signal: str) -> str:
    name = _name(said, signal, "COMPRESSION")
    chosen = said.get(name, "none").lower()
    if chosen not in _COMPRESSIONS:
        raise errors.SettingsError(f"{name}: `{chosen}` is not served; write `gzip` or `none`")
    return chosen


def _headers(said: Mapping[str, str], signal: str) -> dict[str, str]:
    name = _name(said, signal, "HEADERS")
    pairs = _pairs(said, name)
    for header, value in pairs.items():
        if not _HEADER_NAME.fullmatch(header) or not _HEADER_VALUE.fullmatch(value):
            raise errors.SettingsError(
                f"{name}: holds something that is no header; write `name=value,other=value`, "
                "with `%2C` for a comma"
            )
    return {header.lower(): value for header, value in pairs.items()}


def _pairs(said: Mapping[str, str], name: str) -> dict[str, str]:
    pairs = {}
    for number, part in enumerate(said.get(name, "").split(","), 1):
        key, equals, value = part.strip().partition("=")
        if not part.strip():
            continue
        if not key.strip() or not equals:
            raise errors.SettingsError(
                f"{name}: part {number} has no name and value; write `name=value,other=value`"
            )
        pairs[unquote(key.strip())] = unquote(value.strip())
    return pairs


def _count(said: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = said.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:12]) <= most:
        raise errors.SettingsError(f"{name}: `{text}` is no number from 1 to {most}")
    return int(text)
