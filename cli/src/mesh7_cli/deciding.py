"""Several ids, each answered on its own: what `approve`, `deny` and `revoke` share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import click

from mesh7_cli import cards, exits, neutral, output, reading
from mesh7_cli.backend import Object, Voice
from mesh7_cli.cluster.errors import UnknownPersonError, UnreachableError
from mesh7_core import errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """How it is told what became of one.

    Attributes:
        line: for people.
        names: for `-o name`.
        form: the one that was asked for; JSON and YAML are a list of what `act` returned.
    """

    line: Callable[[Object], str]
    names: Callable[[Object], Sequence[str]]
    form: output.Form = output.Form.TABLE


def each(
    names: Sequence[str], act: Callable[[str], Object], telling: Telling, voice: Voice
) -> exits.Exit:
    """Do `act` with every name and tell what came of it; complaints go to stderr.

    Returns:
        OK when all were done, else the code of the first that was not.

    Raises:
        GatewayError, UnknownPersonError, UnreachableError: nobody answers; the rest would fare no
            better.
    """
    code, done = exits.Exit.OK, []
    try:
        for name in names:
            try:
                done.append(after := act(name))
            except (exits.GatewayError, UnknownPersonError, UnreachableError):
                raise
            except errors.Mesh7Error as error:
                click.echo(f"{voice.complaint}{error.message}", err=True)
                code = code or exits.code_for(error)
            else:
                _tell(after, telling)
    finally:
        if done and telling.form in {output.Form.JSON, output.Form.YAML}:
            output.write(done, telling.form)
    return code


def _tell(after: Object, telling: Telling) -> None:
    if telling.form is output.Form.TABLE:
        click.echo(telling.line(after))
    elif telling.form is output.Form.NAME:
        for name in telling.names(after):
            click.echo(output.visible(name))


def said(verb: str, request: Mapping[str, object], voice: Voice) -> str:
    """What a yes or no came to, in one harmless line."""
    line = cards.name(request)
    if reading.truth(request, "isHandedIn"):
        look = voice.command("show", neutral.line(reading.text(request, "id")))
        word = "no" if verb == "deny" else "yes"
        told = f"your {word} is handed in for {line}, and not answered yet – see `{look}`"
        return told + _back(request, voice)
    if verb == "deny":
        return f"denied {line}"
    if note := cards.cut_note(request):
        line += f" ({note})"
    missing = cards.missing(request)
    if reading.text(request, "state") == cards.PENDING and missing:
        told = f"your yes is counted for {line} – still missing: {'; '.join(missing)}"
        return told + _back(request, voice)
    until = cards.usable_until(request)
    return f"approved {line}{f' – usable once, until {until}' if until else ''}"


def answers(request: Mapping[str, object]) -> list[str]:
    """Names of the Grants that say it; none on a laptop, where an answer is no object."""
    return [
        reading.text(one, "name")
        for one in reading.objects(request, "answers")
        if reading.text(one, "phase") != "Refused"
    ]


def _back(request: Mapping[str, object], voice: Voice) -> str:
    """How to take back what was said; empty where that is no object."""
    if not (names := list(map(neutral.line, answers(request)))):
        return ""
    *before, last = names
    where = neutral.line(reading.text(request, "namespace"))
    return f"; {voice.ending(*before, f'{where}/{last}')} takes it back"
