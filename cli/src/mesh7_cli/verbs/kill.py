"""The verb `kill`: refuse every call of an agent, or of everybody, from the next call on."""

import click

from mesh7_cli import exits, output, reading
from mesh7_cli.backend import Backend


def check(agent: str | None) -> None:
    """Refuse an empty AGENT, which would read as everybody."""
    if agent is not None and not agent.strip():
        message = "AGENT is empty – name one, or leave it away to stop everybody"
        raise click.UsageError(message, ctx=click.get_current_context())


def run(backend: Backend, agent: str | None, reason: str, form: output.Form) -> exits.Exit:
    """Stop the agent, None = everybody, and say how to lift it.

    Returns:
        OK when the stop holds, or nobody was waited for; else WRONG: calls may pass still.
    """
    voice = backend.voice
    made = backend.kill(agent, reason)
    name = output.visible(reading.text(made, "name"))
    if form is output.Form.NAME:
        click.echo(f"{voice.grant_kind}{name}")
    elif form is output.Form.TABLE:
        stopped = output.visible(reading.text(made, "agent") or agent or "")
        whose = "of everybody" if agent is None else f"of `{stopped}`"
        word, when = "killed", ""
        if reading.truth(made, "isHandedIn"):
            word, when = "handed in", " as soon as a controller answers"
        click.echo(
            f"{word}: every call {whose} is refused{when} – lift it with {voice.ending(name)}"
        )
    else:
        output.write(made, form)
    output.note(reading.text(made, "note"))
    return exits.Exit.WRONG if reading.truth(made, "isUnanswered") else exits.Exit.OK
