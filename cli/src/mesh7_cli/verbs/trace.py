"""The verb `trace`: agent, policy, people and tool of one trace, drawn in time."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mesh7_cli import neutral, output, reading
from mesh7_cli.records import Records
from mesh7_cli.verbs import recalled, recorded, waterfall
from mesh7_cli.verbs.waterfall import Drawn, Mark, Step, Waterfall

_PIPED_WIDTH: Final = 100
_NARROW: Final = 60
_LEAST_BAR: Final = 8
_TIME: Final = 8
_STYLES: Final = {
    waterfall.POLICY: "blue", waterfall.WAIT: "yellow", waterfall.TOOL: "magenta",
    "ok": "green", "tool-error": "red", "protocol-error": "red", "failed": "red",
    "refused": "red", "gone": "yellow", "moved": "yellow",
}  # fmt: skip
_BLOCKS: Final = {waterfall.WAIT: "░"}
_FULL: Final = "█"
_DIAMOND: Final = "◆"
_PLAIN: Final = str.maketrans({"█": "#", "░": ".", "◆": "*", "→": ">", "…": "~"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line: what it is, a bar or a mark, how long it took, and a word about it.

    Attributes:
        letter: of its bar.
        marks: where in its bar people spoke, in milliseconds.
    """

    name: str
    begin_ms: float
    length_ms: float
    letter: str
    style: str
    took: str
    word: str
    word_style: str = ""
    marks: tuple[float, ...] = ()


def run(records: Records, identifier: str, form: output.Form) -> None:
    """Draw the trace of this id, or of the record or request of this id.

    Raises:
        UnknownError: there is nothing by this id.
    """
    name, found, notes = recalled.trace(records, identifier)
    drawn = waterfall.of(name, found)
    if form is output.Form.TABLE:
        _draw(drawn)
    else:
        output.write(waterfall.as_object(drawn), form)
    for text in notes:
        output.note(text)


def _draw(drawn: Waterfall) -> None:
    # 50 ms, only for who draws.
    from rich.console import Console  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(no_color=not output.may_colour(), highlight=False, soft_wrap=True)
    width = console.width if console.is_terminal else _PIPED_WIDTH
    is_plain = not (console.encoding or "").lower().startswith("utf")
    for parts in _lines(drawn, width):
        line = Text()
        for text, style in parts:
            line.append(text.translate(_PLAIN) if is_plain else text, style=style)
        line.rstrip()
        console.print(line)


def _lines(drawn: Waterfall, width: int) -> Iterator[list[tuple[str, str]]]:
    yield [(_title(drawn), "bold")]
    agents = {call.said.agent for call in drawn.calls}
    if len(agents) == 1:
        yield [(f"agent {neutral.line(*agents)}", "")]
    if drawn.began:
        yield [(f"began {drawn.began}, took {recorded.span(drawn.length_ms)}", "")]
    rows = list(_rows(drawn, has_agents=len(agents) > 1))
    names = min(max((_cells(row.name) for row in rows), default=0), int(width * 0.4))
    words = min(max((_cells(row.word) for row in rows), default=0), int(width * 0.25))
    if width < _NARROW:
        words = 0
    bar = max(_LEAST_BAR, width - names - words - _TIME - 3)
    for row in rows:
        yield [
            (f"{_cut(row.name, names)} ", ""),
            *_bar(row, drawn.length_ms, bar),
            (f" {row.took:>{_TIME}}", ""),
            (f" {_cut(row.word, words)}" if words else "", row.word_style),
        ]
    if drawn.undrawn:
        yield [(f"{drawn.undrawn} more records of it cannot be drawn", "")]


def _title(drawn: Waterfall) -> str:
    name = f"trace {neutral.line(drawn.id)}" if drawn.id else "of no trace"
    count = len(drawn.calls)
    return f"{name}, {count} call{'' if count == 1 else 's'}"


def _rows(drawn: Waterfall, *, has_agents: bool) -> Iterator[Row]:
    """Calls, the steps of each below it, and people where they spoke."""
    for call in drawn.calls:
        yield _call_row(call, f"{call.said.agent} → " if has_agents else "")
        for step in call.steps:
            within = tuple(
                mark.at_ms
                for mark in call.marks
                if step.name == waterfall.WAIT
                and step.begin_ms <= mark.at_ms <= step.begin_ms + step.length_ms
            )
            yield _step_row(call, step, within)
            if step.name == waterfall.WAIT:
                yield from map(_mark_row, call.marks)
        if all(step.name != waterfall.WAIT for step in call.steps):
            yield from map(_mark_row, call.marks)
    yield from map(_mark_row, drawn.marks)


def _call_row(call: Drawn, agent: str) -> Row:
    fields = call.said.fields
    outcome = reading.text(fields, "outcome")
    again = " again" if call.is_again else ""
    return Row(
        name=neutral.line(f"{agent}{call.whole.name}{again}"),
        begin_ms=call.whole.begin_ms,
        length_ms=call.whole.length_ms,
        letter=_FULL,
        style=_STYLES.get(outcome, ""),
        took=recorded.span(call.whole.length_ms),
        word=neutral.line(outcome),
        word_style=_STYLES.get(outcome, ""),
    )


def _step_row(call: Drawn, step: Step, marks: tuple[float, ...]) -> Row:
    fields = call.said.fields
    word = ""
    if step.name == waterfall.POLICY:
        word = f"{call.said.what} {reading.text(fields, 'reason')}"
    elif step.name == waterfall.WAIT:
        word = reading.text(fields, "requestId")
    source = call.whole.name.partition(".")[0]
    name = f"{step.name} {source}" if step.name == waterfall.TOOL else step.name
    return Row(
        name=neutral.line(f"  {name}"),
        begin_ms=step.begin_ms,
        length_ms=step.length_ms,
        letter=_BLOCKS.get(step.name, _FULL),
        style=_STYLES.get(step.name, ""),
        took=recorded.span(step.length_ms),
        word=neutral.line(word),
        word_style=output.COLOURS.get(call.said.what, "") if word else "",
        marks=marks,
    )


def _mark_row(mark: Mark) -> Row:
    fields = mark.said.fields
    reason = reading.text(fields, "refused") or reading.text(fields, "reason")
    return Row(
        name=neutral.line(f"    {_DIAMOND} {mark.who} {mark.says}"),
        begin_ms=mark.at_ms,
        length_ms=0.0,
        letter=_DIAMOND,
        style="bold",
        took=recorded.seconds(mark.said)[11:-1],
        word=neutral.line(reason),
    )


def _bar(row: Row, whole_ms: float, width: int) -> list[tuple[str, str]]:
    """A bar of at least one cell within `width`; marks stand in it."""
    scale = width / whole_ms if whole_ms > 0 else 0.0
    begin = min(int(row.begin_ms * scale), width - 1)
    end = min(max(round((row.begin_ms + row.length_ms) * scale), begin + 1), width)
    cells = [" "] * begin + [row.letter] * (end - begin) + [" "] * (width - end)
    for at in row.marks:
        cells[min(int(at * scale), width - 1)] = _DIAMOND
    return [("".join(cells), row.style)]


def _cells(text: str) -> int:
    from rich.cells import cell_len  # noqa: PLC0415 - see above

    return cell_len(text)


def _cut(text: str, width: int) -> str:
    """`text` in exactly so many cells."""
    from rich.cells import set_cell_size  # noqa: PLC0415 - see above

    return (
        text
        if _cells(text) == width
        else set_cell_size(
            text if _cells(text) < width else f"{set_cell_size(text, max(0, width - 1))}…", width
        )
    )
