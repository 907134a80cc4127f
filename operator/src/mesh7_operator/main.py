"""The image's one program: `mesh7-operator controller|injector|exchange|keys`.

The composition root: with `options` the only place that reads flags and environment, and the one
that reads the clock's wall time, handles signals and sets up logging. Each command imports its own
room alone.
"""

import asyncio
import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import click

from mesh7_core import errors, names
from mesh7_core.injection import outcomes
from mesh7_operator import logs, options, settings, tracing
from mesh7_operator.clock import Clock

Program = Callable[[asyncio.Event], Awaitable[None]]
"""Runs until the event is set, or raises."""
_CLOCK: Final = Clock(wall_ns=time.time_ns, monotonic_s=time.monotonic)
_LOG: Final = logging.getLogger("mesh7_operator")
# Each command's own prefix: that of the group would put the command's name into every variable.
# click names variables for a value's name, so what is not named for its flag says its own.
_VARIABLES: Final = {"auto_envvar_prefix": "MESH7", "show_default": True}


@click.group()
@click.version_option(names.RELEASE, prog_name="mesh7-operator")
def main() -> None:
    """mesh7's operator: custom resources in, signed bundles out.

    Every flag may be given as a variable: `--redis-ca` as `MESH7_REDIS_CA`.
    """


@main.command(context_settings=_VARIABLES)
@options.cluster
@options.redis
@options.metrics
@options.trace_share
@options.sidecar_collector
@click.option("--lease-name", default=settings.DEFAULT_LEASE, help="In the release namespace.")
@click.option(
    "--default-enforcement",
    type=click.Choice([level.value for level in outcomes.Level]),
    default=outcomes.Level.COOPERATIVE.value,
    help="The level of namespaces whose label names none.",
)
@click.option("--sidecar-redis", default="", help="Where sidecars reach Redis, if elsewhere.")
@click.option("--allow-opt-out", is_flag=True, help="Pods may say that they go without a sidecar.")
@click.option("--sidecar-image", default="", help="That of new pods; older ones are counted.")
@click.option(
    "--audit-interval",
    type=click.FloatRange(1, 3600),
    default=settings.DEFAULT_AUDIT_S,
    metavar="SECONDS",
    help="From one look at all pods to the next.",
)
@options.audit_kept
@click.option(
    "--certificates",
    type=click.Choice([mode.value for mode in settings.Certificates]),
    default=settings.Certificates.SELF.value,
    help="`self`: made and rotated here; else cert-manager's, or yours.",
)
@click.option(
    "--certificates-spread",
    type=click.FloatRange(1, 86_400),
    default=settings.DEFAULT_SPREAD_S,
    metavar="SECONDS",
    help="How long a new authority is published before it issues.",
)
@click.option("--redis-embedded", is_flag=True, help="The Redis is the release's own.")
def controller(  # noqa: PLR0913 - one argument a flag
    cluster: settings.Cluster,
    redis: settings.RedisSettings | None,
    metrics_address: settings.Address,
    trace_share: float,
    lease_name: str,
    default_enforcement: str,
    sidecar_redis: str,
    sidecar_image: str,
    sidecar_collector: str,
    audit_interval: float,
    audit_retention: float,
    audit_max_bytes: int,
    certificates: str,
    certificates_spread: float,
    *,
    allow_opt_out: bool,
    redis_embedded: bool,
) -> None:
    """Watch what people write, sign and deliver bundles; one of several does, under a Lease."""
    from mesh7_operator.controller import program  # noqa: PLC0415 - each room alone

    chosen = settings.Controller(
        cluster=cluster,
        identity=f"{socket.gethostname()}-{secrets.token_hex(4)}",
        redis=redis,
        metrics=metrics_address,
        lease_name=lease_name,
        sidecar_redis=sidecar_redis,
        default_level=outcomes.Level(default_enforcement),
        may_opt_out=allow_opt_out,
        sidecar_image=sidecar_image,
        sidecar_collector=sidecar_collector,
        audit_s=audit_interval,
        audit_retention_s=audit_retention,
        audit_most_bytes=audit_max_bytes,
        certificates=settings.Certificates(certificates),
        spread_s=certificates_spread,
        is_redis_embedded=redis_embedded,
    )
    serve(
        "mesh7-controller",
        trace_share,
        lambda stop, tracer: program.run(chosen, _CLOCK, stop, tracer),
    )


