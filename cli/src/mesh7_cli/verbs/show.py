"""The verb `show`: everything that a person needs to decide about one held call."""

from collections.abc import Mapping
from datetime import datetime

import click

from mesh7_cli import cards, output, reading
from mesh7_cli.backend import Backend

OTHERS = 20


def run(backend: Backend, identifier: str, form: output.Form, now: datetime) -> None:
    """Show the held call of this whole id."""
    found = backend.request(identifier)
    if form is output.Form.TABLE:
        _show(found, backend, now)
    elif form is output.Form.NAME:
        click.echo(output.visible(f"{backend.voice.request_kind}{reading.text(found, 'id')}"))
    else:
        output.write(found, form)


def _show(found: Mapping[str, object], backend: Backend, now: datetime) -> None:
    for line in cards.whole(found, now).lines:
        click.echo(line)
    others = [
        one
        for one in backend.requests("open")
        if reading.text(one, "state") == cards.PENDING
        and reading.text(one, "agent") == reading.text(found, "agent")
        and reading.text(one, "id") != reading.text(found, "id")
    ]
    if others:
        click.echo("\nalso waiting from the same agent")
    for one in others[:OTHERS]:
        click.echo(output.visible(f"  {reading.text(one, 'id')}  {reading.text(one, 'tool')}"))
    if len(others) > OTHERS:
        click.echo(f"  and {len(others) - OTHERS} more")
