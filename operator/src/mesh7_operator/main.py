"""The image's one program: `mesh7-operator controller|injector|exchange|keys`.

The composition root: the only place that reads flags, environment and the clock's wall time,
handles signals and sets up logging. Each command imports its own room alone.
"""

import asyncio
import functools
import json
import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Final

import click

from mesh7_core import errors, names
from mesh7_operator import logs, settings
from mesh7_operator.clock import Clock

Program = Callable[[asyncio.Event], Awaitable[None]]
"""Runs until the event is set, or raises."""
_CLOCK: Final = Clock(wall_ns=time.time_ns, monotonic_s=time.monotonic)
_LOG: Final = logging.getLogger("mesh7_operator")
_FILE: Final = click.Path(path_type=Path, dir_okay=False)
# Each command's own prefix: that of the group would put the command's name into every variable.
# click names variables for a value's name, so what is not named for its flag says its own.
_VARIABLES: Final = {"auto_envvar_prefix": "MESH7", "show_default": True}
_Command = Callable[..., None]


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


ADDRESS: Final = _AddressType()
output_option: Final = click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to print it."
)
metrics_option: Final = click.option(
    "--metrics-address",
    type=ADDRESS,
    default=settings.DEFAULT_METRICS,
    help="Where `/metrics`, `/healthz` and `/readyz` are answered.",
)


@click.group()
@click.version_option(names.RELEASE, prog_name="mesh7-operator")
def main() -> None:
    """mesh7's operator: custom resources in, signed bundles out.

    Every flag may be given as a variable: `--redis-ca` as `MESH7_REDIS_CA`.
    """


def cluster_options(command: _Command) -> _Command:
    """Give a command `cluster: settings.Cluster`: where the operator is, where the API server."""

    @click.option("--kubeconfig", type=_FILE, help="For development; else the pod's account.")
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


def _in_cluster_url() -> str:
    """Where the kubelet says that the API server is; empty outside of a cluster."""
    host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
    port = int(os.environ.get("KUBERNETES_SERVICE_PORT", "443"))
    return f"https://{settings.Address(host, port)}" if host else ""


