"""`mesh7 check` and `mesh7 explain`: files in, findings or reasons out, no gateway."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mesh7_cli import exits, main

FolderOf = Callable[[dict[str, str]], Path]

POLICY = """\
apiVersion: mesh7.dev/v1alpha1
kind: AgentPolicy
metadata: {name: notes}
spec:
  selector: {}
  rules:
  - {name: read, tools: ["notes.read"], action: Allow}
  - {name: own, tools: ["api.post"], when: 'http.path == "/own"', action: Allow}
"""
SOURCES = """\
apiVersion: mesh7.dev/v1alpha1
kind: ToolSource
metadata: {name: notes}
spec:
  mcp: {transport: Stdio, command: [notes]}
  tools: {exclude: [hidden]}
---
apiVersion: mesh7.dev/v1alpha1
kind: ToolSource
metadata: {name: api}
spec:
  http: {url: "https://api.example.com"}
"""


@pytest.mark.promise("C2")
def test_a_mistake_is_told_by_file_and_line_and_exits_one(
    folder_of: FolderOf, capsys: pytest.CaptureFixture[str]
) -> None:
    """Issue 3: check compiles like a compiler."""
    folder = folder_of({"p.yaml": POLICY.replace("action: Allow", "acton: Allow", 1)})
    assert main.exit_code(["check", str(folder)]) == exits.Exit.WRONG
    printed = capsys.readouterr().out
    assert printed.startswith(f"{folder}/p.yaml:7: error: ")
    assert "did you mean `action`?" in printed


@pytest.mark.promise("C2")
def test_a_folder_of_folders_is_checked_one_by_one(
    folder_of: FolderOf, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/reference/commands.md: two sets with the same names do not meet."""
    folder = folder_of({"a/p.yaml": POLICY, "b/p.yaml": POLICY, "b/baseline/q.yaml": POLICY})
    assert main.exit_code(["check", str(folder)]) == exits.Exit.OK
    assert capsys.readouterr().out.splitlines()[-1] == "2 sets checked, nothing wrong"


@pytest.mark.promise("C2")
def test_findings_are_read_by_programs_as_json(
    folder_of: FolderOf, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/reference/commands.md, check."""
    folder = folder_of({"p.yaml": "apiVersion: mesh7.dev/v1alpha1\nkind: Polici\n"})
    assert main.exit_code(["check", str(folder), "-o", "json"]) == exits.Exit.WRONG
    answer = json.loads(capsys.readouterr().out)
    found = answer["diagnostics"][0]
    assert (answer["sets"], answer["errors"]) == (1, 1)
    assert (found["file"], found["line"], found["severity"], found["path"]) == (
        f"{folder}/p.yaml", 2, "error", "kind",
    )  # fmt: skip


@pytest.mark.promise("C4")
@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        ("missing", exits.Exit.SETTINGS, "missing: cannot be read: No such file or directory"),
        (".", exits.Exit.WRONG, "no manifest in `.` – give a folder with .yaml files"),
        ("notes.txt", exits.Exit.WRONG, "no manifest in `notes.txt`"),
    ],
)
def test_a_path_without_manifests_is_never_called_clean(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    path: str,
    code: exits.Exit,
    message: str,
) -> None:
    """A typing error in a CI line must not pass."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    assert main.exit_code(["check", path]) == code
    assert message in capsys.readouterr().err


def explained(
    folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str
) -> dict[str, object]:
    """What `mesh7 explain … -o json` answers about `folder`."""
    code = main.exit_code(["explain", *arguments, "--dir", str(folder), "-o", "json"])
    assert code == exits.Exit.OK
    answer = json.loads(capsys.readouterr().out)
    assert isinstance(answer, dict)
    return answer


@pytest.mark.promise("P9")
@pytest.mark.promise("C2")
@pytest.mark.parametrize(
    ("arguments", "decision", "reason", "rules"),
    [
        (["notes.read"], "Allow", "allowed-by-rule", ["default/notes/read"]),
        (["notes.write", "{}"], "Deny", "denied-by-default", ["default/notes/default"]),
        (["api", "--http", "POST /own"], "Allow", "allowed-by-rule", ["default/notes/own"]),
        (["api", "--http", "POST /%6fwn?x=1"], "Allow", "allowed-by-rule", ["default/notes/own"]),
        (["api", "--http", "GET /own"], "Deny", "denied-by-default", ["default/notes/default"]),
        (["notes.read", "--namespace", "shop"], "Allow", "allowed-by-rule", ["shop/notes/read"]),
    ],
)
def test_a_decision_is_explained_as_the_gateway_would_take_it(
    folder_of: FolderOf,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    decision: str,
    reason: str,
    rules: list[str],
) -> None:
    """Promise P9, from the command line."""
    folder = folder_of({"p.yaml": POLICY, "s.yaml": SOURCES})
    answer = explained(folder, capsys, *arguments)
    assert (answer["decision"], answer["reason"], answer["rules"]) == (decision, reason, rules)
    assert answer["notes"] == []


@pytest.mark.promise("C2")
@pytest.mark.parametrize(
    ("tool", "note"),
    [
        ("other.read", "the manifests have no source `other`"),
        ("notes.hidden", "source `notes` does not serve `hidden`"),
    ],
)
def test_what_a_gateway_would_not_serve_is_noted(
    folder_of: FolderOf, capsys: pytest.CaptureFixture[str], tool: str, note: str
) -> None:
    """A decision about a tool that is never served must not reassure anybody."""
    folder = folder_of({"p.yaml": POLICY, "s.yaml": SOURCES})
    notes = explained(folder, capsys, tool)["notes"]
    assert isinstance(notes, list)
    assert notes[0].startswith(note)


@pytest.mark.promise("C4")
@pytest.mark.parametrize("request_line", ["POST own", "POST /a/../own", "/own", "POST //own"])
def test_a_request_that_would_not_be_let_in_is_refused(
    folder_of: FolderOf, capsys: pytest.CaptureFixture[str], request_line: str
) -> None:
    """Style: what, where, what to do."""
    folder = folder_of({"p.yaml": POLICY})
    code = main.exit_code(["explain", "api", "--http", request_line, "--dir", str(folder)])
    assert code == exits.Exit.USAGE
    assert f"`{request_line}` is no request that mesh7 lets in" in capsys.readouterr().err


@pytest.mark.promise("C4")
def test_broken_policies_explain_nothing(
    folder_of: FolderOf, capsys: pytest.CaptureFixture[str]
) -> None:
    """A decision by half of a policy would mislead."""
    folder = folder_of({"p.yaml": POLICY.replace("kind: AgentPolicy", "kind: AgentPolice")})
    assert main.exit_code(["explain", "notes.read", "--dir", str(folder)]) == exits.Exit.WRONG
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"{folder}/p.yaml:2: error: kind: unknown kind `AgentPolice`")
