"""How an answer is laid out: the form that was asked for, and what a table of it shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import click

from mesh7_cli import output


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


def shown(
    found: Sequence[Mapping[str, object]], names: Sequence[str], kind: str, form: output.Form
) -> bool:
    """Print what programs read: names, JSON or YAML; whether that was asked for.

    Args:
        names: of what was found.
        kind: what stands before each name.
    """
    if form is output.Form.TABLE:
        return False
    if form is output.Form.NAME:
        for name in names:
            click.echo(f"{kind}{output.visible(name)}")
    else:
        output.write(found, form)
    return True


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], layout: Layout) -> None:
    """Print a table, with its heads or without."""
    if layout.has_heads:
        output.table(heads, rows)
    else:
        output.bare_table(rows)
