"""The verbs `approve` and `deny`: a yes or a no to held calls, each by its whole id."""

from collections.abc import Sequence

from mesh7_cli import deciding, exits, ids, output, reading
from mesh7_cli.backend import ANY, Backend, Pin


def run(
    backend: Backend,
    verb: str,
    identifiers: Sequence[str],
    reason: str,
    *,
    unseen: bool = False,
    pin: Pin = ANY,
) -> exits.Exit:
    """Say it to each; OK only when every one was counted."""
    voice = backend.voice

    def decide(identifier: str) -> str:
        after = backend.decide(verb, identifier, reason, unseen=unseen, pin=pin)
        for note in reading.texts(after, "notes"):
            output.note(note)
        return deciding.said(verb, after, voice)

    return deciding.each(ids.whole(identifiers, voice.program), decide, voice)
