"""Flags that several commands share, and the values that they are read into.

Part of the composition root, so the environment is read here, too.
"""

import asyncio
import functools
import json
import os
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Final

import click

from mesh7_core import errors, names
from mesh7_core.api.quantities import BadQuantity, parse_duration, parse_size
from mesh7_operator import settings

FILE: Final = click.Path(path_type=Path, dir_okay=False)
FOLDER: Final = click.Path(path_type=Path, file_okay=False)
Command = Callable[..., None]


class _AddressType(click.ParamType[settings.Address]):
    """`host:port`."""

    name = "address"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> settings.Address:
        try:
            return settings.read_address(str(value))
        except errors.SettingsError as error:
            self.fail(error.message, param, ctx)


class _DurationType(click.ParamType[float]):
    """`168h`, in seconds."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            return parse_duration(value).total_seconds()
        except BadQuantity as error:
            self.fail(error.message, param, ctx)


class _SizeType(click.ParamType[int]):
    """`32Mi`, in bytes."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        try:
            return parse_size(value)
        except BadQuantity as error:
            self.fail(error.message, param, ctx)


ADDRESS: Final = _AddressType()
output: Final = click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to print it."
)
metrics: Final = click.option(
    "--metrics-address",
    type=ADDRESS,
    default=settings.DEFAULT_METRICS,
    help="Where `/metrics`, `/healthz` and `/readyz` are answered.",
)


def teller(output: str) -> Callable[[Mapping[str, object]], None]:
    """Prints a line of what was done, as text or as JSON."""

    def tell(line: Mapping[str, object]) -> None:
        text = " ".join(str(value) for value in line.values() if value)
        click.echo(json.dumps(line) if output == "json" else text)

    return tell


def print_secret(
    found: Coroutine[object, object, Mapping[str, object]], output: str, said: str
) -> None:
    """Print what was found as JSON, or what is said of it as text."""
    try:
        shown = asyncio.run(found)
    except errors.Mesh7Error as error:
        raise click.ClickException(error.message) from error
    click.echo(json.dumps(shown, indent=2) if output == "json" else shown[said])


trace_share: Final = click.option(
    "--trace-share",
    type=click.FloatRange(0, 1),
    default=0.01,
    help="Of this program's own work, where OTEL_EXPORTER_OTLP_ENDPOINT says whereto.",
)


sidecar_collector: Final = click.option(
    "--sidecar-collector",
    default="",
    metavar="URL",
    help="Where sidecars send telemetry; guarded pods may get there.",
)


def audit_kept(command: Command) -> Command:
    """Give a command `audit_retention`, in seconds, and `audit_max_bytes`."""
    command = click.option(
        "--audit-max-bytes",
        type=_SizeType(),
        default="32Mi",
        metavar="SIZE",
        help="How much of each namespace's audit is kept in Redis.",
    )(command)
    return click.option(
        "--audit-retention",
        type=_DurationType(),
        default="168h",
        metavar="DURATION",
        help="How long it is kept.",
    )(command)


def cluster(command: Command) -> Command:
    """Give a command `cluster: settings.Cluster`: where the operator is, where the API server."""

    @click.option("--kubeconfig", type=FILE, help="For development; else the pod's account.")
    @click.option(
        "--release-namespace",
        default=names.RELEASE_NAMESPACE,
        help="Where the operator is installed; its AgentPolicies are the baseline.",
    )
    @functools.wraps(command)
    def with_cluster(kubeconfig: Path | None, release_namespace: str, **rest: object) -> None:
        cluster = settings.Cluster(
            release_namespace=release_namespace,
            kubeconfig=kubeconfig,
            in_cluster_url=_in_cluster_url(),
        )
        command(cluster=cluster, **rest)

    return with_cluster


def api_server() -> str:
    """Its address as the kubelet tells pods of this namespace; empty outside of a cluster."""
    return os.environ.get("KUBERNETES_SERVICE_HOST", "")


def _in_cluster_url() -> str:
    """Where the kubelet says that the API server is; empty outside of a cluster."""
    host = api_server()
    port = int(os.environ.get("KUBERNETES_SERVICE_PORT", "443"))
    return f"https://{settings.Address(host, port)}" if host else ""


def redis(command: Command) -> Command:
    """Give a command `redis: settings.RedisSettings | None`."""

    @click.option("--redis", metavar="URL", help="redis:// or rediss://; names no password.")
    @click.option(
        "--redis-node",
        "nodes",
        envvar="MESH7_REDIS_NODE",
        multiple=True,
        metavar="URL",
        help="Every node where users and functions are kept; the one by default.",
    )
    @click.option(
        "--redis-password-file",
        "password_file",
        envvar="MESH7_REDIS_PASSWORD_FILE",
        type=FILE,
        help="The password of the operator's own user.",
    )
    @click.option(
        "--redis-ca",
        "ca",
        envvar="MESH7_REDIS_CA",
        type=FILE,
        help="PEM certificates that vouch for rediss://.",
    )
    @click.option(
        "--redis-mode",
        "mode",
        envvar="MESH7_REDIS_MODE",
        type=click.Choice([mode.value for mode in settings.RedisMode]),
        default=settings.RedisMode.MANAGED.value,
        help="`managed`: users are kept per namespace; `given`: one for all; `none`: no Redis.",
    )
    @functools.wraps(command)
    def with_redis(
        redis: str | None,
        nodes: tuple[str, ...],
        password_file: Path | None,
        ca: Path | None,
        mode: str,
        **rest: object,
    ) -> None:
        if mode == settings.RedisMode.NONE:
            command(redis=None, **rest)
            return
        if not redis:
            raise click.UsageError(
                "--redis: is missing; name the server, or say --redis-mode none to do without"
            )
        server = settings.RedisSettings(
            url=redis,
            nodes=nodes or (redis,),
            password_file=password_file,
            ca=ca,
            mode=settings.RedisMode(mode),
        )
        command(redis=server, **rest)

    return with_redis


def tls(command: Command) -> Command:
    """Give a command `listen`, `certificate` and `private_key` of a door that speaks TLS."""
    options = (
        click.option(
            "--listen",
            type=ADDRESS,
            default=settings.DEFAULT_DOOR,
            help="Where it is asked, over TLS.",
        ),
        click.option(
            "--certificate", type=FILE, required=True, help="PEM; read again when it changes."
        ),
        click.option("--private-key", type=FILE, required=True, help="The certificate's, PEM."),
    )
    for option in reversed(options):
        command = option(command)
    return command
