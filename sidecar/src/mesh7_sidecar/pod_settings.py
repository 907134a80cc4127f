"""What a sidecar in a pod is started with: environment variables, read strictly, frozen.

The injector writes them into the pod; `docs/reference/pod-environment.md` lists them.
Pure: no clock, no network, no logging.
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mesh7_core import errors, names
from mesh7_core.api.objects import DNS_LABEL
from mesh7_core.api.quantities import BadQuantity, parse_duration
from mesh7_core.delivery import authorities, envelopes, trust
from mesh7_core.ledger import protocol, redis_url
from mesh7_core.ledger.redis_url import RedisServer
from mesh7_core.otlp import settings as otlp
from mesh7_sidecar.settings import (
    DEFAULT_ADMIN_PORT,
    DEFAULT_HOLD_S,
    DEFAULT_LISTEN_PORT,
    DEFAULT_TRACE_SHARE,
    NO_TELEMETRY,
    Address,
    AuditShare,
    Patience,
)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
LISTEN: Final = Address("127.0.0.1", DEFAULT_LISTEN_PORT)
ADMIN: Final = Address("0.0.0.0", DEFAULT_ADMIN_PORT)  # noqa: S104 - the kubelet asks there
FIRST_BUNDLE_S: Final = 20.0
_KEY_BYTES: Final = 32
_PREFIX: Final = "MESH7_"
_MOST_PORT: Final = 65_535
_LARGEST_VERSION: Final = 2**53 - 1
_NAMESPACE: Final = re.compile(rf"(?=.{{1,63}}\Z){DNS_LABEL}")
_NAME: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_EXCHANGE: Final = re.compile(r"https://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?/?")
_SHARE: Final = re.compile(r"0|1|1\.0{1,9}|0?\.[0-9]{1,9}")
_UID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_FLAGS: Final = (
    ("--redis-password-file", "MESH7_REDIS_PASSWORD_FILE"),
    ("--redis-ca", "MESH7_REDIS_CA"),
    ("--redis", "MESH7_REDIS_URL"),
)
"""What the same settings are called where mesh7 is started with flags; longest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeSettings:
    """Where the pod's token is exchanged for Redis credentials.

    Attributes:
        url: `https://…`, without a path.
        authorities: certificates that vouch for it, beside those of the bundle in force.
        token: the file with the projected token; read anew for each exchange.
    """

    url: str
    authorities: tuple[str, ...]
    token: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenRedis:
    """One credential that was given to everybody (a weaker mode, docs/administrator/redis.md).

    Attributes:
        server: without its password.
        password_file: read once, at the start; None = there is no password.
    """

    server: RedisServer
    password_file: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSettings:
    """One sidecar.

    Attributes:
        agent: the pod's service account.
        pod: its name.
        uid: of the pod.
        labels_file: the downward API's file of the pod's labels; None = it has none.
        trust: the first key, and the floors that the Namespace had when the pod was made.
        bundle_directory: where ConfigMap `mesh7-bundle` is mounted.
        first_bundle_s: how long calls wait for a first bundle and overlay at most.
        state: what outlives a restart of the container (an emptyDir).
        credentials: where Secret `mesh7-tool-credentials` is mounted; None = nowhere.
        redis: None = no store is configured; limits do what `onStoreLoss` says.
        listen: on loopback, for whoever reaches it is the agent.
        own_hosts: the pod's addresses, IPv6 in brackets; the exchange is at none of them.
        api_server: its address, which no source may have; empty when not known.
        dialled: networks that sources may lie in although a pod does not dial them as a rule.
        telemetry: where traces, metrics and logs are sent.
        trace_share: of all calls, 0 to 1; how many are traced where traces are sent.
    """

    agent: str
    pod: str
    uid: str
    labels_file: Path | None
    trust: trust.Trust
    bundle_directory: Path
    state: Path
    credentials: Path | None
    redis: ExchangeSettings | GivenRedis | None
    listen: Address
    admin: Address
    own_hosts: tuple[str, ...] = ()
    api_server: str = ""
    dialled: tuple[Network, ...] = ()
    first_bundle_s: float = FIRST_BUNDLE_S
    audit: AuditShare = AuditShare.ALL
    telemetry: otlp.Settings = NO_TELEMETRY
    trace_share: float = DEFAULT_TRACE_SHARE
    hold_s: float = DEFAULT_HOLD_S
    patience: Patience = field(default_factory=Patience)
    caps: protocol.Caps = field(default_factory=protocol.Caps)

    @property
    def namespace(self) -> str:
        """Of the pod."""
        return self.trust.namespace


