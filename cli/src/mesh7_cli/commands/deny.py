"""`mesh7 deny`: say no to held calls."""

from pathlib import Path

import click

from mesh7_cli import completing, options


@click.command("deny")
@click.argument(
    "identifiers",
    metavar="ID...",
    nargs=-1,
    required=True,
    shell_complete=completing.request_ids,
)
@click.option("--reason", metavar="TEXT", default="", help="Why; the agent reads it.")
@options.state
def command(identifiers: tuple[str, ...], reason: str, directory: Path, state: Path | None) -> int:
    """Say no to held calls, each by its whole ID.

    The agent is told at once, with the reason; the same call is not asked again for a while.
    Exits 0 only when every no was counted; each ID is answered on its own.
    """
    # 60 ms only for who talks to a gateway.
    from mesh7_cli import control  # noqa: PLC0415
    from mesh7_cli.verbs import decide  # noqa: PLC0415

    return decide.run(control.at(directory, state), "deny", identifiers, reason)
