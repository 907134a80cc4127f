"""The verb `audit`: what was called, decided and done, newest first, or as it comes."""

from collections.abc import Iterable, Iterator
from enum import StrEnum

import click

from mesh7_cli import output, reading, spelled
from mesh7_cli.records import Page, Records, Wish
from mesh7_cli.verbs import recorded
from mesh7_cli.verbs.recorded import Said

_WIDTHS = {"time": 20, "what": 7, "tool": 24, "agent": 20, "outcome": 10, "took": 7, "id": 16}
"""Of lines that come one by one: a table's are not known before its end."""


class Shape(StrEnum):
    """The forms of `-o`."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    JSONL = "jsonl"
    YAML = "yaml"


def run(records: Records, wish: Wish, shape: Shape) -> None:
    """Print one page."""
    page = records.query(wish)
    said = _read(page.lines)
    if shape in {Shape.JSON, Shape.YAML}:
        whole: dict[str, object] = {"records": [one.fields for one in said]}
        if page.cursor:
            whole["cursor"] = page.cursor
        output.write(whole, output.Form(shape.value))
    elif shape is Shape.JSONL:
        _lines(said)
    elif said:
        rows = [dict(_columns(one, is_wide=shape is Shape.WIDE)) for one in said]
        output.table(list(rows[0]), [list(row.values()) for row in rows])
    else:
        click.echo("no record is meant by this")
    _tell(page, shape)


def follow(records: Iterable[str], shape: Shape) -> None:
    """Print each record on a line of its own as it comes, heads above the first."""
    if shape is Shape.TABLE:
        click.echo(
            "  ".join(name.upper().ljust(width) for name, width in _WIDTHS.items()) + "  WHY"
        )
    for line in records:
        said = _read([line])
        if shape is not Shape.TABLE:
            _lines(said)
        elif said:
            click.echo(_row(said[0]))


def _read(lines: Iterable[str]) -> list[Said]:
    return [said for line in lines if (said := recorded.read(line)) is not None]


def _lines(said: Iterable[Said]) -> None:
    for one in said:
        click.echo(spelled.compact(one.fields))


def _row(said: Said) -> str:
    cells = [
        (output.visible(cell).ljust(_WIDTHS.get(name, 0)), cell)
        for name, cell in _columns(said, is_wide=False)
    ]
    return "  ".join(
        output.painted(padded, output.COLOURS.get(cell, "")) for padded, cell in cells
    ).rstrip()


def _columns(said: Said, *, is_wide: bool) -> Iterator[tuple[str, str]]:
    """Heads and cells."""
    fields = said.fields
    yield "time", reading.text(fields, "time") if is_wide else recorded.seconds(said)
    yield "what", said.what
    yield "tool", reading.text(fields, "tool")
    yield "agent", said.agent
    if is_wide:
        yield "pod", said.pod
    yield "outcome", reading.text(fields, "outcome")
    yield "took", recorded.took(said)
    yield "id", said.id
    if is_wide:
        yield "door", reading.text(fields, "door")
        yield "request", reading.text(fields, "requestId")
        yield "trace", reading.text(fields, "traceId")
    yield "why", recorded.why(said)


def _tell(page: Page, shape: Shape) -> None:
    """What is to know beside the page; programs find the cursor in JSON and YAML."""
    for text in page.notes:
        output.note(text)
    if page.cursor and shape not in {Shape.JSON, Shape.YAML}:
        output.note(f"older ones: the same again with --cursor {page.cursor}")
