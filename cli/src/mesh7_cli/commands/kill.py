"""`mesh7 kill`: refuse every call of an agent, or of everybody, from the next call on."""

import sys
from pathlib import Path

import click

from mesh7_cli import options, output
from mesh7_cli.verbs import kill


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
    kill.check(agent)
    if agent is None and not is_sure:
        _make_sure()
    from mesh7_cli import control  # noqa: PLC0415 - 60 ms only for who talks to a gateway

    kill.run(control.at(directory, state), agent, reason, form)


def _make_sure() -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        message = "without AGENT this stops everybody – say --yes, or name an agent"
        raise click.UsageError(message, ctx=click.get_current_context())
    click.confirm("Refuse every call of every agent?", abort=True)
