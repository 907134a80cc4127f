"""`mesh7 grants`: the standing grants and vetoes."""

from datetime import UTC, datetime
from pathlib import Path

import click

from mesh7_cli import options, output


@click.command("grants")
@options.state
@options.list_form
def command(directory: Path, state: Path | None, form: output.Form) -> None:
    """List the standing grants and vetoes, made by hand or by files of the folder."""
    # 60 ms only for who talks to a gateway.
    from mesh7_cli import control  # noqa: PLC0415
    from mesh7_cli.verbs import grants, layout  # noqa: PLC0415

    grants.run(control.at(directory, state), layout.Layout(form=form), datetime.now(UTC))
