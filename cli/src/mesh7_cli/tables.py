"""Rows under heads, in which nothing is ever cut: columns that have no room stand below their row.

Those to decide by come first, so the last go first. Pure: no clock, no network, no logging.
"""

from collections.abc import Callable, Iterator, Sequence

from mesh7_cli import fitting

GAP = "  "
INDENT = "    "
READABLE = 24
"""Cells of the last column in which it can be read when it goes on in a second line."""

Row = Sequence[str]
Paint = Callable[[str, str], str]
"""From a cell, and what is to be drawn of it, to that in colour."""


def lines(heads: Row, rows: Sequence[Row], width: float, paint: Paint) -> Iterator[str]:
    """All lines of a table.

    Args:
        heads: in lower case; none = no line is for them.
        rows: one or more; as they may be shown, each cell one line.
        width: of a line; infinite where there is no terminal.
    """
    upper = [head.upper() for head in heads]
    shown = [upper, *rows] if heads else rows
    widths = [max(map(fitting.width, column)) for column in zip(*shown, strict=True)]
    count = _count(widths, width)
    for row in shown:
        yield from _row(row[:count], widths, width, paint)
        if row is not upper and heads[count:]:
            yield from _below(heads[count:], row[count:], width)


def _count(widths: Sequence[int], width: float) -> int:
    """How many columns there is room for; the last of all may go on in a second line."""
    count = len(widths)
    if _needed([*widths[:-1], min(widths[-1], READABLE)]) <= width:
        return count
    while count > 1 and _needed(widths[:count]) > width:
        count -= 1
    return count


def _needed(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _row(row: Row, widths: Sequence[int], width: float, paint: Paint) -> Iterator[str]:
    *before, last = row
    given = widths[: len(before)]
    drawn = [
        paint(cell, fitting.padded(cell, least)) for cell, least in zip(before, given, strict=True)
    ]
    begin = sum(given) + len(GAP) * len(given)
    first, *more = fitting.folded(last, width - begin)
    yield GAP.join([*drawn, paint(last, first)]).rstrip()
    yield from (" " * begin + paint(last, one) for one in more)


def _below(heads: Row, row: Row, width: float) -> Iterator[str]:
    room, line = width - len(INDENT), ""
    for said in (f"{head}: {cell}" for head, cell in zip(heads, row, strict=True) if cell):
        longer = f"{line}{GAP}{said}" if line else said
        if line and fitting.width(longer) > room:
            yield from _indented(line, room)
            longer = said
        line = longer
    if line:
        yield from _indented(line, room)


def _indented(line: str, room: float) -> Iterator[str]:
    return (INDENT + one for one in fitting.folded(line, room))
