"""`mesh7 test`: cases against policies, offline."""

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
"""
CASES = """\
apiVersion: mesh7.dev/v1alpha1
kind: PolicyCases
cases:
- {name: reading is allowed, tool: notes.read, expect: Allow, rule: notes/read}
- {name: writing is denied, tool: notes.write, expect: Deny}
"""


@pytest.mark.promise("P12")
def test_cases_that_hold_exit_zero(folder_of: FolderOf, capsys: pytest.CaptureFixture[str]) -> None:
    """docs/reference/commands.md, test."""
    folder = folder_of({"p.yaml": POLICY, "cases.yaml": CASES})
    arguments = ["test", "-f", str(folder / "p.yaml"), "-f", str(folder / "cases.yaml")]
    assert main.exit_code(arguments) == exits.Exit.OK
    assert capsys.readouterr().out == (
        "ok    reading is allowed\nok    writing is denied\n2 cases, 0 failed\n"
    )


@pytest.mark.promise("P12")
def test_a_mismatch_is_told_with_its_line_and_exits_one(
    folder_of: FolderOf, capsys: pytest.CaptureFixture[str]
) -> None:
    """Promise P12."""
    folder = folder_of({"p.yaml": POLICY, "cases.yaml": CASES.replace("Deny", "Allow")})
    assert main.exit_code(["test", "-f", str(folder)]) == exits.Exit.WRONG
    printed = capsys.readouterr().out.splitlines()
    assert printed[1] == (
        f"FAIL  {folder}/cases.yaml:5: error: case `writing is denied`: expected `Allow`, got"
        " `Deny` (`denied-by-default`, rule `default/notes/default`)"
    )
    assert printed[2] == "2 cases, 1 failed"


@pytest.mark.promise("P12")
def test_no_case_at_all_exits_one(folder_of: FolderOf, capsys: pytest.CaptureFixture[str]) -> None:
    """Promise P12: a green run of nothing would reassure."""
    folder = folder_of({"p.yaml": POLICY})
    assert main.exit_code(["test", "-f", str(folder)]) == exits.Exit.WRONG
    assert "no case found" in capsys.readouterr().err


@pytest.mark.promise("P12")
def test_cases_are_not_run_against_policies_that_do_not_compile(
    folder_of: FolderOf, capsys: pytest.CaptureFixture[str]
) -> None:
    """A case that passes by half of a policy would mislead."""
    folder = folder_of({"p.yaml": POLICY.replace("Allow", "allow"), "cases.yaml": CASES})
    assert main.exit_code(["test", "-f", str(folder)]) == exits.Exit.WRONG
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"{folder}/p.yaml:7: error: " in printed.err


@pytest.mark.promise("P12")
def test_results_are_read_by_programs_as_json(
    folder_of: FolderOf, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/reference/commands.md, test."""
    folder = folder_of({"p.yaml": POLICY, "cases.yaml": CASES})
    assert main.exit_code(["test", "-f", str(folder), "-o", "json"]) == exits.Exit.OK
    answer = json.loads(capsys.readouterr().out)
    assert answer["failed"] == 0
    assert answer["cases"][1] == {
        "name": "writing is denied",
        "file": f"{folder}/cases.yaml",
        "line": 5,
        "passed": True,
        "decision": "Deny",
        "reason": "denied-by-default",
        "rules": ["default/notes/default"],
        "problem": "",
    }


@pytest.mark.promise("P12")
@pytest.mark.parametrize("example", ["quickstart", "model-api"])
def test_the_cases_of_the_examples_hold(example: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An example whose cases fail would teach the wrong thing."""
    folder = Path(__file__).resolve().parents[2] / "examples" / example
    assert main.exit_code(["test", "-f", str(folder)]) == exits.Exit.OK
    assert capsys.readouterr().out.endswith(", 0 failed\n")
