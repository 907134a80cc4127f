"""A real gateway, a real server, a person at a real terminal: held, looked at, approved, run."""

import subprocess
import sys
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
  - {name: ask, tools: ["time.*"], action: RequireApproval, reason: a person looks}
"""
CALL = ["call", "time.get_current_time", '{"timezone": "UTC"}']


@pytest.mark.promise("A1")
@pytest.mark.promise("A5")
@pytest.mark.promise("A11")
def test_a_held_call_runs_when_a_person_at_a_terminal_says_yes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Issue 4, shown by: held in one terminal, approved in `mesh7 watch`, answered in the first."""
    (tmp_path / "policy.yaml").write_text(POLICY)
    where = ["--dir", str(tmp_path)]
    with running(tmp_path), terminal.running(["watch", *where]) as screen:
        screen.until("nothing waits, watching")
        with subprocess.Popen(
            [*MESH7, *CALL, *where], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as held:
            assert '    "timezone": "UTC"\n' in screen.until("[a]pprove")
            assert main.exit_code(["requests", "-o", "name", *where]) == exits.Exit.OK
            identifier = capsys.readouterr().out.strip()
            # No person: a program without a terminal may not decide.
            scripted = subprocess.run(
                [sys.executable, "-m", "mesh7_cli", "approve", identifier, *where],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                start_new_session=True,
            )  # fmt: skip
            assert scripted.returncode == exits.Exit.REFUSED
            screen.until(f"approved `{identifier}`", pressing="a")
            answer, _ = held.communicate(timeout=60)
        assert held.returncode == exits.Exit.OK
        assert '"timezone": "UTC"' in answer
        assert main.exit_code(["approve", identifier, *where]) == exits.Exit.REFUSED
        assert screen.end(pressing="q") == exits.Exit.OK
