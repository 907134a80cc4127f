"""What people and programs read on stdout: tables, JSON, YAML.

Colours only on a terminal and never with NO_COLOR; a table that goes into a pipe is plain text
with aligned columns and is never cut.
"""

import json
import os
import sys
from collections.abc import Sequence
from enum import StrEnum

import click


class Form(StrEnum):
    """The forms of `-o`."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


COLOURS = {
    "Allow": "green",
    "Deny": "red",
    "Hold": "yellow",
    "ready": "green",
    "failed": "red",
    "ok": "green",
    "error": "red",
}


def write(value: object, form: Form) -> None:
    """Print `value`, made of JSON's types, as JSON or YAML; a table is the command's own."""
    if form is Form.YAML:
        import yaml  # noqa: PLC0415 - only who asks for YAML pays for it

        text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)
        click.echo(text, nl=False)
        return
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under upper-case heads; the last column is as wide as it likes."""
    if not rows:
        return
    if sys.stdout.isatty():
        _drawn_table(heads, rows)
    else:
        _plain_table(heads, rows)


def may_colour() -> bool:
    """Whether stdout is a terminal whose owner did not ask for no colours (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def coloured(word: str) -> str:
    """`word` in its colour when stdout may have colours."""
    colour = COLOURS.get(word)
    return click.style(word, fg=colour) if colour and may_colour() else word


def visible(text: str) -> str:
    """`text` with everything that could move a cursor or turn a line around made harmless.

    Names and texts of tools come from servers that nobody vouches for (attack X22).
    """
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


def visible_lines(text: str) -> str:
    """Like `visible`, with line feeds and tabs kept."""
    return "\n".join(
        "\t".join(visible(cell) for cell in line.split("\t"))
        for line in text.replace("\r\n", "\n").split("\n")
    )


def _drawn_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    # 50 ms, only on a terminal.
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    drawn = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for head in heads[:-1]:
        # Names stay whole, so that they can be copied.
        drawn.add_column(head.upper(), no_wrap=True)
    drawn.add_column(heads[-1].upper(), overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(visible(cell), style=COLOURS.get(cell, "")) for cell in row))
    Console(no_color=not may_colour()).print(drawn)


def _plain_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    lines = [[head.upper() for head in heads], *[[visible(cell) for cell in row] for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