@main.command(context_settings=_VARIABLES)
@options.cluster
@options.output
@click.option("--lease-name", default=settings.DEFAULT_LEASE, help="The controllers' Lease.")
@click.option("--keep-keys", is_flag=True, help="Signing and stamp keys stay, for a new release.")
@click.option("--yes", is_flag=True, help="Really: without it, what would go is only listed.")
def sweep(
    cluster: settings.Cluster, output: str, lease_name: str, *, keep_keys: bool, yes: bool
) -> None:
    """Remove all that mesh7's programs made, anywhere: before an uninstall, or after it."""
    from mesh7_operator.sweeping import program  # noqa: PLC0415 - each room alone

    chosen = settings.Sweep(
        cluster=cluster,
        identity=f"{settings.SWEEPERS}{secrets.token_hex(4)}",
        lease_name=lease_name,
        keeps_keys=keep_keys,
        is_real=yes,
    )
    run(lambda _: program.run(chosen, _CLOCK, options.teller(output)))


@main.command(context_settings=_VARIABLES)
@options.cluster
@options.output
@click.option("--namespace", required=True, help="An enrolled one, where pods may be made.")
@click.option(
    "--patience",
    type=click.FloatRange(0, 600),
    default=settings.DEFAULT_PATIENCE_S,
    metavar="SECONDS",
    help="How long it is tried again.",
)
def verify(cluster: settings.Cluster, output: str, namespace: str, patience: float) -> None:
    """Make a pod that is not stored, and see that it would be guarded."""
    from mesh7_operator import verifying  # noqa: PLC0415 - each room alone

    chosen = settings.Verify(cluster=cluster, namespace=namespace, patience_s=patience)
    run(lambda _: verifying.run(chosen, _CLOCK, options.teller(output)))


@main.group()
def keys() -> None:
    """The keys that bundles are signed with."""


@keys.command("show", context_settings=_VARIABLES)
@options.cluster
@options.output
def show_keys(cluster: settings.Cluster, output: str) -> None:
    """Print the public key of today: what a sidecar is given as MESH7_TRUST_KEY."""
    from mesh7_operator.cluster import keyring_access  # noqa: PLC0415 - each room alone

    options.print_secret(keyring_access.show(cluster), output, "key")


@keys.command("rotate", context_settings=_VARIABLES)
@options.cluster
@options.output
def rotate_keys(cluster: settings.Cluster, output: str) -> None:
    """Sign with the next key from now on, and endorse a new one to follow it."""
    from mesh7_operator.cluster import keyring_access  # noqa: PLC0415 - each room alone

    options.print_secret(keyring_access.rotate(cluster, secrets.token_bytes), output, "key")


@keys.command("replace", context_settings=_VARIABLES)
@options.cluster
@options.output
@click.option("--yes", is_flag=True, help="Really: all guarded pods have to be restarted after it.")
def replace_keys(cluster: settings.Cluster, output: str, *, yes: bool) -> None:
    """Make a new root that nothing leads to, for when the keys are lost for good."""
    from mesh7_operator.cluster import keyring_access  # noqa: PLC0415 - each room alone

    if not yes:
        raise click.UsageError(
            "--yes: is missing; no running pod will believe the new keys, so restart the "
            "controller and then all guarded pods afterwards"
        )
    options.print_secret(keyring_access.replace(cluster, secrets.token_bytes), output, "key")


@main.group("certificates")
def certificates_group() -> None:
    """The authority of injector and exchange, where it is the controller's own."""


