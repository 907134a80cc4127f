"""`mesh7 stdio`: guard the tools of a folder for one client that starts us as its server."""

from collections.abc import Mapping
from pathlib import Path

import click

from mesh7_cli import hosting, options


@click.command("stdio")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--source", metavar="NAME", help="Only this source, under its own tool names.")
@hosting.gateway_options
@options.agent
def command(  # noqa: PLR0913 - one argument a flag
    directory: Path,
    source: str | None,
    state: Path | None,
    credentials: Path | None,
    audit: str,
    agent: str,
    labels: Mapping[str, str],
    namespace: str | None,
) -> int:
    """Guard the tools of DIR for one client on stdin and stdout (Claude Code, Cursor).

    The first process holds the folder; later ones join it with their own --agent and --label.
    """
    from mesh7_sidecar import main  # noqa: PLC0415 - the gateway is only for who hosts one

    chosen = hosting.read_settings(
        directory=directory,
        state=state,
        agent=agent,
        labels=labels,
        namespace=namespace,
        credentials=credentials,
        audit=audit,
    )
    hosting.enter(chosen.directory)
    return main.stdio(chosen, source)
