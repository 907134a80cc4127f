"""The verbs `approve` and `deny`: a yes or a no to held calls, each by its whole id."""

from collections.abc import Sequence

from mesh7_cli import deciding, exits, ids, output, reading
from mesh7_cli.backend import ANY, Backend, Object, Pin


def run(  # noqa: PLR0913 - what the commands' options say
    backend: Backend,
    verb: str,
    identifiers: Sequence[str],
    reason: str,
    *,
    unseen: bool = False,
    pin: Pin = ANY,
    form: output.Form = output.Form.TABLE,
) -> exits.Exit:
    """Say it to each; OK only when every one was counted."""
    voice = backend.voice

    def decide(identifier: str) -> Object:
        after = backend.decide(verb, identifier, reason, unseen=unseen, pin=pin)
        for note in reading.texts(after, "notes"):
            output.note(note)
        return after

    telling = deciding.Telling(
        line=lambda after: deciding.said(verb, after, voice),
        names=lambda after: [f"{voice.grant_kind}{one}" for one in deciding.answers(after)],
        form=form,
    )
    return deciding.each(ids.whole(identifiers, voice.program), decide, telling, voice)
