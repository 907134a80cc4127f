"""`mesh7 requests`: the calls that wait for people."""

from datetime import UTC, datetime
from pathlib import Path

import click

from mesh7_cli import options, output


@click.command("requests")
@click.option("--all", "is_all", is_flag=True, help="Closed ones of the last 24 hours too.")
@options.state
@options.list_form
def command(is_all: bool, directory: Path, state: Path | None, form: output.Form) -> None:  # noqa: FBT001 - a flag
    """List the calls that wait for people or for their one use, oldest first.

    `mesh7 show ID` shows what one would do, `mesh7 approve ID` and `mesh7 deny ID` decide.
    """
    # 60 ms only for who talks to a gateway.
    from mesh7_cli import control  # noqa: PLC0415
    from mesh7_cli.verbs import layout, requests  # noqa: PLC0415

    asked = control.at(directory, state)
    requests.run(asked, layout.Layout(form=form), datetime.now(UTC), is_all=is_all)
