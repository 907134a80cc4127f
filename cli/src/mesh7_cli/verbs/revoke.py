"""The verb `revoke`: end standing grants, vetoes and kills, each by its whole name."""

from collections.abc import Sequence

from mesh7_cli import deciding, exits, ids, output, reading
from mesh7_cli.backend import Backend, Object


def run(
    backend: Backend, names: Sequence[str], form: output.Form = output.Form.TABLE
) -> exits.Exit:
    """End each; OK only when every one was ended."""
    voice = backend.voice
    telling = deciding.Telling(
        line=lambda was: output.visible(_line(was)),
        names=lambda was: [f"{voice.grant_kind}{reading.text(was, 'name')}"],
        form=form,
    )
    return deciding.each(ids.whole(names, voice.program), backend.revoke, telling, voice)


def _line(was: Object) -> str:
    name = reading.text(was, "name")
    if request := reading.text(was, "request"):
        return f"took back `{name}`, an answer to request `{request}`"
    if reading.text(was, "effect") == "Deny":
        return f"lifted `{name}`: its calls are judged again"
    return f"revoked `{name}`"
