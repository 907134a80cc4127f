"""`mesh7 approve`: say yes to held calls."""

from pathlib import Path

import click

from mesh7_cli import completing, options


@click.command("approve")
@click.argument(
    "identifiers",
    metavar="ID...",
    nargs=-1,
    required=True,
    shell_complete=completing.request_ids,
)
@click.option(
    "--reason", metavar="TEXT", default="", help="Why; kept with your name in the audit file."
)
@options.state
def command(identifiers: tuple[str, ...], reason: str, directory: Path, state: Path | None) -> int:
    """Say yes to held calls, each by its whole ID.

    A yes is for one exact call, once, by the pod that asked. Look at it first: `mesh7 show ID`.
    Exits 0 only when every yes was counted; each ID is answered on its own.
    """
    # 60 ms only for who talks to a gateway.
    from mesh7_cli import control  # noqa: PLC0415
    from mesh7_cli.verbs import decide  # noqa: PLC0415

    return decide.run(control.at(directory, state), "approve", identifiers, reason)
