"""The page of commands has a section for each command, with every flag and argument it takes."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from mesh7_cli import main

PAGE = (Path(__file__).resolve().parents[2] / "docs/reference/commands.md").read_text()


def commands(group: click.Group, path: str = "mesh7") -> Iterator[tuple[str, click.Command]]:
    """Every command with its full name."""
    for name, command in group.commands.items():
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


def usage(name: str) -> str:
    """The text block that begins the section of a command."""
    found = re.search(rf"^## {name}\n\n```text\n(.*?)```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/reference/commands.md has no section `## {name}`"
    return found.group(1)


@pytest.mark.promise("C5")
@pytest.mark.parametrize(("name", "command"), list(commands(main.program)))
def test_the_usage_of_a_command_names_exactly_its_flags(name: str, command: click.Command) -> None:
    """Promise C5: every flag documented, and none that does not exist."""
    flags = {
        one.opts[-1] if one.opts[-1] != "--output" else "-o"
        for one in command.params
        if isinstance(one, click.Option)
    }
    written = usage(name)
    assert set(re.findall(r"(?<![\w-])(-{1,2}[a-z][a-z-]*)", written)) == flags
    assert written.startswith(name)
