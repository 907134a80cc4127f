"""`kubectl mesh7 test`: the laptop's cases, without a cluster."""

import json
import re
from pathlib import Path

import pytest

from mesh7_cli import main, plugin
from tests.cli.plugin.worlds import Fake

POLICY = """\
apiVersion: mesh7.dev/v1alpha1
kind: AgentPolicy
metadata: {name: notes}
spec:
  selector: {}
  rules:
  - {name: read, tools: ["notes.read"], action: Allow}
"""
CASES = """\
apiVersion: mesh7.dev/v1alpha1
kind: PolicyCases
cases:
- {name: reading is allowed, tool: notes.read, expect: Allow, rule: notes/read}
- {name: writing is allowed, tool: notes.write, expect: Allow}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "set"
    found.mkdir()
    (found / "p.yaml").write_text(POLICY)
    (found / "cases.yaml").write_text(CASES)
    return found


def test_laptop_and_cluster_print_the_same(
    kubectl: Fake, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Design 12: the same words and output; nothing is asked of a cluster."""
    arguments = ["test", "-f", str(folder), "-o", "json"]
    assert plugin.exit_code(arguments) == 1
    ours = capsys.readouterr()
    assert main.exit_code(arguments) == 1
    assert ours == capsys.readouterr()
    assert json.loads(ours.out)["failed"] == 1
    assert kubectl.calls() == []


def test_the_namespace_is_kubectls(
    kubectl: Fake, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/reference/kubectl-mesh7.md: -n."""
    assert plugin.exit_code(["test", "-f", str(folder), "-n", "shop", "-o", "json"]) == 1
    rules = [one["rules"] for one in json.loads(capsys.readouterr().out)["cases"]]
    assert rules[0] == ["shop/notes/read"]
    assert kubectl.calls() == []


def test_a_mistake_is_told_by_file_and_line(
    kubectl: Fake, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Issue 3: it compiles like a compiler."""
    (folder / "p.yaml").write_text(POLICY.replace("action", "acton"))
    assert plugin.exit_code(["test", "-f", str(folder)]) == 1
    assert re.match(r"error: .*/p\.yaml:7: error: ", capsys.readouterr().err)
    assert kubectl.calls() == []