def read(environment: Mapping[str, str]) -> PodSettings:
    """The settings that the variables mean.

    Raises:
        SettingsError: one is missing or means nothing; the message names it.
    """
    found = _Variables(environment)
    return PodSettings(
        agent=found.named("SERVICE_ACCOUNT", _NAME),
        pod=found.named("POD_NAME", _NAME),
        uid=found.named("POD_UID", _UID),
        labels_file=found.path("LABELS_FILE"),
        trust=trust.Trust(
            namespace=found.named("NAMESPACE", _NAMESPACE),
            keys=(found.key("TRUST_KEY"),),
            floors={
                envelopes.Kind.BUNDLE: found.number("BUNDLE_FLOOR"),
                envelopes.Kind.OVERLAY: found.number("OVERLAY_FLOOR"),
            },
        ),
        bundle_directory=found.path("BUNDLE_DIR") or Path("/etc/mesh7/bundle"),
        state=found.path("STATE") or Path("/var/lib/mesh7/state"),
        credentials=found.path("CREDENTIALS"),
        redis=_redis(found),
        listen=_loopback(found.address("LISTEN", LISTEN)),
        admin=found.address("ADMIN", ADMIN),
        own_hosts=tuple(found.host(text) for text in found.words("POD_IP")),
        api_server=environment.get("KUBERNETES_SERVICE_HOST", ""),
        dialled=tuple(found.network(text) for text in found.words("DIALLED")),
        first_bundle_s=found.seconds("FIRST_BUNDLE", FIRST_BUNDLE_S),
        audit=found.audit(),
        hold_s=found.seconds("HOLD", DEFAULT_HOLD_S),
        telemetry=otlp.read(environment, _resource(found), _vouching(found)),
        trace_share=found.share("TRACE_SHARE", DEFAULT_TRACE_SHARE),
    )


def _resource(found: "_Variables") -> dict[str, str]:
    """Whose telemetry it is."""
    return {
        "service.name": "mesh7-sidecar",
        "service.version": names.RELEASE,
        "service.instance.id": found.optional("POD_UID"),
        "k8s.namespace.name": found.optional("NAMESPACE"),
        "k8s.pod.name": found.optional("POD_NAME"),
        "k8s.pod.uid": found.optional("POD_UID"),
    }


def _vouching(found: "_Variables") -> str:
    """For the collector, PEM; empty = the system's authorities do."""
    name = "COLLECTOR_AUTHORITIES"
    return "".join(found.authorities(name)) if found.optional(name) else ""


def read_labels(text: str) -> dict[str, str]:
    """Labels as the downward API writes them: `key="value"`, one a line.

    Raises:
        SettingsError: the file is something else.
    """
    found = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        # Label values have no quote and no backslash in them, so nothing is escaped.
        if not (equals and key) or len(value) < 2 or value[0] != '"' or value[-1] != '"':  # noqa: PLR2004
            raise errors.SettingsError(
                f'{_PREFIX}LABELS_FILE: a line is not of the form `key="value"` – mount the '
                "downward API's `metadata.labels` there"
            )
        found[key] = value[1:-1]
    return found


def _redis(found: "_Variables") -> ExchangeSettings | GivenRedis | None:
    exchange, url = found.optional("EXCHANGE_URL"), found.optional("REDIS_URL")
    if exchange and url:
        raise errors.SettingsError(
            f"{_PREFIX}EXCHANGE_URL and {_PREFIX}REDIS_URL are both set – set one"
        )
    if exchange:
        return ExchangeSettings(
            url=_exchange_url(exchange),
            authorities=found.authorities("EXCHANGE_AUTHORITIES"),
            token=Path(found.text("TOKEN_FILE")),
        )
    if url:
        return GivenRedis(
            server=_server(url, found.optional("REDIS_CA")),
            password_file=found.path("REDIS_PASSWORD_FILE"),
        )
    return None


def _exchange_url(text: str) -> str:
    found = _EXCHANGE.fullmatch(text)
    port = found[1] if found is not None else None
    if found is None or not 0 < int(port or "443") <= _MOST_PORT:
        raise errors.SettingsError(
            f"{_PREFIX}EXCHANGE_URL: a token is sent there – give `https://HOST:PORT` and no more"
        )
    return text.removesuffix("/")


