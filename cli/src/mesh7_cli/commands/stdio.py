"""`mesh7 stdio`: guard the tools of a folder for one client that starts us as its server."""

from pathlib import Path
from typing import Unpack

import click

from mesh7_cli import hosting


@click.command("stdio")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--source", metavar="NAME", help="Only this source, under its own tool names.")
@hosting.gateway_options
def command(directory: Path, source: str | None, **given: Unpack[hosting.Given]) -> int:
    """Guard the tools of DIR for one client on stdin and stdout (Claude Code, Cursor).

    The first process holds the folder; later ones join it with their own --agent and --label.
    """
    from mesh7_sidecar import main  # noqa: PLC0415 - the gateway is only for who hosts one

    chosen = hosting.read_settings(directory=directory, **given)
    hosting.enter(chosen.directory)
    return main.stdio(chosen, source)
