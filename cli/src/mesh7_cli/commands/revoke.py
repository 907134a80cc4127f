"""`mesh7 revoke`: end standing grants, vetoes and kills."""

from pathlib import Path

import click

from mesh7_cli import completing, options


@click.command("revoke")
@click.argument(
    "names", metavar="NAME...", nargs=-1, required=True, shell_complete=completing.grant_names
)
@options.state
def command(names: tuple[str, ...], directory: Path, state: Path | None) -> int:
    """End standing grants, vetoes and kills, each by its whole NAME.

    What comes from a file of the folder ends when the file is deleted.
    Exits 0 only when every one was ended.
    """
    # 60 ms only for who talks to a gateway.
    from mesh7_cli import control  # noqa: PLC0415
    from mesh7_cli.verbs import revoke  # noqa: PLC0415

    return revoke.run(control.at(directory, state), names)
