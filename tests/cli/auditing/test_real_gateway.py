"""A real gateway, a real server: what it recorded is read, verified, told and drawn by `mesh7`."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mesh7_cli import exits, main
from tests.cli import terminal
from tests.cli.test_quickstart import MESH7, running

POLICY = """\
apiVersion: mesh7.dev/v1alpha1
kind: ToolSource
metadata: {name: time}
spec:
  mcp: {transport: Stdio, command: [mcp-server-time]}
---
apiVersion: mesh7.dev/v1alpha1
kind: AgentPolicy
metadata: {name: asking}
spec:
  selector: {}
  defaultAction: Deny
  rules:
  - {name: mars, tools: ["time.*"], when: 'args.timezone == "Mars"', action: Deny}
  - {name: ask, tools: ["time.get_current_time"], action: RequireApproval, reason: look}
"""
NOW = ["call", "time.get_current_time", '{"timezone": "UTC"}']
MARS = ["call", "time.get_current_time", '{"timezone": "Mars"}']
Capture = pytest.CaptureFixture[str]
Answer = Callable[..., dict[str, object]]


@pytest.fixture
def answer(tmp_path: Path, capsys: Capture) -> Answer:
    """What a command of `mesh7` prints as JSON."""

    def ask(*words: str) -> dict[str, object]:
        capsys.readouterr()
        main.exit_code([*words, "--dir", str(tmp_path), "-o", "json"])
        found = json.loads(capsys.readouterr().out)
        assert isinstance(found, dict)
        return found

    return ask


def records(answer: Answer, *words: str) -> list[dict[str, object]]:
    """What `mesh7 audit` finds."""
    found = answer("audit", *words)["records"]
    assert isinstance(found, list)
    return found


@pytest.fixture
def guarded(tmp_path: Path, answer: Answer) -> dict[str, object]:
    """A gateway that denied a call, and let another one pass because a person said so; its deed."""
    (tmp_path / "policy.yaml").write_text(POLICY)
    where = ["--dir", str(tmp_path)]
    with running(tmp_path), terminal.running(["watch", *where]) as screen:
        screen.until("nothing waits, watching")
        assert main.exit_code([*MARS, *where]) == exits.Exit.DENIED
        with subprocess.Popen([*MESH7, *NOW, *where], stdout=subprocess.PIPE) as held:
            screen.until("[a]pprove")
            screen.until("approved `", pressing="a")
            held.communicate(timeout=60)
        # It was written before the person was told, and is read while the gateway runs.
        (deed,) = records(answer, "--deeds")
    assert (deed["deed"], deed["tool"]) == ("approve", "time.get_current_time")
    return deed


@pytest.mark.promise("T5")
@pytest.mark.promise("C2")
def test_what_a_gateway_recorded_is_read_told_and_drawn(
    guarded: dict[str, object], answer: Answer
) -> None:
    """Issue 8: audit, explain ID and trace ID, on the laptop."""
    request = str(guarded["requestId"])
    (denied,) = records(answer, "--decision", "deny", "--rule", "mars")
    assert denied["reason"] == "denied-by-rule"
    (ran,) = records(answer, "--request", request, "--decision", "Allow")
    told = answer("explain", str(ran["id"]))
    assert (told["record"], told["people"]) == (ran, [guarded])
    assert answer("explain", request)["record"] == ran
    drawn = next(one for one in _calls(answer("trace", str(ran["id"]))) if one["id"] == ran["id"])
    assert [step["name"] for step in drawn["steps"]] == ["policy.evaluate", "approval.wait", "tool"]
    assert [one["id"] for one in drawn["people"]] == [guarded["id"]]


@pytest.mark.promise("T5")
@pytest.mark.promise("W10")
@pytest.mark.usefixtures("guarded")
def test_what_a_gateway_recorded_is_verified_and_an_edit_is_found(
    tmp_path: Path, capsys: Capture, answer: Answer
) -> None:
    """Issue 8: audit verify and audit head; attack: one word of one record is changed."""
    where = ["--dir", str(tmp_path)]
    capsys.readouterr()
    assert main.exit_code(["audit", "head", *where]) == exits.Exit.OK
    kept = tmp_path / "kept"
    kept.write_text(capsys.readouterr().out)
    sound = answer("audit", "verify", "--head", str(kept))
    assert (sound["isSound"], sound["findings"]) == (True, [])
    path = tmp_path / ".mesh7" / "audit.jsonl"
    path.write_bytes(path.read_bytes().replace(b"denied-by-rule", b"granted-by-rul", 1))
    assert main.exit_code(["audit", "verify", *where]) == exits.Exit.UNSOUND
    assert ": edited: " in capsys.readouterr().out


def _calls(drawn: dict[str, object]) -> list[dict[str, list[dict[str, object]]]]:
    found = drawn["calls"]
    assert isinstance(found, list)
    return found
