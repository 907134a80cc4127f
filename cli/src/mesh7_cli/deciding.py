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
        return f"your {word} is handed in for {line}, and not answered yet – see `{look}`"
    if verb == "deny":
        return f"denied {line}"
    if note := cards.cut_note(request):
        line += f" ({note})"
    missing = cards.missing(request)
    if reading.text(request, "state") == cards.PENDING and missing:
        return f"your yes is counted for {line} – still missing: {'; '.join(missing)}"
    until = cards.usable_until(request)
    return f"approved {line}{f' – usable once, until {until}' if until else ''}"
