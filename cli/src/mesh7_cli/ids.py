"""Whole ids and names: what is not one, letter by letter, is asked of nobody."""

import contextlib
import re
from collections.abc import Callable, Sequence

import click

from mesh7_cli import exits, neutral

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
SHOWN_ID = 60
NEAR = 3


def whole(ids: Sequence[str], program: str = "mesh7") -> Sequence[str]:
    """The ids that a person named, or a complaint when one is empty; nothing was asked yet."""
    if not all(one.strip() for one in ids):
        message = f"an id is empty – give whole ids, as `{program} requests` shows them"
        raise click.UsageError(message, ctx=click.get_current_context(silent=True))
    return list(dict.fromkeys(ids))


def found(
    kind: str,
    given: str,
    ask: Callable[[], dict[str, object]],
    known: Callable[[], Sequence[str]],
    listing: str,
) -> dict[str, object]:
    """What `ask` says of the whole id that was given.

    Args:
        kind: `request` or `grant`.
        ask: raises UnknownError when there is none.
        known: the ids there are, for the complaint.
        listing: the command that lists them.

    Raises:
        UnknownError: it is no whole id, or there is none; the message names near ones.
    """
    if _ID.fullmatch(given):
        with contextlib.suppress(exits.UnknownError):
            return ask()
    shown = neutral.line(given if len(given) <= SHOWN_ID else f"{given[:SHOWN_ID]}…")
    message = f"there is no {kind} `{shown}`{_hint(given, known(), listing)}"
    raise exits.UnknownError(message)


def _hint(given: str, known: Sequence[str], listing: str) -> str:
    """Near ids to copy; what a person meant is never guessed and acted upon."""
    import difflib  # noqa: PLC0415 - only for complaints

    short = given[:SHOWN_ID]
    begun = [one for one in known if short and one.startswith(short)]
    near = begun or difflib.get_close_matches(short, known, NEAR)
    if not near:
        return f" – `{listing}` lists what there is"
    named = " or ".join(f"`{neutral.line(one)}`" for one in near[:NEAR])
    return f" – did you mean {named}? Whole ids only"
