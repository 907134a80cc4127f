"""What a release says of injection: its ConfigMap `mesh7-injection`, read strictly.

The chart writes it, the injector mounts it, `kubectl mesh7 inject` reads it from the cluster.
Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mesh7_core import names
from mesh7_core.injection import written
from mesh7_core.injection.outcomes import Level

KEY: Final = "injection.yaml"
"""Of the ConfigMap."""
USER: Final = 77007
"""Who the sidecar runs as; no image's usual one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Of one container, spelled as Kubernetes does; from measurement (performance.md).

    Attributes:
        memory_limit: also what an annotation may ask for at most, times four.
    """

    cpu_request: str = "50m"
    memory_request: str = "96Mi"
    memory_limit: str = "256Mi"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """Where sidecars get Redis credentials.

    Attributes:
        url: `https://mesh7-exchange.<release namespace>.svc`.
        is_redis_encrypted: whether the Redis behind it speaks TLS; Guarded asks for it.
    """

    url: str
    is_redis_encrypted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One release's.

    Attributes:
        image: of the sidecar, with tag or digest.
        user: its UID and GID.
        default_level: where a Namespace names none.
        may_opt_out: whether `mesh7.dev/inject: "false"` counts in an `enabled` namespace.
        exchange: None = bundles come by ConfigMap alone, limits are not shared.
        collector_authorities: PEM; vouch for where sidecars send telemetry; empty = the system's.
        variables: further ones of the sidecar (`MESH7_HOLD`, `OTEL_EXPORTER_OTLP_ENDPOINT` ...,
            docs/reference/pod-environment.md); none of those that injection itself sets.
    """

    image: str
    pull_policy: str = "IfNotPresent"
    release_namespace: str = names.RELEASE_NAMESPACE
    user: int = USER
    default_level: Level = Level.COOPERATIVE
    may_opt_out: bool = False
    exchange: Exchange | None = None
    collector_authorities: str = ""
    resources: Resources = Resources()
    variables: Mapping[str, str] = field(default_factory=dict)


def read(text: str) -> Settings:
    """The settings that the YAML means: `apiVersion: mesh7.dev/v1alpha1`, `kind: Injection`.

    Raises:
        SettingsError: a key is unknown, missing or means nothing; the message names it.
    """
    found = written.injection(KEY, text)
    exchange = found.exchange
    return Settings(
        image=found.image,
        pull_policy=found.pull_policy,
        release_namespace=found.release_namespace,
        user=found.user,
        default_level=Level(found.default_level),
        may_opt_out=found.may_opt_out,
        exchange=None
        if exchange is None
        else Exchange(url=exchange.url, is_redis_encrypted=exchange.is_redis_encrypted),
        collector_authorities=found.collector_authorities,
        resources=Resources(
            cpu_request=found.resources.cpu_request,
            memory_request=found.resources.memory_request,
            memory_limit=found.resources.memory_limit,
        ),
        variables=dict(found.variables),
    )