def redis_options(command: _Command) -> _Command:
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
        type=_FILE,
        help="The password of the operator's own user.",
    )
    @click.option(
        "--redis-ca",
        "ca",
        envvar="MESH7_REDIS_CA",
        type=_FILE,
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


@main.command(context_settings=_VARIABLES)
@cluster_options
@redis_options
@metrics_option
@click.option("--lease-name", default=settings.DEFAULT_LEASE, help="In the release namespace.")
def controller(
    cluster: settings.Cluster,
    redis: settings.RedisSettings | None,
    metrics_address: settings.Address,
    lease_name: str,
) -> None:
    """Watch what people write, sign and deliver bundles; one of several does, under a Lease."""
    from mesh7_operator.controller import program  # noqa: PLC0415 - each room alone

    chosen = settings.Controller(
        cluster=cluster,
        identity=f"{socket.gethostname()}-{secrets.token_hex(4)}",
        redis=redis,
        metrics=metrics_address,
        lease_name=lease_name,
    )
    run(lambda stopping: program.run(chosen, _CLOCK, stopping))


@main.group()
def keys() -> None:
    """The keys that bundles are signed with."""


@keys.command("show", context_settings=_VARIABLES)
@cluster_options
@output_option
def show_keys(cluster: settings.Cluster, output: str) -> None:
    """Print the public key of today: what a sidecar is given as MESH7_TRUST_KEY."""
    from mesh7_operator.cluster import keyring_access  # noqa: PLC0415 - each room alone

    _print_keyring(keyring_access.show(cluster), output)


@keys.command("rotate", context_settings=_VARIABLES)
@cluster_options
@output_option
def rotate_keys(cluster: settings.Cluster, output: str) -> None:
    """Sign with the next key from now on, and endorse a new one to follow it."""
    from mesh7_operator.cluster import keyring_access  # noqa: PLC0415 - each room alone

    _print_keyring(keyring_access.rotate(cluster, secrets.token_bytes), output)


@keys.command("replace", context_settings=_VARIABLES)
@cluster_options
@output_option
@click.option("--yes", is_flag=True, help="Really: all guarded pods have to be restarted after it.")
def replace_keys(cluster: settings.Cluster, output: str, *, yes: bool) -> None:
    """Make a new root that nothing leads to, for when the keys are lost for good."""
    from mesh7_operator.cluster import keyring_access  # noqa: PLC0415 - each room alone

    if not yes:
        raise click.UsageError(
            "--yes: is missing; no running pod will believe the new keys, so restart the "
            "controller and then all guarded pods afterwards"
        )
    _print_keyring(keyring_access.replace(cluster, secrets.token_bytes), output)


def _print_keyring(found: Coroutine[object, object, Mapping[str, object]], output: str) -> None:
    try:
        shown = asyncio.run(found)
    except errors.Mesh7Error as error:
        raise click.ClickException(error.message) from error
    click.echo(json.dumps(shown, indent=2) if output == "json" else shown["key"])


@main.command(context_settings=_VARIABLES)
@cluster_options
@redis_options
@metrics_option
@click.option(
    "--listen",
    type=ADDRESS,
    default=settings.DEFAULT_EXCHANGE,
    help="Where tokens are exchanged, over TLS.",
)
@click.option("--certificate", type=_FILE, required=True, help="PEM; read again when it changes.")
@click.option("--private-key", type=_FILE, required=True, help="The certificate's, PEM.")
@click.option(
    "--redis-master-file",
    "master",
    envvar="MESH7_REDIS_MASTER_FILE",
    type=_FILE,
    help="The secret that passwords follow from: key `master` of Secret `mesh7-redis-master`.",
)
def exchange(  # noqa: PLR0913 - one argument a flag
    cluster: settings.Cluster,
    redis: settings.RedisSettings | None,
    metrics_address: settings.Address,
    listen: settings.Address,
    certificate: Path,
    private_key: Path,
    master: Path | None,
) -> None:
    """Exchange pods' tokens for their namespace's Redis credentials."""
    from mesh7_operator.exchange import program  # noqa: PLC0415 - each room alone

    chosen = settings.Exchange(
        cluster=cluster,
        listen=listen,
        certificate=certificate,
        private_key=private_key,
        redis=redis,
        master=master,
        metrics=metrics_address,
    )
    run(lambda stopping: program.run(chosen, _CLOCK, stopping))


@main.command(context_settings=_VARIABLES)
@cluster_options
@metrics_option
@click.option(
    "--listen",
    type=ADDRESS,
    default=settings.DEFAULT_INJECTOR,
    help="Where the API server asks, over TLS.",
)
@click.option("--certificate", type=_FILE, required=True, help="PEM; read again when it changes.")
@click.option("--private-key", type=_FILE, required=True, help="The certificate's, PEM.")
@click.option(
    "--stamp-key-file",
    "stamp_key",
    envvar="MESH7_STAMP_KEY_FILE",
    type=_FILE,
    required=True,
    help="What grants are stamped with: key `seed` of Secret `mesh7-stamp-key`.",
)
@click.option(
    "--grace",
    type=click.FloatRange(0, 600),
    default=settings.DEFAULT_GRACE_S,
    metavar="SECONDS",
    help="How long it serves on after SIGTERM.",
)
def injector(  # noqa: PLR0913 - one argument a flag
    cluster: settings.Cluster,
    metrics_address: settings.Address,
    listen: settings.Address,
    certificate: Path,
    private_key: Path,
    stamp_key: Path,
    grace: float,
) -> None:
    """Answer the API server: is this object right, and who made this grant."""
    from mesh7_operator.injector import program  # noqa: PLC0415 - each room alone

    chosen = settings.Injector(
        cluster=cluster,
        listen=listen,
        certificate=certificate,
        private_key=private_key,
        stamp_key=stamp_key,
        metrics=metrics_address,
        grace_s=grace,
    )
    run(lambda stopping: program.run(chosen, _CLOCK, stopping))


def run(started: Program) -> None:
    """Run a program until SIGTERM or SIGINT; exits 1 with a last line that says why it ended."""
    logs.configure(sys.stderr)
    try:
        asyncio.run(_until_told(started))
    except errors.Mesh7Error as error:
        _LOG.critical("stopped", extra={"error": error.message})
        sys.exit(1)
    except Exception:  # noqa: BLE001 - the last edge: a last line, and a status that says so
        _LOG.critical("crashed", exc_info=True)
        sys.exit(1)


async def _until_told(started: Program) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await started(stopping)
