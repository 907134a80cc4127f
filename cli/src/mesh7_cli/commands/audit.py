"""`mesh7 audit`: what was called, decided and done, from the files of a state folder."""

import time
from pathlib import Path

import click

from mesh7_cli import audit_options, exits, options, output
from mesh7_cli.records import Wish
from mesh7_cli.verbs.audit import Shape

FOLLOWED = (Shape.TABLE, Shape.JSONL)
POLL_S = 0.25


@click.group("audit", invoke_without_command=True)
@audit_options.wish
@click.option(
    "-f", "--follow", "is_followed", is_flag=True, help="Go on with new ones, until Ctrl-C."
)
@options.state
@click.option(
    "-o",
    "--output",
    "shape",
    type=click.Choice([one.value for one in Shape]),
    default=Shape.TABLE.value,
    show_default=True,
    help="Form of the output; `jsonl`: a record a line.",
)
@click.pass_context
def command(
    context: click.Context,
    *,
    wish: Wish,
    is_followed: bool,
    directory: Path,
    state: Path | None,
    shape: str,
) -> None:
    """Show what was called, decided and done, newest first.

    Read from the audit files of the state folder, whether or not a gateway runs, those it rotated
    included. All that is asked must be true of a record.
    With -f oldest first: the newest --limit records, then what comes.
    """
    if context.invoked_subcommand is not None:
        from mesh7_cli.verbs import tools  # noqa: PLC0415 - only for a subcommand

        tools.refuse_misplaced(context, context.invoked_subcommand)
        return
    # SQLite is only for who asks.
    from mesh7_cli import progress  # noqa: PLC0415
    from mesh7_cli.auditing import coming, folder, places, tail  # noqa: PLC0415
    from mesh7_cli.verbs import audit  # noqa: PLC0415

    place = options.state_folder(directory, state)
    if is_followed:
        _refuse_what_ends(context, wish, Shape(shape))
        output.note(places.awaited(place))
    else:
        places.known(place)
    with progress.shown("indexing the audit") as tell:
        asked = folder.Folder(place, tell)
        if not is_followed:
            audit.run(asked, wish, Shape(shape))
            return
        lines = coming.coming(
            asked, tail.Tail(place), wish, output.note, lambda: time.sleep(POLL_S)
        )
        audit.follow(lines, Shape(shape))


def _refuse_what_ends(context: click.Context, wish: Wish, shape: Shape) -> None:
    """What -f could only pass over: it begins with the newest records, and has no end."""
    message = ""
    if shape not in FOLLOWED:
        message = f"-f prints records one by one, `-o {shape}` is a whole page – write `-o jsonl`"
    elif wish.cursor:
        message = "-f goes on with newer records, `--cursor` with older ones – leave one of them"
    elif wish.wanted.until_us is not None:
        message = "-f goes on until Ctrl-C, `--until` ends before – leave one of them"
    if message:
        raise click.UsageError(message, ctx=context)


@command.command("verify")
@click.option(
    "--head", "heads", metavar="HEAD|FILE", multiple=True,
    help="A head that you kept elsewhere, or a file of them; may be given again.",
)  # fmt: skip
@options.state
@options.form
def verify(heads: tuple[str, ...], directory: Path, state: Path | None, form: output.Form) -> int:
    """Hold every stored byte against its seal, and the seals against the signed heads.

    Says what was edited, cut off, moved, left out or added, and where. Exits 0 only when the
    records are sound; what a crash tore is told, and sound.
    """
    # Keys are only for who verifies.
    from mesh7_cli import progress  # noqa: PLC0415
    from mesh7_cli.auditing import places, signed, verified  # noqa: PLC0415
    from mesh7_cli.verbs import verify as verb  # noqa: PLC0415

    kept = [head for text in heads for head in signed.given(text)]
    place = options.state_folder(directory, state)
    if not kept:
        # Whoever kept a head learns more: that what it names is gone.
        places.known(place)
    with progress.shown("verifying the audit") as tell:
        verdict = verified.verify(place, kept, tell)
    verb.show(verdict, form)
    return exits.Exit.OK if verdict.is_sound else exits.Exit.UNSOUND


@command.command("head")
@options.state
def head(directory: Path, state: Path | None) -> None:
    """Print the newest signed head of the audit, one line, to be kept elsewhere.

    Whoever may write your files can sign as well. A head that lies where they cannot write shows
    what they do to the records before it: `mesh7 audit verify --head`.
    """
    # Keys are only for who needs them.
    from mesh7_cli.auditing import places, signed  # noqa: PLC0415

    place = places.known(options.state_folder(directory, state))
    found = signed.read(place)
    if not found:
        message = (
            f"`{place}` has no signed head – a gateway signs one within seconds of its first record"
        )
        raise exits.UnknownError(message)
    click.echo(found[-1].line)