@certificates_group.command("show", context_settings=_VARIABLES)
@options.cluster
@options.output
def show_certificates(cluster: settings.Cluster, output: str) -> None:
    """Print who issues certificates, and whether another one follows."""
    from mesh7_operator.cluster import authority_access  # noqa: PLC0415 - each room alone

    options.print_secret(authority_access.show(cluster), output, "state")


@certificates_group.command("rotate", context_settings=_VARIABLES)
@options.cluster
@options.output
def rotate_certificates(cluster: settings.Cluster, output: str) -> None:
    """Have another authority follow; the controller brings it into use, and drops the old one."""
    from mesh7_operator.cluster import authority_access  # noqa: PLC0415 - each room alone

    options.print_secret(authority_access.rotate(cluster, _CLOCK.now()), output, "state")


@main.command(context_settings=_VARIABLES)
@options.cluster
@options.redis
@options.metrics
@options.trace_share
@options.tls
@click.option(
    "--redis-master-file",
    "master",
    envvar="MESH7_REDIS_MASTER_FILE",
    type=options.FILE,
    help="The secret that passwords follow from: key `master` of Secret `mesh7-redis-master`.",
)
def exchange(  # noqa: PLR0913 - one argument a flag
    cluster: settings.Cluster,
    redis: settings.RedisSettings | None,
    metrics_address: settings.Address,
    trace_share: float,
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
    serve(
        "mesh7-exchange",
        trace_share,
        lambda stop, tracer: program.run(chosen, _CLOCK, stop, tracer),
    )


@main.command(context_settings=_VARIABLES)
@options.cluster
@options.metrics
@options.trace_share
@options.tls
@click.option(
    "--stamp-key-file",
    "stamp_key",
    envvar="MESH7_STAMP_KEY_FILE",
    type=options.FILE,
    required=True,
    help="What grants are stamped with: key `seed` of Secret `mesh7-stamp-key`.",
)
@click.option(
    "--settings-file",
    type=options.FILE,
    required=True,
    help="What pods get: key `injection.yaml` of ConfigMap `mesh7-injection`.",
)
@click.option(
    "--trust-directory",
    type=options.FOLDER,
    required=True,
    help="ConfigMap `mesh7-trust`: pods are given its `key`, which bundles are signed with.",
)
@click.option(
    "--authorities-file",
    type=options.FILE,
    help="PEM certificates that vouch for the exchange; pods are given them.",
)
@click.option(
    "--api-server",
    default=options.api_server,
    show_default="that of this pod",
    metavar="ADDRESS",
    help="The API server's as pods see it, which sidecars dial for no source.",
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
    trace_share: float,
    listen: settings.Address,
    certificate: Path,
    private_key: Path,
    stamp_key: Path,
    settings_file: Path,
    trust_directory: Path,
    authorities_file: Path | None,
    api_server: str,
    grace: float,
) -> None:
    """Answer the API server: guard this pod, is this object right, and who made this grant."""
    from mesh7_operator.injector import program  # noqa: PLC0415 - each room alone

    chosen = settings.Injector(
        cluster=cluster,
        listen=listen,
        certificate=certificate,
        private_key=private_key,
        stamp_key=stamp_key,
        injection=settings_file,
        trust=trust_directory,
        authorities=authorities_file,
        api_server=api_server,
        metrics=metrics_address,
        grace_s=grace,
    )
    serve(
        "mesh7-injector",
        trace_share,
        lambda stop, tracer: program.run(chosen, _CLOCK, stop, tracer),
    )


def serve(
    service: str, share: float, started: Callable[[asyncio.Event, tracing.Tracer], Awaitable[None]]
) -> None:
    """Run a program that serves, with a tracer; what it has not sent at its end, it sends then."""

    async def traced(stopping: asyncio.Event) -> None:
        tracer = tracing.of(os.environ, service, share, _CLOCK)
        try:
            await started(stopping, tracer)
        finally:
            await tracer.end_metrics()
            tracer.close(tracing.FLUSH_S)

    run(traced)


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
