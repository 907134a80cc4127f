"""The pages of the plugin say what it does: every flag, every code, every reason."""

import importlib
import re
from pathlib import Path

import click
import pytest

from mesh7_cli import plugin
from mesh7_cli.cluster import flags
from mesh7_core.injection.outcomes import Refusal, Skip

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGE = (DOCS / "reference/kubectl-mesh7.md").read_text()
TROUBLES = (DOCS / "administrator/troubleshooting.md").read_text()
_KUBECTLS = {flag.name for flag in flags.FLAGS}


def section(page: str, heading: str) -> str:
    """The text below a heading, up to the next one of its rank."""
    found = re.search(
        rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL
    )
    assert found is not None, f"no heading `## {heading}`"
    return found.group(1)


def own_flags(name: str) -> set[str]:
    """Those of a command beside kubectl's, each by its long name."""
    command = importlib.import_module(f"mesh7_cli.plugin_commands.{name}").command
    assert isinstance(command, click.Command)
    return flags_of(command)


def flags_of(command: click.Command) -> set[str]:
    """The same of a command that is at hand."""
    found = {one.opts[-1] for one in command.params if isinstance(one, click.Option)}
    return found - {f"--{flag}" for flag in _KUBECTLS}


_SHORT = {"-f": "--filename", "-o": "--output", "-R": "--recursive", "-A": "--all-namespaces"}


@pytest.mark.promise("C5")
@pytest.mark.parametrize("name", list(plugin.COMMANDS))
def test_the_usage_of_a_command_names_exactly_its_flags(name: str) -> None:
    """Promise C5: every flag documented, and none that does not exist."""
    usage = re.search(r"```text\n(.*?)```", section(PAGE, f"kubectl mesh7 {name}"), re.DOTALL)
    assert usage is not None
    assert usage[1].startswith(f"kubectl mesh7 {name} ")
    written = re.findall(r"(?<![\w-])(-{1,2}[a-zA-Z][a-z-]*)", usage[1])
    assert {_SHORT.get(one, one) for one in written} == own_flags(name)


@pytest.mark.promise("C5")
def test_the_table_of_kubectls_flags_names_exactly_those_that_go_through() -> None:
    """Promise C5."""
    rows = re.findall(r"^\| (`.*?) \|", section(PAGE, "kubectl's flags"), re.MULTILINE)
    written = set(re.findall(r"`(-{1,2}[a-z-]+)`", " ".join(rows)))
    short = {f"-{flag.short}" for flag in flags.FLAGS if flag.short}
    assert written == {f"--{name}" for name in _KUBECTLS} | short


@pytest.mark.promise("C4")
def test_the_exit_codes_are_those_of_the_composition_root() -> None:
    """docs/reference/kubectl-mesh7.md."""
    found = re.findall(r"^\| (\d+) \|", section(PAGE, "Exit codes"), re.MULTILINE)
    assert found == ["0", "1", "2", "70", "130", "141"]


@pytest.mark.parametrize(
    ("heading", "reasons"),
    [("A pod is refused", list(Refusal)), ("A pod is left alone", list(Skip))],
)
def test_every_reason_of_injection_has_its_row(
    heading: str, reasons: list[Refusal] | list[Skip]
) -> None:
    """Issue 6: troubleshooting by reason code."""
    cells = re.findall(r"^\| (`.*?) \|", section(TROUBLES, heading), re.MULTILINE)
    written = re.findall(r"`([a-z-]+)`", " ".join(cells))
    assert sorted(written) == sorted(one.value for one in reasons)
