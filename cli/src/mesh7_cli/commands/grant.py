"""`mesh7 grant`: a standing permission, bounded by time and by the rule that it relaxes."""

from datetime import timedelta
from pathlib import Path

import click

from mesh7_cli import options, output, reading

SHORTEST = timedelta(seconds=1)


@click.command("grant")
@click.argument("tool")
@click.option(
    "--for",
    "span",
    metavar="DURATION",
    required=True,
    callback=options.read_duration,
    help="How long it stands, such as 30m.",
)
@click.option("--uses", metavar="N", type=click.IntRange(min=1), help="Only so many calls.")
@click.option("--when", metavar="EXPR", help="Only calls for which this CEL expression is true.")
@click.option("--agent", metavar="NAME", help="Only for this agent.  [default: the gateway's own]")
@click.option(
    "--policy", metavar="NS/NAME", help="Whose rule it relaxes; needed when several policies ask."
)
@click.option("--reason", metavar="TEXT", required=True, help="Why; kept with your name.")
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
    _check(tool, span, reason, policy)
    from mesh7_cli import control, gateway  # noqa: PLC0415 - 60 ms only for who talks to a gateway

    wish = {
        "tool": tool,
        "forSeconds": span // SHORTEST,
        "uses": uses,
        "when": when,
        "reason": reason,
        "agent": agent,
        "policy": policy,
    }
    made = control.grant(gateway.Gateway(options.state_folder(directory, state)), wish)
    name = reading.text(made, "name")
    if form is output.Form.NAME:
        click.echo(output.visible(name))
    elif form is output.Form.TABLE:
        click.echo(output.visible(_line(made)))
    else:
        output.write(made, form)
    output.note(reading.text(made, "note"))


def _check(tool: str, span: timedelta, reason: str, policy: str | None) -> None:
    if "." not in tool and tool != "*":
        message = f"`{tool}` is no tool name, write <source>.<tool> as `mesh7 tools` shows them"
        raise click.UsageError(message, ctx=click.get_current_context())
    if span < SHORTEST or span % SHORTEST:
        message = "--for takes whole seconds, at least `1s`"
        raise click.UsageError(message, ctx=click.get_current_context())
    if not reason.strip():
        message = "--reason is empty – say why, others will read it"
        raise click.UsageError(message, ctx=click.get_current_context())
    if policy is not None and not all(policy.partition("/")):
        message = f"`{policy}` is no policy, write <namespace>/<policy>"
        raise click.UsageError(message, ctx=click.get_current_context())


def _line(made: dict[str, object]) -> str:
    name = reading.text(made, "name")
    tools = " ".join(reading.texts(made, "tools"))
    who = reading.text(made, "agent") or reading.text(made, "pod") or "everybody"
    most = reading.number(made, "maxUses")
    uses = f", {most} {'use' if most == 1 else 'uses'}" if most else ""
    until = reading.text(made, "expiresAt")
    bounds = f"for {who} until {until}{uses}"
    return f"granted `{name}`: {tools} {bounds} – end it with `mesh7 revoke {name}`"
