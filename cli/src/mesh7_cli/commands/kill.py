"""`mesh7 kill`: refuse every call of an agent, or of everybody, from the next call on."""

import sys
from pathlib import Path

import click

from mesh7_cli import options, output, reading


@click.command("kill")
@click.argument("agent", required=False)
@click.option("--reason", metavar="TEXT", default="", help="Why; kept with your name.")
@click.option("--yes", "is_sure", is_flag=True, help="Without AGENT: do not ask whether to.")
@options.state
@options.list_form
def command(
    agent: str | None,
    reason: str,
    is_sure: bool,  # noqa: FBT001 - a flag
    directory: Path,
    state: Path | None,
    form: output.Form,
) -> None:
    """Refuse every call of AGENT from the next call on; without AGENT, every call of everybody.

    AGENT is a name, or `<namespace>/<name>` as requests show it. It holds until `mesh7 revoke
    NAME`, with the name that is printed.
    """
    if agent is not None and not agent.strip():
        message = "AGENT is empty – name one, or leave it away to stop everybody"
        raise click.UsageError(message, ctx=click.get_current_context())
    if agent is None and not is_sure:
        _make_sure()
    from mesh7_cli import control, gateway  # noqa: PLC0415 - 60 ms only for who talks to a gateway

    running = gateway.Gateway(options.state_folder(directory, state))
    made = control.kill(running, agent, reason)
    name = output.visible(reading.text(made, "name"))
    if form is output.Form.NAME:
        click.echo(name)
    elif form is output.Form.TABLE:
        stopped = output.visible(reading.text(made, "agent") or agent or "")
        whose = "of everybody" if agent is None else f"of `{stopped}`"
        click.echo(f"killed: every call {whose} is refused – lift it with `mesh7 revoke {name}`")
    else:
        output.write(made, form)
    output.note(reading.text(made, "note"))


def _make_sure() -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        message = "without AGENT this stops everybody – say --yes, or name an agent"
        raise click.UsageError(message, ctx=click.get_current_context())
    click.confirm("Refuse every call of every agent?", abort=True)
