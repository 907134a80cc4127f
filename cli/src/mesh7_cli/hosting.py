"""From flags to the settings of a gateway that this process hosts (`mesh7 run`, `mesh7 stdio`)."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from mesh7_cli import options
from mesh7_sidecar import settings

P = ParamSpec("P")
R = TypeVar("R")
MAXIMUM_PORT = 65_535


class AddressType(click.ParamType):
    """`HOST:PORT` or `[IPv6]:PORT`; port 0 takes a free one; `off` where that is allowed."""

    name = "host:port"

    def __init__(self, off: str | None = None) -> None:
        self._off = off

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> settings.Address | None:
        """The address; None for `off`."""
        if isinstance(value, settings.Address):
            return value
        text = str(value)
        if self._off is not None and text == self._off:
            return None
        host, colon, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            self.fail(
                f"`{text}`: write an IPv6 address in brackets, as in `[::1]:7007`", param, ctx
            )
        is_number = port.isascii() and port.isdigit() and int(port) <= MAXIMUM_PORT
        if not (host and colon and is_number):
            self.fail(f"`{text}` is no address, write HOST:PORT as in `127.0.0.1:7007`", param, ctx)
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
            help="Folder with one file per credential.  [default: MESH7_CREDENTIAL_<KEY> variables]",
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
        environment=dict(os.environ),
    )
