"""Audit records as lines of a terminal: what has no room in a row stands below it.

Ids stand there whole however narrow it is, so that they can be copied. Who writes into a pipe or
a file gets everything in one row. Pure: no clock, no network, no logging.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mesh7_cli import fitting, output, reading, tables
from mesh7_cli.verbs import recorded
from mesh7_cli.verbs.recorded import Said

_LONGEST: Final = {"what": 10, "outcome": 14, "took": 8, "why": 40}
"""Cells of what is short in every record of ours; of reasons those in which they can be read when
they go on in a second line."""
_SHRINKS: Final = ("tool", "agent")
_WHOLE: Final = frozenset({"id", "why"})
_ENOUGH: Final = 15
"""Cells of a name that tell it from others, where it is longer."""
_LEAST: Final = 6
_YEAR: Final = len("2026-")
_TRIES: Final = (
    (False, ()),
    (False, ("why",)),
    (True, ("why",)),
    (False, ("outcome", "took", "why")),
    (True, ("outcome", "took", "why")),
    (True, ("agent", "outcome", "took", "why")),
)
"""What is tried in turn: whether times are short, and which columns stand below."""
_COMING: Final = {
    "time": 20, "what": 7, "tool": 24, "agent": 20, "outcome": 14, "took": 7, "id": 18, "why": 40,
}  # fmt: skip
"""The widths of records that come one by one: their table's are not known before its end."""

Cells = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where cells stand.

    Attributes:
        row: the width of each column of a row, in order; the last may be longer.
        below: columns that stand in lines below.
        is_short: times without year and zone.
        width: of a line; infinite where there is no terminal.
    """

    row: Mapping[str, int]
    below: Sequence[str] = ()
    is_short: bool = False
    width: float = math.inf

    def heads(self) -> list[str]:
        """The lines above the first record."""
        names = [fitting.padded(name.upper(), width) for name, width in self.row.items()]
        below = [tables.INDENT + tables.GAP.join(map(str.upper, self.below))] if self.below else []
        return [tables.GAP.join(names).rstrip(), *below]

    def lines(self, cells: Cells) -> Iterator[str]:
        """Those of one record, coloured where stdout may have colours."""
        shown = {name: self._shown(name, text) for name, text in cells.items()}
        row = [
            output.painted(fitting.padded(shown[name], width), output.COLOURS.get(cells[name], ""))
            for name, width in self.row.items()
            if name != "why"
        ]
        begin = sum(width + len(tables.GAP) for name, width in self.row.items() if name != "why")
        why, *more = fitting.folded(shown["why"], self.width - begin) if "why" in self.row else [""]
        yield tables.GAP.join([*row, why]).rstrip()
        yield from (" " * begin + one for one in more)
        rest = tables.GAP.join(filter(None, (shown[name] for name in self.below)))
        if rest:
            yield from (
                tables.INDENT + one for one in fitting.folded(rest, self.width - len(tables.INDENT))
            )

    def _shown(self, name: str, text: str) -> str:
        text = output.visible(text)
        if name == "time" and self.is_short:
            text = text[_YEAR:].removesuffix("Z").replace("T", " ")
        is_whole = name in _WHOLE or name not in self.row or math.isinf(self.width)
        return text if is_whole else fitting.cut(text, self.row[name])


def of(rows: Iterable[Cells], width: int | None) -> Layout:
    """A layout for these, on a terminal of this width; None = there is none, and nothing is cut."""
    natural: dict[str, int] = {}
    for cells in rows:
        for name, text in cells.items():
            before = natural.get(name, len(name))
            natural[name] = max(before, fitting.width(output.visible(text)))
    return _fitted(natural, width)


def coming(width: int | None) -> Layout:
    """A layout for records that come one by one: nobody knows yet how wide they will be."""
    return _fitted(_COMING, width)


def _fitted(natural: Mapping[str, int], width: int | None) -> Layout:
    layout = Layout(row=natural)
    if width is None:
        return layout
    for is_short, below in _TRIES:
        row = {name: min(cells, _LONGEST.get(name, cells)) for name, cells in natural.items()}
        if is_short:
            row["time"] = max(len("time"), row["time"] - _YEAR - 1)
        row = {name: cells for name, cells in row.items() if name not in below}
        left = width - sum(row.values()) - len(tables.GAP) * (len(row) - 1)
        given = row | _shared({name: row[name] for name in _SHRINKS if name in row}, left)
        layout = Layout(row=given, below=below, is_short=is_short, width=width)
        if _has_room(layout, row):
            return layout
    # Of an even narrower terminal the last try is taken.
    return layout


def _has_room(layout: Layout, natural: Mapping[str, int]) -> bool:
    """Whether a row fits into a line, and what shrank is still told from others."""
    used = sum(layout.row.values()) + len(tables.GAP) * (len(layout.row) - 1)
    return used <= layout.width and all(
        layout.row[name] >= min(natural[name], _ENOUGH) for name in _SHRINKS if name in layout.row
    )


def columns(said: Said, *, is_wide: bool = False) -> Iterator[tuple[str, str]]:
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


def _shared(natural: Mapping[str, int], left: int) -> dict[str, int]:
    """Widths of columns that shrink, the widest first; `left` < 0 is what they have to give up."""
    given = dict(natural)
    for _ in range(-left):
        widest = max(given, key=lambda name: given[name])
        given[widest] = max(given[widest] - 1, min(_LEAST, natural[widest]))
    return given
