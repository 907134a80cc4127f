"""`mesh7 audit`: what was called, decided and done, from the files of a state folder."""

import time
from pathlib import Path

import click

from mesh7_cli import audit_options, options, output
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
