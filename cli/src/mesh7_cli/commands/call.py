"""`mesh7 call`: one tool call through the running gateway, as an agent would make it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mesh7_cli import arguments, exits, held_note, mcp, options, output, reading
from mesh7_core import errors

if TYPE_CHECKING:
    from mesh7_cli import gateway

DECISION = "mesh7.dev/"
NOTES = ("decision", "rule", "reason", "requestId", "retryAfter")
THROTTLED = frozenset({"limit-exceeded", "limit-unavailable", "loop-detected", "too-many"})
# A held call may take its time; the gateway has its own bounds.
TIMEOUT_S = 660.0


@click.command("call")
@click.argument("tool")
@click.argument("json_text", metavar="[JSON|@FILE|-]", required=False)
@options.state
@options.form
def command(
    tool: str, json_text: str | None, directory: Path, state: Path | None, form: output.Form
) -> int:
    """Call TOOL (`<source>.<tool>`) through the running gateway, to try it.

    The arguments are a JSON object, a file of one (`@file`), or stdin (`-`).

    Exits 0 when the tool answered, 5 when it failed, 6 when the call was denied, 7 when it is
    held, 8 when a limit is used up.
    """
    source, dot, name = tool.partition(".")
    if not (source and dot and name):
        message = f"`{tool}` is no tool name, write <source>.<tool> as `mesh7 tools` shows them"
        raise click.UsageError(message)
    given = arguments.read(json_text)
    from mesh7_cli import gateway  # noqa: PLC0415 - 60 ms only for who talks to a gateway

    running = gateway.Gateway(options.state_folder(directory, state))
    with held_note.telling(running, tool):
        answer = _call(running, source, name, given)
    error = reading.one(answer, "error")
    if error:
        problem = f"source `{source}` answered with an error: {reading.text(error, 'message')}"
        if _is_plain_http(running, source):
            problem = f"source `{source}` is a plain HTTP API – call it at /http/{source}/"
        raise errors.UpstreamError(output.visible(problem))
    result = reading.one(answer, "result")
    if form is output.Form.TABLE:
        _show(result)
    else:
        output.write(result, form)
    return _code(result)


def _call(
    running: "gateway.Gateway", source: str, name: str, given: Mapping[str, object]
) -> dict[str, object]:
    """Ask as a modern client; when the source knows only the handshake, ask again with one."""
    path = f"/mcp/{source}"
    status, message, _ = _ask(running, path, mcp.modern_call(name, given))
    if mcp.wants_handshake(status, message):
        older_status, older = _call_in_session(running, path, name, given)
        if older is not None:
            status, message = older_status, older
    if message is None:
        what = f"the gateway answered HTTP {status} for source `{source}` without an MCP answer"
        problem = f"{what} – see `mesh7 status` for the sources there are"
        raise errors.UpstreamError(problem)
    return message


def _is_plain_http(running: "gateway.Gateway", source: str) -> bool:
    return any(
        reading.text(one, "name") == source and reading.text(one, "kind") == "http"
        for one in reading.objects(running.get("/control/status"), "sources")
    )


def _call_in_session(
    running: "gateway.Gateway", path: str, name: str, given: Mapping[str, object]
) -> tuple[int, dict[str, object] | None]:
    status, greeting, identifier = _ask(running, path, mcp.handshake())
    version = reading.text(greeting or {}, "result", "protocolVersion")
    if not version:
        return status, None
    session = {"mcp-protocol-version": version}
    if identifier:
        session["mcp-session-id"] = identifier
    _ask(running, path, mcp.handshake_done(session))
    status, message, _ = _ask(running, path, mcp.legacy_call(name, given, session))
    if identifier:
        with running.exchange("DELETE", path, session, None, TIMEOUT_S):
            pass
    return status, message


def _ask(
    running: "gateway.Gateway", path: str, question: mcp.Question
) -> tuple[int, dict[str, object] | None, str]:
    """The HTTP status, the MCP answer if there is one, and the session id if one was given."""
    with running.exchange("POST", path, question.headers, question.body, TIMEOUT_S) as response:
        message = mcp.answer(response.header("content-type"), response.lines())
        return response.status, message, response.header("mcp-session-id")


def _show(result: Mapping[str, object]) -> None:
    for block in reading.objects(result, "content"):
        kind = reading.text(block, "type")
        if kind == "text":
            click.echo(output.visible_lines(reading.text(block, "text")))
        else:
            click.echo(
                f"[{output.visible(kind)} {output.visible(reading.text(block, 'mimeType'))}]"
            )
    meta = reading.one(result, "_meta")
    notes = [(note, reading.text(meta, DECISION + note)) for note in NOTES]
    for note, value in notes:
        if value:
            click.echo(f"{note}: {output.coloured(output.visible(value))}", err=True)


def _code(result: Mapping[str, object]) -> exits.Exit:
    if not reading.truth(result, "isError"):
        return exits.Exit.OK
    meta = reading.one(result, "_meta")
    if reading.text(meta, f"{DECISION}decision") == "Hold":
        return exits.Exit.HELD
    if reading.text(meta, f"{DECISION}reason") in THROTTLED:
        return exits.Exit.THROTTLED
    # An unknown tool names no rule and no decision, but its reason says that the gateway spoke.
    if any(key.startswith(DECISION) for key in meta):
        return exits.Exit.DENIED
    return exits.Exit.TOOL_ERROR
