"""`mesh7 call`: arguments, both eras, what is shown and the exit code."""

import json
from pathlib import Path

import pytest

from mesh7_cli import exits, main
from tests.cli.scripted_gateway import Reply, Script, serve

MODERN = "POST /mcp/git tools/call"


def result(text: str, *, is_error: bool = False, **meta: object) -> Reply:
    """A complete answer to a tool call; `meta` are keys under `mesh7.dev/`."""
    body = {
        "jsonrpc": "2.0",
        "id": "mesh7-call-1",
        "result": {
            "content": [{"type": "text", "text": text}],
            "isError": is_error,
            "_meta": {f"mesh7.dev/{key}": value for key, value in meta.items()},
        },
    }
    return Reply(body=json.dumps(body))


def call(state: Path, reply: Reply, *more: str) -> int:
    """Run `mesh7 call git.git_log` against a gateway that answers `reply`."""
    with serve(state, Script(replies={MODERN: reply, "GET /control/status": Reply()})):
        return main.exit_code(["call", "git.git_log", "--state", str(state), *more])


@pytest.mark.promise("C2")
def test_an_answer_is_printed_and_exits_zero(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/reference/commands.md, call."""
    assert call(tmp_path, result("two commits")) == exits.Exit.OK
    assert capsys.readouterr().out == "two commits\n"


@pytest.mark.promise("C4")
@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (result("the repository is gone", is_error=True), exits.Exit.TOOL_ERROR),
        (
            result("no", is_error=True, decision="Deny", reason="denied-by-rule"),
            exits.Exit.DENIED,
        ),
        (
            result("wait", is_error=True, decision="Hold", reason="approval-required"),
            exits.Exit.HELD,
        ),
        (
            result("slow down", is_error=True, decision="Deny", reason="limit-exceeded"),
            exits.Exit.THROTTLED,
        ),
        (Reply(body='{"error": {"code": -32603, "message": "bad"}}'), exits.Exit.TOOL_ERROR),
        (Reply(status=502, content_type="text/plain", body="oops"), exits.Exit.TOOL_ERROR),
    ],
)
def test_every_kind_of_refusal_has_its_own_exit_code(
    tmp_path: Path, reply: Reply, code: exits.Exit
) -> None:
    """docs/reference/exit-codes.md."""
    assert call(tmp_path, reply) == code


@pytest.mark.promise("C2")
def test_a_denial_shows_its_text_and_what_machines_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Issue 3: shows text content, isError and the decision's `_meta`."""
    call(
        tmp_path,
        result(
            "denied by rule `default/p/r`",
            is_error=True,
            decision="Deny",
            rule="default/p/r",
            reason="denied-by-rule",
        ),
    )
    printed = capsys.readouterr()
    assert printed.out == "denied by rule `default/p/r`\n"
    assert printed.err == "decision: Deny\nrule: default/p/r\nreason: denied-by-rule\n"


@pytest.mark.promise("C2")
def test_an_event_stream_is_read_to_its_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """MCP Streamable HTTP: progress may precede the answer, comments may stand anywhere."""
    body = (
        ": waiting\n\n"
        'event: message\ndata: {"jsonrpc":"2.0","method":"notifications/progress","params":{}}\n\n'
        f"data: {result('done').body}\n\n"
    )
    reply = Reply(content_type="text/event-stream; charset=utf-8", body=body)
    assert call(tmp_path, reply) == exits.Exit.OK
    assert capsys.readouterr().out == "done\n"


@pytest.mark.promise("C2")
def test_a_source_of_the_handshake_era_is_asked_within_a_session(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """protocols.md 1.2: npm's reference servers know only the handshake revisions."""
    greeting = {"result": {"protocolVersion": "2025-11-25", "capabilities": {}}}
    replies = {
        "POST /mcp/fs tools/call": Reply(status=400, body='{"error": {"code": -32000}}'),
        "POST /mcp/fs initialize": Reply(
            body=json.dumps(greeting), headers={"mcp-session-id": "s1"}
        ),
        "POST /mcp/fs notifications/initialized": Reply(status=202, body=""),
        "DELETE /mcp/fs": Reply(status=204, body=""),
        "GET /control/status": Reply(),
    }
    script = Script(replies=replies)
    with serve(tmp_path, script):
        code = main.exit_code(["call", "fs.read", "{}", "--state", str(tmp_path)])
    assert code == exits.Exit.TOOL_ERROR
    assert script.asked == [
        "POST /mcp/fs tools/call",
        "POST /mcp/fs initialize",
        "POST /mcp/fs notifications/initialized",
        "POST /mcp/fs tools/call",
        "DELETE /mcp/fs",
        "GET /control/status",
    ]
    assert "source `fs` answered with an error" in capsys.readouterr().err


@pytest.mark.promise("C2")
def test_arguments_come_from_a_file_and_the_whole_result_is_printed_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/reference/commands.md, call."""
    (tmp_path / "arguments.json").write_text('{"path": "x"}')
    arguments = f"@{tmp_path / 'arguments.json'}"
    assert call(tmp_path, result("hello"), arguments, "-o", "json") == exits.Exit.OK
    assert json.loads(capsys.readouterr().out) == {
        "content": [{"type": "text", "text": "hello"}],
        "isError": False,
        "_meta": {},
    }


@pytest.mark.promise("C4")
@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("nodot", "{}", "`nodot` is no tool name, write <source>.<tool>"),
        ("a.b", "[1]", "must be a JSON object"),
        ("a.b", '{"a": 1, "a": 2}', "key `a` stands there twice"),
        ("a.b", '{"a": NaN}', "NaN is no JSON number"),
        ("a.b", "{secret", "the argument JSON is not JSON: line 1, column 2"),
        ("a.b", "@missing.json", "`missing.json` cannot be read: No such file or directory"),
    ],
)
def test_arguments_that_cannot_be_read_are_refused_before_anything_is_sent(
    capsys: pytest.CaptureFixture[str], tool: str, arguments: str, message: str
) -> None:
    """Style: a message says what, where and what to do, and never quotes arguments."""
    assert main.exit_code(["call", tool, arguments]) == exits.Exit.USAGE
    printed = capsys.readouterr().err
    assert message in printed
    assert "secret" not in printed


@pytest.mark.promise("C4")
def test_terminal_sequences_of_a_tool_are_made_visible(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Attack X22: a result must not move the cursor of whoever reads it."""
    call(tmp_path, result("a\u001b[2Jb\u202ec\nnext"))
    assert capsys.readouterr().out == "a\\x1b[2Jb\\u202ec\nnext\n"


@pytest.mark.promise("C4")
def test_a_plain_http_api_is_no_mcp_server_and_the_message_says_how_to_call_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Style: what, where, what to do."""
    status = Reply(body='{"sources": [{"name": "api", "kind": "http"}]}')
    refusal = Reply(status=404, body='{"error": {"code": -32602, "message": "no such source"}}')
    replies = {"POST /mcp/api tools/call": refusal, "GET /control/status": status}
    with serve(tmp_path, Script(replies=replies)):
        code = main.exit_code(["call", "api.get", "--state", str(tmp_path)])
    assert code == exits.Exit.TOOL_ERROR
    assert capsys.readouterr().err == (
        "mesh7: source `api` is a plain HTTP API – call it at /http/api/\n"
    )
