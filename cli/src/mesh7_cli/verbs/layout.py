"""How an answer is laid out: the form that was asked for, and what a table of it shows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import click

from mesh7_cli import output, reading

Columns = Callable[[Mapping[str, object]], Iterator[tuple[str, str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What was asked for.

    Attributes:
        is_wide: columns that few need, too.
        has_heads: over a table.
        has_namespaces: what is shown is of several.
    """

    form: output.Form
    is_wide: bool = False
    has_heads: bool = True
    has_namespaces: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """How things of a kind are called.

    Attributes:
        key: of the object, where its name stands.
        kind: what stands before a name with `-o name`.
        nothing: what is said when there are none.
    """

    key: str
    kind: str
    nothing: str


def show(
    found: Sequence[Mapping[str, object]], layout: Layout, names: Names, columns: Columns
) -> None:
    """Print what was found: names, JSON, YAML, or a table.

    Args:
        columns: of one that was found, heads and cells.
    """
    if layout.form is output.Form.NAME:
        for one in found:
            click.echo(f"{names.kind}{output.visible(reading.text(one, names.key))}")
    elif layout.form is not output.Form.TABLE:
        output.write(found, layout.form)
    elif not found:
        # What a script counts is lines.
        click.echo(names.nothing, err=not layout.has_heads)
    else:
        rows = [list(columns(one)) for one in found]
        cells = [[cell for _, cell in row] for row in rows]
        if layout.has_heads:
            output.table([head for head, _ in rows[0]], cells)
        else:
            output.bare_table(cells)
