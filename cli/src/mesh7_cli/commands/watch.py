"""`mesh7 watch`: held calls as they come, decided by single keys on a terminal."""

import sys
from pathlib import Path

import click

from mesh7_cli import options, output


@click.command("watch")
@options.state
@click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice([output.Form.TABLE.value, output.Form.JSON.value]),
    help="Print a line for each change and decide nothing; `json`: a JSON object a line.",
)
def command(directory: Path, state: Path | None, form: str | None) -> None:
    """Show held calls as they come.

    On a terminal each is shown as a card, and single keys decide: `a` says yes, `d` no, `s` goes
    on to the next, `?` explains, `q` quits. Elsewhere, and with -o, each change is a line and
    nothing can be decided.
    """
    # Threads and terminals are only for who watches.
    from mesh7_cli import control, following, gateway_changes, watching  # noqa: PLC0415

    asked = control.at(directory, state)
    with following.Follower(gateway_changes.GatewayChanges(asked.running)) as follower:
        if form is None and sys.stdin.isatty() and sys.stdout.isatty():
            watching.decide_from_the_keyboard(asked, follower)
        else:
            watching.print_changes(follower, output.Form(form or output.Form.TABLE))
