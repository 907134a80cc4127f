"""What the operator's programs are started with: read once, frozen, handed down.

Only `main` builds these, from flags and `MESH7_…` variables; every other room is given what it
needs.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from mesh7_core import errors, names
from mesh7_core.injection.outcomes import Level

DEFAULT_METRICS: Final = "0.0.0.0:7009"
DEFAULT_LEASE: Final = "mesh7-controller"
DEFAULT_DOOR: Final = "0.0.0.0:8443"
DEFAULT_SPREAD_S: Final = 600.0
DEFAULT_GRACE_S: Final = 10.0
DEFAULT_AUDIT_S: Final = 30.0
DEFAULT_AUDIT_RETENTION_S: Final = 7 * 86_400.0
DEFAULT_AUDIT_BYTES: Final = 32 * 1024 * 1024
DEFAULT_PATIENCE_S: Final = 60.0
SWEEPERS: Final = "sweep-"
"""How the names of those who hold the Lease for a sweep begin."""
_HIGHEST_PORT: Final = 65_535


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP address to listen on; an IPv6 host is kept without brackets; port 0 = any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def read_address(text: str) -> Address:
    """`host:port`, an IPv6 host in brackets.

    Raises:
        SettingsError: it is something else.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or int(port) > _HIGHEST_PORT:
        raise errors.SettingsError(f"`{text}` is no address to listen on; write `0.0.0.0:7009`")
    return Address(host.removeprefix("[").removesuffix("]"), int(port))


class RedisMode(StrEnum):
    """Who makes the credentials that sidecars use with Redis."""

    MANAGED = "managed"
    """The controller keeps one short-lived user per namespace on every node."""
    GIVEN = "given"
    """One credential, made by people, for all namespaces: weaker, and documented so."""
    NONE = "none"
    """There is no Redis: bundles come by ConfigMap alone."""


