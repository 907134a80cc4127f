"""Several ids, each answered on its own: what `approve`, `deny` and `revoke` share."""

from collections.abc import Callable, Mapping, Sequence

import click

from mesh7_cli import cards, exits, neutral, reading
from mesh7_cli.backend import Voice
from mesh7_cli.cluster.errors import UnknownPersonError, UnreachableError
from mesh7_core import errors


def each(names: Sequence[str], act: Callable[[str], str], voice: Voice) -> exits.Exit:
    """Do `act` with every name and print what it says; complaints go to stderr.

    Returns:
        OK when all were done, else the code of the first that was not.

    Raises:
        GatewayError, UnknownPersonError, UnreachableError: nobody answers; the rest would fare no
            better.
    """
    code = exits.Exit.OK
    for name in names:
        try:
            click.echo(act(name))
        except (exits.GatewayError, UnknownPersonError, UnreachableError):
            raise
        except errors.Mesh7Error as error:
            click.echo(f"{voice.complaint}{error.message}", err=True)
            code = code or exits.code_for(error)
    return code


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


def _back(request: Mapping[str, object], voice: Voice) -> str:
    """How to take back what was said; empty where that is no object, as on a laptop."""
    names = [
        neutral.line(reading.text(one, "name"))
        for one in reading.objects(request, "answers")
        if reading.text(one, "phase") != "Refused"
    ]
    if not names:
        return ""
    *before, last = names
    where = neutral.line(reading.text(request, "namespace"))
    return f"; {voice.ending(*before, f'{where}/{last}')} takes it back"
