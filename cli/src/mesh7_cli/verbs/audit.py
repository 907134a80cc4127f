"""The verb `audit`: what was called, decided and done, newest first, or as it comes."""

from collections.abc import Iterable, Sequence
from enum import StrEnum

import click

from mesh7_cli import output, spelled
from mesh7_cli.records import Page, Records, Wish
from mesh7_cli.verbs import listed, recorded
from mesh7_cli.verbs.recorded import Said
from mesh7_core.audit.wanted import Wanted

NOTHING = "there are no records"
NONE_SUCH = "no record agrees with all of that"


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
        _table(said, shape)
    else:
        click.echo(NOTHING if wish.wanted == Wanted() and not wish.cursor else NONE_SUCH)
    _tell(page, shape)


def follow(records: Iterable[str], shape: Shape) -> None:
    """Print each record as it comes, heads above the first."""
    layout = listed.coming(output.width())
    if shape is Shape.TABLE:
        _echo(layout.heads())
    for line in records:
        said = _read([line])
        if shape is not Shape.TABLE:
            _lines(said)
        elif said:
            _echo(layout.lines(dict(listed.columns(said[0]))))


def _table(said: Sequence[Said], shape: Shape) -> None:
    """Wide rows are cut and folded nowhere: who asks for all wants all."""
    rows = [dict(listed.columns(one, is_wide=shape is Shape.WIDE)) for one in said]
    layout = listed.of(rows, None if shape is Shape.WIDE else output.width())
    _echo(layout.heads())
    for cells in rows:
        _echo(layout.lines(cells))


def _echo(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)


def _read(lines: Iterable[str]) -> list[Said]:
    return [said for line in lines if (said := recorded.read(line)) is not None]


def _lines(said: Iterable[Said]) -> None:
    for one in said:
        click.echo(spelled.compact(one.fields))


def _tell(page: Page, shape: Shape) -> None:
    """What is to know beside the page; programs find the cursor in JSON and YAML."""
    for text in page.notes:
        output.note(text)
    if page.cursor and shape not in {Shape.JSON, Shape.YAML}:
        output.note(f"older ones: the same again with --cursor {page.cursor}")
