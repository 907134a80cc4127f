"""The composition root: help, usage errors, unexpected errors, weight."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from mesh7_cli import plugin

ROOT = Path(__file__).resolve().parents[3]


def test_the_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """docs/reference/kubectl-mesh7.md."""
    assert plugin.exit_code(["--version"]) == 0
    assert re.fullmatch(r"kubectl-mesh7 \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_without_a_command_it_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    """As kubectl alone does."""
    assert plugin.exit_code([]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Usage: kubectl mesh7 [OPTIONS] COMMAND")
    assert err == ""


@pytest.mark.parametrize("name", list(plugin.COMMANDS))
def test_every_command_says_in_its_help_what_the_list_says(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The list imports no command, so that it is written twice."""
    command = importlib.import_module(f"mesh7_cli.plugin_commands.{name}").command
    assert isinstance(command, click.Command)
    assert (command.help or "").splitlines()[0] == plugin.COMMANDS[name]
    assert plugin.exit_code([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: kubectl mesh7 {name} ")


def test_a_command_line_that_cannot_be_understood_is_told_as_kubectl_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Issue 6: errors in kubectl's style on stderr; usage is 2."""
    assert plugin.exit_code(["status", "--frobnicate"]) == 2
    assert capsys.readouterr().err == (
        "error: no such option `--frobnicate`\nSee 'kubectl mesh7 status --help' for usage.\n"
    )


def test_help_imports_nothing_heavy() -> None:
    """Issue 6: startup is quick."""
    program = (
        "import sys\nfrom mesh7_cli import plugin\nplugin.exit_code(['--help'])\n"
        "heavy = {'http.client', 'rich', 'pydantic', 'yaml', 'asyncio', 'cryptography',\n"
        "         'concurrent.futures', 'mesh7_sidecar', 'kubernetes', 'mesh7_cli.main'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", list(plugin.COMMANDS))
def test_no_command_imports_the_sidecar(name: str) -> None:
    """Design 2: the sidecar only for `mesh7 run` and `mesh7 stdio`."""
    rooms = ["injecting.judging", "overview.gathering", "checks.catalogue", "checks.gathering"]
    program = (
        f"import sys, mesh7_cli.plugin_commands.{name}\n"
        + "".join(f"import mesh7_cli.{room}\n" for room in rooms)
        + "heavy = {'mesh7_sidecar', 'kubernetes', 'kopf', 'aiohttp', 'httpx'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (done.returncode, done.stderr) == (0, "")
