"""`mesh7 grant`: a standing permission, bounded by time and by the rule that it relaxes."""

from datetime import timedelta
from pathlib import Path

import click

from mesh7_cli import options, output
from mesh7_cli.verbs import grant


@click.command("grant")
@grant.offered()
@click.option("--agent", metavar="NAME", help="Only for this agent.  [default: the gateway's own]")
@options.state
@options.list_form
def command(  # noqa: PLR0913 - one argument a flag
    tool: str,
    span: timedelta,
    uses: int | None,
    when: str | None,
    agent: str | None,
    policy: str | None,
    reason: str,
    directory: Path,
    state: Path | None,
    form: output.Form,
) -> None:
    """Let calls to TOOL pass for a while without asking each time.

    TOOL is `<source>.<tool>` or a glob of such names. Only rules that say `grantable` can be
    relaxed, and only within what they say; a Deny and a limit are never lifted.
    """
    terms = grant.Terms(tool=tool, span=span, uses=uses, when=when, policy=policy, reason=reason)
    grant.check(terms, "mesh7")
    from mesh7_cli import control  # noqa: PLC0415 - 60 ms only for who talks to a gateway

    grant.run(control.at(directory, state), terms, agent, form)
