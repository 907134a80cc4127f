"""What people and programs read on stdout: tables, JSON, YAML.

Colours only on a terminal and never with NO_COLOR. A table is plain text with aligned columns and
is never cut; on a terminal without room for all of them, the last stand below each row.
"""

import math
import os
import shutil
import sys
from collections.abc import Sequence
from enum import StrEnum

import click

from mesh7_cli import neutral, spelled, tables


class Form(StrEnum):
    """The forms of `-o`."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"
    """Ids or names alone, one a line; only where things are listed."""


COLOURS = {
    "Allow": "green",
    "Deny": "red",
    "Hold": "yellow",
    "ready": "green",
    "failed": "red",
    "ok": "green",
    "error": "red",
    "warn": "yellow",
    "fatal": "red",
}


def write(value: object, form: Form) -> None:
    """Print `value`, made of JSON's types, as JSON or YAML; a table is the command's own.

    Numbers are spelled as they were read, and what a terminal would obey is escaped.
    """
    if form is Form.YAML:
        click.echo(_yaml(value), nl=False)
        return
    click.echo(spelled.pretty(value))


def note(text: str) -> None:
    """Tell on stderr what people should know about what was done; nothing when it is empty."""
    if text:
        click.echo(f"mesh7: {visible(text)}", err=True)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under upper-case heads; first the columns without which the rest says nothing."""
    if rows:
        _print(heads, rows, width() or math.inf)


def bare_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows for programs: aligned, without heads, never folded."""
    _print((), rows, math.inf)


def width() -> int | None:
    """Letters in a line of stdout's terminal; None = it is none, and lines are as long as needed.

    Asked each time: people resize their windows.
    """
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def may_colour() -> bool:
    """Whether stdout is a terminal whose owner did not ask for no colours (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def coloured(word: str) -> str:
    """`word` in its colour when stdout may have colours."""
    return painted(word, COLOURS.get(word, ""))


def painted(text: str, colour: str) -> str:
    """`text` in a colour when stdout may have colours; empty = in none."""
    return click.style(text, fg=colour) if colour and may_colour() else text


def visible(text: str) -> str:
    """`text` as one line that can neither move a cursor nor turn a line around (attack X22)."""
    return neutral.line(text)


def visible_lines(text: str) -> str:
    """Like `visible`, with line feeds and tabs kept."""
    return neutral.lines(text)


def _print(heads: Sequence[str], rows: Sequence[Sequence[str]], width: float) -> None:
    shown = [[visible(cell) for cell in row] for row in rows]
    for line in tables.lines(heads, shown, width, _paint):
        click.echo(line)


def _paint(cell: str, drawn: str) -> str:
    return painted(drawn, COLOURS.get(cell, ""))


def _yaml(value: object) -> str:
    import yaml  # noqa: PLC0415 - only who asks for YAML pays for it

    class Dumper(yaml.SafeDumper):
        """Numbers as they were spelled."""

    Dumper.add_representer(
        spelled.Number,
        lambda dumper, number: dumper.represent_scalar("tag:yaml.org,2002:float", number.text),
    )
    text = yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)
    if neutral.lines(text) == text:
        return text
    # YAML calls more letters printable than a terminal does: then nothing beyond ASCII.
    return yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=False, width=100)
