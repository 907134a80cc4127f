"""`mesh7 trace`: agent, policy, people and tool of one trace, drawn in the terminal."""

from pathlib import Path

import click

from mesh7_cli import completing, ids, options, output


@click.command("trace")
@click.argument("identifier", metavar="ID", shell_complete=completing.recorded_ids)
@options.state
@options.form
def command(identifier: str, directory: Path, state: Path | None, form: output.Form) -> None:
    """Draw the calls of a trace in time: what policy, people and the tool took of each.

    ID is a trace, a record or a request, whole. Drawn from the audit records, so it is there for
    every call, whether or not its trace was sent anywhere.
    """
    # SQLite is only for who asks.
    from mesh7_cli import progress  # noqa: PLC0415
    from mesh7_cli.auditing import folder, places  # noqa: PLC0415
    from mesh7_cli.verbs import trace  # noqa: PLC0415

    (whole,) = ids.whole([identifier])
    place = places.known(options.state_folder(directory, state))
    with progress.shown("indexing the audit") as tell:
        asked = folder.Folder(place, tell)
        trace.run(asked, whole, form)
