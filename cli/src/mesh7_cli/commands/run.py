"""`mesh7 run`: guard the tools of a folder and listen for agents."""

from pathlib import Path
from typing import Unpack

import click

from mesh7_cli import announcement, hosting
from mesh7_sidecar import settings

DEFAULT_ADMIN = f"127.0.0.1:{settings.DEFAULT_ADMIN_PORT}"


@click.command("run")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--listen",
    metavar="HOST:PORT",
    callback=hosting.read_address,
    default=f"127.0.0.1:{settings.DEFAULT_LISTEN_PORT}",
    show_default=True,
    help="Where agents connect; beyond loopback only with --token-file.",
)
@click.option(
    "--admin",
    metavar="HOST:PORT|off",
    callback=hosting.read_address,
    help="Health and `/metrics`, or `off`."
    f"  [default: {DEFAULT_ADMIN}; a free port if it is taken]",
)
@click.option(
    "--token-file",
    metavar="F",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Agents must send this file's content as a bearer token.",
)
@hosting.gateway_options
@click.pass_context
def command(
    context: click.Context,
    directory: Path,
    listen: settings.Address | None,
    admin: settings.Address | None,
    token_file: Path | None,
    **given: Unpack[hosting.Given],
) -> int:
    """Guard the tools that the manifests in DIR name, and listen for agents.

    Edits of DIR are in force within a second; a broken edit keeps the last good set.
    Ctrl-C finishes the calls in flight and stops.
    """
    if listen is None:
        message = "an agent needs a listener – for none use `mesh7 stdio`"
        raise click.BadParameter(message, ctx=context, param_hint="--listen")
    from mesh7_sidecar import main  # noqa: PLC0415 - the gateway is only for who hosts one

    is_given = context.get_parameter_source("admin") is not click.core.ParameterSource.DEFAULT
    chosen = hosting.read_settings(
        directory=directory,
        listen=listen,
        admin=admin if is_given else settings.Address("127.0.0.1", settings.DEFAULT_ADMIN_PORT),
        admin_may_move=not is_given,
        token_file=token_file,
        **given,
    )
    argv = announcement.program()
    hosting.enter(chosen.directory)
    return main.run(chosen, announce=lambda status: announcement.show(status, chosen.state, argv))
