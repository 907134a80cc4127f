"""From flags to the settings of a gateway that this process hosts (`mesh7 run`, `mesh7 stdio`)."""

import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import ParamSpec, TypedDict, TypeVar, Unpack

import click

from mesh7_cli import ledger_options, options, own_environment
from mesh7_core import errors, names
from mesh7_core.ledger import protocol
from mesh7_core.otlp import settings as otlp
from mesh7_sidecar import settings

P = ParamSpec("P")
R = TypeVar("R")
MAXIMUM_PORT = 65_535
OFF = "off"


def read_address(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> settings.Address | None:
    """An option's callback: `HOST:PORT` or `[IPv6]:PORT`, port 0 takes a free one.

    `off` reads as None; an option that may not be off says so itself.
    """
    if text is None or text == OFF:
        return None
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        message = f"`{text}`: write an IPv6 address in brackets, as in `[::1]:7007`"
        raise click.BadParameter(message, ctx=context, param=parameter)
    is_number = port.isascii() and port.isdigit() and int(port) <= MAXIMUM_PORT
    if not (host and colon and is_number):
        message = f"`{text}` is no address, write HOST:PORT as in `127.0.0.1:7007`"
        raise click.BadParameter(message, ctx=context, param=parameter)
    return settings.Address(host, int(port))


class Given(TypedDict):
    """What `gateway_options` and `options.agent` read, under the names that they hand on."""

    state: Path | None
    credentials: Path | None
    audit: str
    audit_size: int
    audit_keep: int
    trace_share: float
    agent: str
    labels: Mapping[str, str]
    namespace: str | None
    hold: timedelta
    caps: protocol.Caps
    allow_scripted_approval: bool
    approvers: str | None
    redis: str | None
    redis_password_file: Path | None
    redis_ca: Path | None
    replicas: int | None


def gateway_options(command: Callable[P, R]) -> Callable[P, R]:
    """What `run` and `stdio` have in common, who the agent is included."""
    for decorate in reversed((*_KEEPING, *_APPROVING, *_SHARING)):
        command = decorate(command)
    return options.agent(command)


_FILE = click.Path(path_type=Path, dir_okay=False)
_KEEPING = (
    click.option(
        "--state",
        type=options.FOLDER,
        envvar=options.STATE_VARIABLE,
        help=f"State folder.  [default: DIR/.mesh7; env: {options.STATE_VARIABLE}]",
    ),
    click.option(
        "--credentials",
        metavar="DIR",
        type=options.FOLDER,
        help="Folder with one file per credential, beside MESH7_CREDENTIAL_<KEY> variables.",
    ),
    click.option(
        "--audit",
        type=click.Choice([share.value for share in settings.AuditShare]),
        default=settings.AuditShare.ALL.value,
        show_default=True,
        help="Which decisions are written to audit.jsonl in the state folder.",
    ),
    click.option(
        "--audit-size",
        metavar="MIB",
        type=click.IntRange(1, 1024 * 1024),
        default=settings.DEFAULT_AUDIT_FILE_MIB,
        show_default=True,
        help="A file of decisions that reaches so many MiB is rotated.",
    ),
    click.option(
        "--audit-keep",
        metavar="N",
        type=click.IntRange(2, 1000),
        default=settings.DEFAULT_AUDIT_FILES,
        show_default=True,
        help="How many files of decisions there are at most; the oldest goes.",
    ),
    click.option(
        "--trace-share",
        metavar="SHARE",
        type=click.FloatRange(0, 1),
        default=settings.DEFAULT_TRACE_SHARE,
        show_default=True,
        help="How many of all calls are traced, from 0 to 1, once OTEL_EXPORTER_OTLP_ENDPOINT says"
        " where traces go.",
    ),
)
_APPROVING = (
    click.option(
        "--hold",
        metavar="DURATION",
        default=f"{settings.DEFAULT_HOLD_S:.0f}s",
        show_default=True,
        callback=options.read_duration,
        help="How long a held call is kept waiting for people; `0s`: it is answered at once.",
    ),
    click.option(
        "--approval-caps",
        "caps",
        metavar="POD,NAMESPACE",
        default=f"{protocol.Caps().per_pod},{protocol.Caps().per_namespace}",
        show_default=True,
        callback=ledger_options.read_caps,
        help="How many requests may wait at once, of one agent's process and in all.",
    ),
    click.option(
        "--approvers",
        metavar="GROUP",
        callback=ledger_options.read_group,
        help="Only members of this Unix group decide, by a socket of their own.",
    ),
    click.option(
        "--allow-scripted-approval",
        is_flag=True,
        help="People's programs may decide without a terminal.",
    ),
)
_SHARING = (
    click.option(
        "--redis",
        metavar="URL",
        envvar=ledger_options.REDIS_VARIABLE,
        help="Share limits and approvals in this Redis or Valkey, `rediss://` with TLS."
        f"  [env: {ledger_options.REDIS_VARIABLE}]",
    ),
    click.option(
        "--redis-password-file",
        metavar="F",
        type=_FILE,
        help=f"Its password; else the variable {ledger_options.PASSWORD_VARIABLE}.",
    ),
    click.option(
        "--redis-ca", metavar="F", type=_FILE, help="Certificates that vouch for `rediss://`."
    ),
    click.option(
        "--replicas",
        metavar="N",
        type=click.IntRange(min=1),
        help="How many gateways share a limit that says `onStoreLoss: Local`."
        "  [default: 1; with --redis not known]",
    ),
)


def read_settings(
    *,
    directory: Path,
    listen: settings.Address | None = None,
    admin: settings.Address | None = None,
    admin_may_move: bool = False,
    token_file: Path | None = None,
    **given: Unpack[Given],
) -> settings.Settings:
    """Settings with every path made absolute, so that a later change of folder means nothing.

    Raises:
        SettingsError: two flags do not go together, or a file cannot be read.
    """
    ours = own_environment.read()
    # Taken out of it: no `${NAME}` of a manifest may hand it to a tool.
    password = ours.pop(ledger_options.PASSWORD_VARIABLE, None)
    redis = ledger_options.redis(
        given["redis"], password, given["redis_password_file"], given["redis_ca"]
    )
    replicas = given["replicas"] or (1 if redis is None else 0)
    return settings.Settings(
        directory=directory.expanduser().absolute(),
        state=options.state_folder(directory, given["state"]),
        listen=listen,
        admin=admin,
        admin_may_move=admin_may_move,
        agent=given["agent"],
        labels=given["labels"],
        namespace=given["namespace"],
        credentials=_absolute(given["credentials"]),
        token_file=_absolute(token_file),
        audit=settings.AuditShare(given["audit"]),
        hold_s=given["hold"].total_seconds(),
        caps=given["caps"],
        allow_scripted_approval=given["allow_scripted_approval"],
        approvers=given["approvers"],
        redis=redis,
        replicas=replicas,
        telemetry=_telemetry(ours),
        audit_file_bytes=given["audit_size"] * settings.MIB,
        audit_files=given["audit_keep"],
        trace_share=given["trace_share"],
        environment=ours,
    )


def _telemetry(ours: dict[str, str]) -> otlp.Settings:
    """Where it goes. What a collector is told to trust us by is no manifest's business."""
    known = {"service.name": "mesh7-gateway", "service.version": names.RELEASE}
    found = otlp.read(ours, known)
    for name in [one for one in ours if one.startswith("OTEL_") and one.endswith("_HEADERS")]:
        del ours[name]
    return found


def _absolute(path: Path | None) -> Path | None:
    return path.expanduser().absolute() if path is not None else None


def enter(directory: Path) -> None:
    """Make the folder of manifests the working folder, so that children find its files.

    Raises:
        SettingsError: it is no folder, or may not be entered.
    """
    try:
        os.chdir(directory)
    except OSError as error:
        message = f"{directory}: cannot be entered: {error.strerror} – give a folder of manifests"
        raise errors.SettingsError(message) from error
