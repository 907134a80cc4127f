"""`mesh7 explain`: why a call would be allowed or refused, offline."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import click

from mesh7_cli import arguments, options, output


@click.command("explain")
@click.argument("tool")
@click.argument("json_text", metavar="[JSON|@FILE|-]", required=False)
@click.option("--http", "request", metavar="'METHOD PATH'", help="Request line of a plain call.")
@click.option("--dir", "directory", metavar="DIR", default=".", type=click.Path(path_type=Path))
@click.option(
    "-f",
    "paths",
    metavar="PATH",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Manifests or folders of them, in place of --dir; may be given again.",
)
@options.agent
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
    form: output.Form,
) -> None:
    """Say why a call to TOOL would be allowed or refused, rung by rung, without a gateway.

    TOOL is `<source>.<tool>`; with --http 'GET /path?query' it may be the source alone.
    The policies are those of the folder as it stands now, not of a running gateway.
    """
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
