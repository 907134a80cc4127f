"""`mesh7 audit`: what was called, decided and done, from the files of a state folder."""

import time
from pathlib import Path

import click

from mesh7_cli import audit_options, exits, options, output
from mesh7_cli.records import Wish
from mesh7_cli.verbs.audit import Shape

FOLLOWED = (Shape.TABLE, Shape.JSON, Shape.JSONL)
POLL_S = 0.25


@click.group("audit", invoke_without_command=True)
@audit_options.wish
@click.option("-f", "--follow", "is_followed", is_flag=True, help="Go on with new ones.")
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
    """
    if context.invoked_subcommand is not None:
        from mesh7_cli.verbs import tools  # noqa: PLC0415 - only for a subcommand

        tools.refuse_misplaced(context, context.invoked_subcommand)
        return
    # SQLite is only for who asks.
    from mesh7_cli import progress  # noqa: PLC0415
    from mesh7_cli.auditing import coming, folder, tail  # noqa: PLC0415
    from mesh7_cli.verbs import audit  # noqa: PLC0415

    if is_followed and Shape(shape) not in FOLLOWED:
        message = f"-f prints a record a line, it cannot print `-o {shape}`"
        raise click.UsageError(message, ctx=context)
    place = options.state_folder(directory, state)
    with progress.shown("indexing the audit") as tell:
        asked = folder.Folder(place, tell)
        if not is_followed:
            audit.run(asked, wish, Shape(shape))
            return
        lines = coming.coming(
            asked, tail.Tail(place), wish, output.note, lambda: time.sleep(POLL_S)
        )
        audit.follow(lines, Shape(shape))


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
    from mesh7_cli.auditing import signed, verified  # noqa: PLC0415
    from mesh7_cli.verbs import verify as verb  # noqa: PLC0415

    kept = [head for text in heads for head in signed.given(text)]
    with progress.shown("verifying the audit") as tell:
        verdict = verified.verify(options.state_folder(directory, state), kept, tell)
    verb.show(verdict, form)
    return exits.Exit.OK if verdict.is_sound else exits.Exit.UNSOUND


@command.command("head")
@options.state
def head(directory: Path, state: Path | None) -> None:
    """Print the newest signed head of the audit, one line, to be kept elsewhere.

    Whoever may write your files can sign as well. A head that lies where they cannot write shows
    what they do to the records before it: `mesh7 audit verify --head`.
    """
    from mesh7_cli.auditing import signed  # noqa: PLC0415 - keys are only for who needs them

    place = options.state_folder(directory, state)
    found = signed.read(place)
    if not found:
        message = (
            f"`{place}` has no signed head – a gateway signs one within seconds of its first record"
        )
        raise exits.UnknownError(message)
    click.echo(found[-1].line)