class Certificates(StrEnum):
    """Whose business the certificates of injector and exchange are."""

    SELF = "self"
    """The controller's: it has an authority of its own."""
    CERT_MANAGER = "cert-manager"
    """cert-manager makes them, and has the webhooks trusted by their authority."""
    EXTERNAL = "external"
    """People make them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisSettings:
    """Where Redis is, and as whom the operator speaks to it.

    Attributes:
        url: `redis://` or, with TLS, `rediss://`; may name the user, never the password.
        nodes: every node where users and the function library are kept; the one when not said.
        password_file: read at each connection, so that it may be rotated; None = none is sent.
        ca: certificates that vouch for a `rediss://` server; None = the system's.
        mode: never `none`: then there are no such settings.
    """

    url: str
    nodes: tuple[str, ...]
    password_file: Path | None = None
    ca: Path | None = None
    mode: RedisMode = RedisMode.MANAGED

    def password(self) -> str | None:
        """What the file holds now, without blanks around it.

        Raises:
            SettingsError: it cannot be read, or it is empty.
        """
        if self.password_file is None:
            return None
        return _secret_in(self.password_file, "--redis-password-file")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """How the API server is reached, and where the operator is installed.

    Attributes:
        kubeconfig: for development; None = the service account that is mounted in the pod.
        in_cluster_url: of the API server as pods see it; empty = this is no pod.
    """

    release_namespace: str = names.RELEASE_NAMESPACE
    kubeconfig: Path | None = None
    in_cluster_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """The controller.

    Attributes:
        identity: holder of the Lease, unique to this process.
        redis: None = bundles come by ConfigMap alone.
        metrics: where `/metrics`, `/healthz` and `/readyz` are answered.
        sidecar_redis: where sidecars reach Redis; empty = where we do.
        default_level: of namespaces whose label names none.
        may_opt_out: whether pods of an `enabled` namespace may go without a sidecar.
        sidecar_image: that of pods made today; empty = images are not compared.
        sidecar_collector: where sidecars send telemetry; guarded ones may get there.
        audit_s: from one look at all pods to the next.
        audit_retention_s: how long a namespace's audit is kept in Redis.
        audit_most_bytes: of what pods wrote; beyond, the oldest of who wrote most goes.
        certificates: whose business those of injector and exchange are.
        spread_s: how long a new authority is published before it issues.
        is_redis_embedded: the Redis is the release's own, and its users ours to make.
    """

    cluster: Cluster
    identity: str
    redis: RedisSettings | None = None
    metrics: Address = Address("0.0.0.0", 7009)  # noqa: S104 - the kubelet dials the pod's address
    lease_name: str = DEFAULT_LEASE
    sidecar_redis: str = ""
    default_level: Level = Level.COOPERATIVE
    may_opt_out: bool = False
    sidecar_image: str = ""
    sidecar_collector: str = ""
    audit_s: float = DEFAULT_AUDIT_S
    audit_retention_s: float = DEFAULT_AUDIT_RETENTION_S
    audit_most_bytes: int = DEFAULT_AUDIT_BYTES
    certificates: Certificates = Certificates.SELF
    spread_s: float = DEFAULT_SPREAD_S
    is_redis_embedded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """The exchange.

    Attributes:
        listen: where tokens are exchanged, over TLS.
        certificate: PEM, with the chain that leads to what sidecars trust.
        private_key: the certificate's, PEM.
        redis: what sidecars are told of; with mode `given`, user and password of it are handed
            out. None = there is no Redis.
        master: the file with the secret that passwords follow from; needed in mode `managed`.
        metrics: where `/metrics`, `/healthz` and `/readyz` are answered, plain.
        grace_s: how long it serves on after it was told to end, for Services learn late.
    """

    cluster: Cluster
    listen: Address
    certificate: Path
    private_key: Path
    redis: RedisSettings | None
    master: Path | None = None
    metrics: Address = Address("0.0.0.0", 7009)  # noqa: S104 - the kubelet dials the pod's address
    grace_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Injector:
    """The injector.

    Attributes:
        listen: where the API server asks, over TLS.
        certificate: PEM; it may come later than the program, and change.
        private_key: the certificate's, PEM.
        stamp_key: 32 random bytes that grants are stamped with.
        injection: what pods get (`mesh7_core.injection.settings`).
        trust: a folder with the file `key`, the public key that bundles are signed with.
        authorities: PEM; certificates that vouch for the exchange. None = there is none.
        api_server: its address as pods see it; empty = not known.
        metrics: where `/metrics`, `/healthz` and `/readyz` are answered, plain.
        grace_s: how long it serves on after it was told to end, for Services learn late.
    """

    cluster: Cluster
    listen: Address
    certificate: Path
    private_key: Path
    stamp_key: Path
    injection: Path
    trust: Path
    authorities: Path | None = None
    api_server: str = ""
    metrics: Address = Address("0.0.0.0", 7009)  # noqa: S104 - the kubelet dials the pod's address
    grace_s: float = DEFAULT_GRACE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """The end of an installation.

    Attributes:
        identity: holder of the Lease meanwhile, so that no controller makes anything anew.
        keeps_keys: signing and stamp keys stay: what is installed next is believed by pods that
            run now.
        is_real: False = what would be removed is only told.
    """

    cluster: Cluster
    identity: str
    lease_name: str = DEFAULT_LEASE
    keeps_keys: bool = False
    is_real: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify:
    """A look at whether pods are guarded.

    Attributes:
        namespace: an enrolled one, in which a pod is made that is not stored.
        patience_s: how long it is tried again.
    """

    cluster: Cluster
    namespace: str
    patience_s: float


def _secret_in(path: Path, flag: str) -> str:
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.SettingsError(f"{flag} `{path}`: cannot be read: {error}") from error
    if not secret:
        raise errors.SettingsError(f"{flag} `{path}`: is empty; write the password into it")
    return secret
