"""`mesh7 status` and `mesh7 tools` against scripted answers."""

import json
from pathlib import Path

import pytest
import yaml

from mesh7_cli import exits, main
from tests.cli.scripted_gateway import Reply, Script, serve

STATUS: dict[str, object] = {
    "pid": 42,
    "version": "0.1.0",
    "directory": "/policies",
    "namespace": "shop",
    "agent": "support",
    "listen": "127.0.0.1:7007",
    "admin": "",
    "bundle": {
        "digest": "sha256:0123456789abcdef",
        "loadedAt": "2026-11-21T10:00:00.123456+00:00",
        "policies": 1,
        "sources": 2,
    },
    "problems": [],
    "sources": [
        {"name": "git", "kind": "mcp", "state": "ready", "tools": 12, "protocol": "2026-07-28"},
        {"name": "web", "kind": "mcp", "state": "failed", "error": "source `web` is gone"},
    ],
    "uptimeSeconds": 61,
    "calls": {"allowed": 3, "denied": 2, "held": 0, "refused": 1},
}
TOOLS = {
    "tools": [
        {"name": "git.git_log", "description": "Shows the log.\nMore."},
        {"name": "time.now", "description": "Tells the time."},
    ]
}
DEFINED = {
    "sources": [{"name": "git", "pinning": "Enforce", "error": ""}],
    "tools": [
        {
            "source": source, "name": name, "state": state, "isServed": is_served,
            "mayCall": may_call, "definition": {"instructions": "", "tool": {"name": name}},
        }
        for source, name, state, is_served, may_call in (
            ("git", "git_log", "accepted", True, True),
            ("git", "git_push", "changed", False, True),
            ("git", "git_reset", "new", False, False),
            ("time", "now", "-", True, True),
        )
    ],
}  # fmt: skip


def ask(state: Path, status: dict[str, object], *arguments: str) -> int:
    """Run one command against a gateway that is in `status`."""
    replies = {
        "GET /control/status": Reply(body=json.dumps(status)),
        "GET /v1/tools": Reply(body=json.dumps(TOOLS)),
        "GET /control/tools": Reply(body=json.dumps(DEFINED)),
    }
    with serve(state, Script(replies=replies)):
        return main.exit_code([*arguments, "--state", str(state)])


@pytest.mark.promise("C2")
def test_status_says_what_is_guarded_and_how_each_source_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/reference/commands.md, status."""
    assert ask(tmp_path, STATUS, "status") == exits.Exit.OK
    assert capsys.readouterr().out == (
        "mesh7     0.1.0, pid 42, up 0:01:01\n"
        "folder    /policies\n"
        "agent     shop/support\n"
        "listens   http://127.0.0.1:7007\n"
        "admin     off\n"
        "bundle    sha256:0123456789ab since 2026-11-21T10:00:00 UTC, 1 policy, 2 sources\n"
        "calls     3 allowed, 2 denied, 0 held, 1 refused\n"
        "\n"
        "SOURCE  KIND  STATE   TOOLS  PROTOCOL    ERROR\n"
        "git     mcp   ready   12     2026-07-28\n"
        "web     mcp   failed                     source `web` is gone\n"
    )


@pytest.mark.promise("C2")
def test_status_says_where_the_ledger_is_and_what_waits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/reference/status.md: ledger, requests, standing."""
    more: dict[str, object] = {
        "ledger": {"home": "redis", "trouble": "`h:1` refuses the password"},
        "requests": {"open": 2},
        "standing": {"grants": 1, "vetoes": 0},
    }
    assert ask(tmp_path, STATUS | more, "status") == exits.Exit.OK
    assert (
        "ledger    redis, lost: `h:1` refuses the password\n"
        "requests  2 open, see `mesh7 requests`\n"
        "standing  1 grant, 0 vetoes\n"
    ) in capsys.readouterr().out


@pytest.mark.promise("C2")
def test_a_broken_edit_is_shown_and_exits_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Issue 3, hot reload: a broken edit shows in `mesh7 status`."""
    broken = STATUS | {"problems": ["p.yaml:3: unknown key `acton`"]}
    assert ask(tmp_path, broken, "status") == exits.Exit.WRONG
    assert capsys.readouterr().out.endswith(
        "the last edit is broken, the set before it is still in force:\n"
        "  p.yaml:3: unknown key `acton`\n"
    )


@pytest.mark.promise("C2")
def test_status_as_yaml_is_the_whole_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/reference/commands.md: `-o yaml` prints what the gateway said."""
    assert ask(tmp_path, STATUS, "status", "-o", "yaml") == exits.Exit.OK
    assert yaml.safe_load(capsys.readouterr().out) == STATUS


@pytest.mark.promise("C2")
def test_tools_are_listed_by_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """docs/reference/commands.md, tools."""
    assert ask(tmp_path, STATUS, "tools", "--source", "git") == exits.Exit.OK
    assert capsys.readouterr().out == (
        "TOOL          DEFINITION  DESCRIPTION\n"
        "git.git_log   accepted    Shows the log.\n"
        "git.git_push  changed     (hidden)\n"
        "\n1 tool hidden until accepted – look with `mesh7 tools accept --dry-run NAME`\n"
    )


@pytest.mark.promise("C2")
def test_nothing_is_said_of_definitions_where_none_is_pinned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/reference/commands.md, tools."""
    assert ask(tmp_path, STATUS, "tools", "--source", "time") == exits.Exit.OK
    assert capsys.readouterr().out == "TOOL      DESCRIPTION\ntime.now  Tells the time.\n"


@pytest.mark.promise("M11")
def test_status_names_what_of_pinning_a_person_should_look_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/user/pinning.md."""
    pinning = {
        "mode": "Enforce", "accepted": 3, "changed": ["a"], "new": list("bcde"), "unlisted": ["f"],
    }  # fmt: skip
    settled = pinning | {"mode": "Warn", "changed": [], "unlisted": []}
    sources = [{"name": "git", "pinning": pinning}, {"name": "web", "pinning": settled}]
    assert ask(tmp_path, STATUS | {"sources": sources}, "status") == exits.Exit.OK
    assert capsys.readouterr().out.endswith(
        "\n\ntools of `git` under `pinning: Enforce`: 1 changed (`a`), 4 not accepted (`b`, `c`, "
        "`d`, …), 1 accepted but not listed (`f`) – see `mesh7 tools`\n"
    )


@pytest.mark.promise("C4")
def test_a_missing_gateway_says_where_it_was_sought_and_how_to_start_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Style: what, where, what to do."""
    assert main.exit_code(["status", "--dir", str(tmp_path)]) == exits.Exit.NO_GATEWAY
    assert capsys.readouterr().err == (
        f"mesh7: no gateway answers at `{tmp_path}/.mesh7/gateway.sock` – start one with"
        f" `mesh7 run {tmp_path}`, or name its folder with --dir or --state\n"
    )


@pytest.mark.promise("C4")
def test_something_else_on_the_socket_is_told_apart_from_no_gateway(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Style: what, where, what to do."""
    with serve(tmp_path, Script(replies={"GET /control/status": Reply(body="<html>")})):
        assert main.exit_code(["status", "--state", str(tmp_path)]) == exits.Exit.NO_GATEWAY
    assert "is it another version of mesh7?" in capsys.readouterr().err
