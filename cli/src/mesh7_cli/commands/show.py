"""`mesh7 show`: everything that a person needs to decide about one held call."""

from datetime import UTC, datetime
from pathlib import Path

import click

from mesh7_cli import completing, ids, options, output


@click.command("show")
@click.argument("identifier", metavar="ID", shell_complete=completing.request_ids)
@options.state
@options.form
def command(identifier: str, directory: Path, state: Path | None, form: output.Form) -> None:
    """Show the held call ID: who asks, for what, by which rules, and what was said so far.

    The arguments stand there in full, as the tool would get them. What a terminal would obey
    or hide is spelled as an escape.
    """
    # 60 ms only for who talks to a gateway.
    from mesh7_cli import control  # noqa: PLC0415
    from mesh7_cli.verbs import show  # noqa: PLC0415

    (whole,) = ids.whole([identifier])
    show.run(control.at(directory, state), whole, form, datetime.now(UTC))
