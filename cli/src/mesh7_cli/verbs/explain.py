"""A call that somebody asks about, and the answer as people and programs read it.

What `mesh7 explain` and `kubectl mesh7 explain` share; each finds policies and caller its own way.
"""

from collections.abc import Sequence

import click

from mesh7_cli import output
from mesh7_core.policy import bundle, calls, explain


def call_of(
    compiled: bundle.Bundle,
    caller: calls.Agent,
    tool: str,
    request: str | None,
    given: dict[str, object],
) -> calls.Call:
    """The call as the gateway would judge it.

    Args:
        compiled: names the sources.
        caller: who would make it.
        tool: `<source>.<tool>`; with `request` the source is enough.
        request: `METHOD PATH` of a plain call; None = it is none.
        given: its arguments.

    Raises:
        click.UsageError: tool or request is none.
    """
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


def _http(source: str, request: str) -> calls.HttpPart:
    """The request line as the gateway would judge it."""
    from mesh7_sidecar.wire import paths  # noqa: PLC0415 - only plain calls have one

    method, _, target = request.strip().partition(" ")
    route = paths.route(f"/http/{source}{target.strip()}")
    if not method.isalpha() or not isinstance(route, paths.HttpRoute):
        message = f"`{request}` is no request that mesh7 lets in, write 'GET /path' or 'POST /path'"
        raise click.UsageError(message)
    return calls.HttpPart(method=method.upper(), path=route.path, query=route.query)


def notes_of(compiled: bundle.Bundle, call: calls.Call) -> list[str]:
    """What the gateway would find beside the policies."""
    source = compiled.sources.get(call.source)
    if source is None:
        return [f"the manifests have no source `{call.source}`, a gateway would not know the tool"]
    is_included = not source.include or any(glob.matches(call.name) for glob in source.include)
    if not is_included or any(glob.matches(call.name) for glob in source.exclude):
        return [f"source `{call.source}` does not serve `{call.name}`, see its `tools`"]
    return []


def show(explanation: explain.Explanation, notes: Sequence[str]) -> None:
    """Print the rungs as a table, and the notes on stderr."""
    rows = [[rung.step, rung.subject, rung.outcome, rung.detail] for rung in explanation.rungs]
    output.table(["step", "who", "outcome", "why"], rows)
    for note in notes:
        click.echo(f"note: {output.visible(note)}", err=True)


def as_object(
    call: calls.Call, explanation: explain.Explanation, notes: Sequence[str]
) -> dict[str, object]:
    """For programs."""
    decision = explanation.decision
    return {
        "tool": call.full_name,
        "decision": str(decision.verdict),
        "reason": str(decision.reason),
        "rules": list(decision.rules),
        "text": decision.text,
        "notes": list(notes),
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
