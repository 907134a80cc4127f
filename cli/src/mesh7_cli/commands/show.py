"""`mesh7 show`: everything that a person needs to decide about one held call."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mesh7_cli import completing, options, output, reading

if TYPE_CHECKING:
    from mesh7_cli import gateway

OTHERS = 20


@click.command("show")
@click.argument("identifier", metavar="ID", shell_complete=completing.request_ids)
@options.state
@options.form
def command(identifier: str, directory: Path, state: Path | None, form: output.Form) -> None:
    """Show the held call ID: who asks, for what, by which rules, and what was said so far.

    The arguments stand there in full, as the tool would get them. What a terminal would obey
    or hide is spelled as an escape.
    """
    from mesh7_cli import control, gateway  # noqa: PLC0415 - 60 ms only for who talks to a gateway

    (identifier,) = control.whole([identifier])
    running = gateway.Gateway(options.state_folder(directory, state))
    found = control.request(running, identifier)
    if form is output.Form.TABLE:
        _show(found, running)
    else:
        output.write(found, form)


def _show(found: Mapping[str, object], running: "gateway.Gateway") -> None:
    from mesh7_cli import cards, control  # noqa: PLC0415 - only for who reads a card

    for line in cards.whole(found, datetime.now(UTC)).lines:
        click.echo(line)
    others = [
        one
        for one in control.requests(running, "open")
        if reading.text(one, "agent") == reading.text(found, "agent")
        and reading.text(one, "id") != reading.text(found, "id")
    ]
    if others:
        click.echo("\nalso waiting from the same agent")
    for one in others[:OTHERS]:
        click.echo(output.visible(f"  {reading.text(one, 'id')}  {reading.text(one, 'tool')}"))
    if len(others) > OTHERS:
        click.echo(f"  and {len(others) - OTHERS} more")