def _server(url: str, ca: str) -> RedisServer:
    try:
        return redis_url.parse_url(url, ca_file=ca or None)
    except errors.SettingsError as error:
        message = error.message
        for flag, variable in _FLAGS:
            message = message.replace(flag, variable)
        raise errors.SettingsError(message) from error


def _loopback(address: Address) -> Address:
    try:
        is_loopback = ipaddress.ip_address(address.host).is_loopback
    except ValueError:
        is_loopback = address.host == "localhost"
    if not is_loopback:
        raise errors.SettingsError(
            f"{_PREFIX}LISTEN: `{address}` is beyond loopback, where any pod could call as this "
            "agent – give 127.0.0.1"
        )
    return address


class _Variables:
    """Environment variables `MESH7_…`, each read as what it has to be."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def optional(self, name: str) -> str:
        return self._environment.get(_PREFIX + name, "").strip()

    def text(self, name: str) -> str:
        found = self.optional(name)
        if not found:
            raise errors.SettingsError(
                f"{_PREFIX}{name} is not set – the injector sets it; see "
                "docs/reference/pod-environment.md"
            )
        return found

    def named(self, name: str, pattern: re.Pattern[str]) -> str:
        found = self.text(name)
        if not pattern.fullmatch(found):
            raise self._wrong(name, "Kubernetes has no such name")
        return found

    def path(self, name: str) -> Path | None:
        found = self.optional(name)
        return Path(found) if found else None

    def words(self, name: str) -> list[str]:
        return self.optional(name).replace(",", " ").split()

    def number(self, name: str) -> int:
        found = self.optional(name) or "0"
        is_number = found.isascii() and found.isdigit() and len(found) < 17  # noqa: PLR2004
        if not is_number or int(found) > _LARGEST_VERSION:
            raise self._wrong(name, f"no whole number up to {_LARGEST_VERSION}")
        return int(found)

    def key(self, name: str) -> bytes:
        try:
            found = base64.b64decode(self.text(name), validate=True)
        except (binascii.Error, ValueError):
            found = b""
        if len(found) != _KEY_BYTES:
            raise self._wrong(name, "no Ed25519 public key in base64")
        return found

    def authorities(self, name: str) -> tuple[str, ...]:
        try:
            found = authorities.read(self.text(name))
        except errors.BundleError as error:
            raise self._wrong(name, error.message) from error
        if not found:
            raise self._wrong(name, "no certificates in PEM")
        return found

    def seconds(self, name: str, default: float) -> float:
        found = self.optional(name)
        try:
            return parse_duration(found).total_seconds() if found else default
        except BadQuantity as error:
            raise errors.SettingsError(f"{_PREFIX}{name}: {error.message}") from error

    def share(self, name: str, default: float) -> float:
        found = self.optional(name)
        if not found:
            return default
        if not _SHARE.fullmatch(found):
            raise self._wrong(name, "no number from 0 to 1, such as `0.01`")
        return float(found)

    def address(self, name: str, default: Address) -> Address:
        found = self.optional(name)
        if not found:
            return default
        host, _, port = found.rpartition(":")
        is_port = port.isascii() and port.isdigit() and len(port) < 6  # noqa: PLR2004
        if not is_port or int(port) > _MOST_PORT:
            raise self._wrong(name, "no `ADDRESS:PORT`")
        host = host.removeprefix("[").removesuffix("]")
        try:
            return Address(str(ipaddress.ip_address(host)), int(port))
        except ValueError as error:
            if host != "localhost":
                raise self._wrong(name, "no `ADDRESS:PORT`") from error
            return Address(host, int(port))

    def host(self, text: str) -> str:
        try:
            return Address(str(ipaddress.ip_address(text)), 0).authority
        except ValueError as error:
            raise self._wrong("POD_IP", f"`{text}` is no address") from error

    def network(self, text: str) -> Network:
        try:
            return ipaddress.ip_network(text)
        except ValueError as error:
            raise self._wrong("DIALLED", f"`{text}` is no network, such as `10.0.0.0/8`") from error

    def audit(self) -> AuditShare:
        found = self.optional("AUDIT") or AuditShare.ALL
        try:
            return AuditShare(found)
        except ValueError as error:
            raise self._wrong("AUDIT", "none of `all`, `denied`, `off`") from error

    def _wrong(self, name: str, why: str) -> errors.SettingsError:
        return errors.SettingsError(
            f"{_PREFIX}{name}: {why} – see docs/reference/pod-environment.md"
        )
