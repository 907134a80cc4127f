"""`mesh7 explain`: why a call would be allowed or refused, offline, or why one was."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import click

from mesh7_cli import arguments, completing, options, output


@click.command("explain")
@click.argument("tool", metavar="TOOL|ID", shell_complete=completing.recorded_ids)
@click.argument("json_text", metavar="[JSON|@FILE|-]", required=False)
@click.option("--http", "request", metavar="'METHOD PATH'", help="Request line of a plain call.")
@click.option(
    "--dir",
    "directory",
    metavar="DIR",
    type=click.Path(path_type=Path),
    default=".",
    show_default=True,
    help="Folder with the manifests; for an ID, the one that the gateway was started with.",
)
@click.option(
    "-f",
    "paths",
    metavar="PATH",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Manifests or folders of them, in place of --dir; may be given again.",
)
@options.agent
@click.option(
    "--state",
    type=options.FOLDER,
    envvar=options.STATE_VARIABLE,
    help=f"State folder of the gateway, for an ID."
    f"  [default: DIR/{options.STATE_FOLDER}; env: {options.STATE_VARIABLE}]",
)
@options.form
def command(  # noqa: PLR0913 - one argument a flag
    tool: str,
    json_text: str | None,
    request: str | None,
    directory: Path,
    paths: tuple[Path, ...],
    agent: str,
    labels: Mapping[str, str],
    namespace: str | None,
    state: Path | None,
    form: output.Form,
) -> None:
    """Say why a call to TOOL would be allowed or refused, rung by rung, without a gateway.

    TOOL is `<source>.<tool>`; with --http 'GET /path?query' it may be the source alone.
    The policies are those of the folder as it stands now, not of a running gateway.

    With the whole ID of an audit record or of a request, say why that call was decided as it
    was: from its record alone, whatever the policies are now.
    """
    if json_text is None and request is None and not paths:
        # What names a tool has a dot, an id has none.
        from mesh7_cli.verbs import recalled  # noqa: PLC0415 - see below

        if recalled.is_id(tool):
            _recount(tool, directory, state, form)
            return
    # The compiler is only for who compiles.
    from mesh7_cli import sets  # noqa: PLC0415
    from mesh7_cli.verbs import explain as explained  # noqa: PLC0415
    from mesh7_core.policy import calls, explain, view  # noqa: PLC0415

    compiled = sets.joined(paths or [directory]).bundle(namespace)
    caller = calls.Agent(
        namespace=compiled.namespace, service_account=agent, pod="explain", labels=labels
    )
    call = explained.call_of(compiled, caller, tool, request, arguments.read(json_text))
    explanation = explain.offline(view.view_of(compiled, caller), call, datetime.now(UTC))
    notes = explained.notes_of(compiled, call)
    if form is output.Form.TABLE:
        explained.show(explanation, notes)
    else:
        output.write(explained.as_object(call, explanation, notes), form)


def _recount(identifier: str, directory: Path, state: Path | None, form: output.Form) -> None:
    """Why a call was decided as it was."""
    from mesh7_cli import progress  # noqa: PLC0415 - SQLite is only for who asks
    from mesh7_cli.auditing import folder, places  # noqa: PLC0415
    from mesh7_cli.verbs import recount  # noqa: PLC0415

    place = places.known(options.state_folder(directory, state))
    with progress.shown("indexing the audit") as tell:
        asked = folder.Folder(place, tell)
        recount.run(asked, identifier, form)
