"""From flags to the settings of a gateway that this process hosts (`mesh7 run`, `mesh7 stdio`)."""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from mesh7_cli import options
from mesh7_core import errors
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


def gateway_options(command: Callable[P, R]) -> Callable[P, R]:
    """What `run` and `stdio` have in common beside the agent."""
    for decorate in (
        click.option(
            "--audit",
            type=click.Choice([share.value for share in settings.AuditShare]),
            default=settings.AuditShare.ALL.value,
            show_default=True,
            help="Which decisions are written to audit.jsonl in the state folder.",
        ),
        click.option(
            "--credentials",
            metavar="DIR",
            type=options.FOLDER,
            help="Folder with one file per credential, beside MESH7_CREDENTIAL_<KEY> variables.",
        ),
        click.option(
            "--state",
            type=options.FOLDER,
            envvar=options.STATE_VARIABLE,
            help=f"State folder.  [default: DIR/.mesh7; env: {options.STATE_VARIABLE}]",
        ),
    ):
        command = decorate(command)
    return command


def read_settings(  # noqa: PLR0913 - one argument a flag
    *,
    directory: Path,
    state: Path | None,
    agent: str,
    labels: Mapping[str, str],
    namespace: str | None,
    credentials: Path | None,
    audit: str,
    listen: settings.Address | None = None,
    admin: settings.Address | None = None,
    admin_may_move: bool = False,
    token_file: Path | None = None,
) -> settings.Settings:
    """Settings with every path made absolute, so that a later change of folder means nothing."""
    return settings.Settings(
        directory=directory.expanduser().absolute(),
        state=options.state_folder(directory, state),
        listen=listen,
        admin=admin,
        admin_may_move=admin_may_move,
        agent=agent,
        labels=labels,
        namespace=namespace,
        credentials=credentials.expanduser().absolute() if credentials is not None else None,
        token_file=token_file.expanduser().absolute() if token_file is not None else None,
        audit=settings.AuditShare(audit),
        environment=environment(),
    )


def environment() -> dict[str, str]:
    """Our environment, with the programs installed beside mesh7 found first.

    So `command: [mcp-server-git]` runs the server of our own virtual environment although
    nobody activated it.
    """
    beside = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", os.defpath)
    return dict(os.environ) | {"PATH": f"{beside}{os.pathsep}{path}"}


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
