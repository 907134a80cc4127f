"""`mesh7 requests`: the calls that wait for people."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from mesh7_cli import options, output, reading, spans

LONG_QUEUE = 10
ENDS = {"pending": "expiresAt", "approved": "usableUntil"}


@click.command("requests")
@click.option("--all", "is_all", is_flag=True, help="Closed ones of the last 24 hours too.")
@options.state
@options.list_form
def command(is_all: bool, directory: Path, state: Path | None, form: output.Form) -> None:  # noqa: FBT001 - a flag
    """List the calls that wait for people or for their one use, oldest first.

    `mesh7 show ID` shows what one would do, `mesh7 approve ID` and `mesh7 deny ID` decide.
    """
    from mesh7_cli import control, gateway  # noqa: PLC0415 - 60 ms only for who talks to a gateway

    running = gateway.Gateway(options.state_folder(directory, state))
    found = control.requests(running, "all" if is_all else "open")
    if form is output.Form.NAME:
        for one in found:
            click.echo(output.visible(reading.text(one, "id")))
    elif form is output.Form.TABLE:
        _show(found, datetime.now(UTC))
    else:
        output.write(found, form)


def _show(found: Sequence[Mapping[str, object]], now: datetime) -> None:
    if not found:
        click.echo("nothing waits")
        return
    heads = ["id", "state", "tool", "agent", "age", "expires in", "rules"]
    output.table(heads, [_row(one, now) for one in found])
    waiting = sum(reading.text(one, "state") == "pending" for one in found)
    if waiting >= LONG_QUEUE:
        note = f"{waiting} calls wait – `mesh7 kill AGENT` stops an agent that asks too much"
        click.echo(note, err=True)


def _row(one: Mapping[str, object], now: datetime) -> list[str]:
    state = reading.text(one, "state")
    end = ENDS.get(state)
    return [
        reading.text(one, "id"),
        state,
        reading.text(one, "tool"),
        reading.text(one, "agent"),
        spans.since(reading.moment(one, "openedAt"), now),
        spans.until(reading.moment(one, end), now) if end else "",
        ", ".join(reading.text(rule, "rule") for rule in reading.objects(one, "rules")),
    ]
