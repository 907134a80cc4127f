"""`mesh7 explain`: why a call would be allowed or refused, offline."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mesh7_cli import arguments, options, output

if TYPE_CHECKING:
    from mesh7_core.policy import bundle, calls, explain


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
    from mesh7_cli import sets  # noqa: PLC0415 - the compiler is only for who compiles
    from mesh7_core.policy import calls, explain, view  # noqa: PLC0415

    compiled = sets.joined(paths or [directory]).bundle(namespace)
    caller = calls.Agent(
        namespace=compiled.namespace, service_account=agent, pod="explain", labels=labels
    )
    call = _call(compiled, caller, tool, request, arguments.read(json_text))
    explanation = explain.offline(view.view_of(compiled, caller), call, datetime.now(UTC))
    notes = _notes(compiled, call)
    if form is output.Form.TABLE:
        _show(explanation, notes)
    else:
        output.write(_as_object(call, explanation, notes), form)


def _call(
    compiled: "bundle.Bundle",
    caller: "calls.Agent",
    tool: str,
    request: str | None,
    given: dict[str, object],
) -> "calls.Call":
    from mesh7_core.policy import calls  # noqa: PLC0415

    name, _, rest = tool.partition(".")
    source = compiled.sources.get(name)
    http = None
    if request is not None:
        http = _http(name, request)
        rest = rest or http.method.lower()
    elif not rest:
        message = f"`{tool}` is no tool name, write <source>.<tool>, or give --http 'GET /path'"
        raise click.UsageError(message)
    return calls.Call(
        caller,
        calls.Family.TOOLS,
        name,
        rest,
        given,
        source.kind if source is not None else calls.SourceKind.MCP,
        source.host if source is not None else "",
        http,
    )


def _http(source: str, request: str) -> "calls.HttpPart":
    """The request line as the gateway would judge it."""
    from mesh7_core.policy import calls  # noqa: PLC0415
    from mesh7_sidecar.wire import paths  # noqa: PLC0415

    method, _, target = request.strip().partition(" ")
    route = paths.route(f"/http/{source}{target.strip()}")
    if not method.isalpha() or not isinstance(route, paths.HttpRoute):
        message = f"`{request}` is no request that mesh7 lets in, write 'GET /path' or 'POST /path'"
        raise click.UsageError(message)
    return calls.HttpPart(method=method.upper(), path=route.path, query=route.query)


def _notes(compiled: "bundle.Bundle", call: "calls.Call") -> list[str]:
    """What the gateway would find beside the policies."""
    source = compiled.sources.get(call.source)
    if source is None:
        return [f"the manifests have no source `{call.source}`, a gateway would not know the tool"]
    is_included = not source.include or any(glob.matches(call.name) for glob in source.include)
    if not is_included or any(glob.matches(call.name) for glob in source.exclude):
        return [f"source `{call.source}` does not serve `{call.name}`, see its `tools`"]
    return []


def _show(explanation: "explain.Explanation", notes: list[str]) -> None:
    rows = [[rung.step, rung.subject, rung.outcome, rung.detail] for rung in explanation.rungs]
    output.table(["step", "who", "outcome", "why"], rows)
    for note in notes:
        click.echo(f"note: {output.visible(note)}", err=True)


def _as_object(
    call: "calls.Call", explanation: "explain.Explanation", notes: list[str]
) -> dict[str, object]:
    decision = explanation.decision
    return {
        "tool": call.full_name,
        "decision": str(decision.verdict),
        "reason": str(decision.reason),
        "rules": list(decision.rules),
        "text": decision.text,
        "notes": notes,
        "rungs": [
            {
                "step": str(rung.step),
                "subject": rung.subject,
                "outcome": str(rung.outcome),
                "detail": rung.detail,
            }
            for rung in explanation.rungs
        ],
    }
