"""The tables of docs/reference/telemetry.md, made from those that the code uses: `make docs`."""

import re
import sys
from collections.abc import Iterator, Sequence
from typing import Final

from mesh7_core.telemetry import conventions, operator_instruments, operator_spans, table
from mesh7_core.telemetry.conventions import AttributeRow, SpanRow
from mesh7_core.telemetry.instruments import Instrument, Kind, Label, Program
from tests.architecture import tree

PAGE: Final = tree.ROOT / "docs" / "reference" / "telemetry.md"
_PLACE: Final = re.compile(r"(?ms)^(<!-- (\w+): written by [^\n]*-->\n).*?^(<!-- end -->)$")
_KEYS: Final = {
    conventions.SERVER: "SERVER",
    conventions.CLIENT: "CLIENT",
    conventions.WOULD: f"event `{conventions.WOULD}`",
}


def page() -> str:
    """The page as it stands, its tables as they should be."""
    tables = _tables()
    return _PLACE.sub(lambda found: found[1] + tables[found[2]] + found[3], PAGE.read_text())


def _tables() -> dict[str, str]:
    several = [one for one in operator_instruments.ALL if len(one.programs) > 1]
    programs = {
        program.value: _metrics([one for one in table.of(program) if one not in several])
        for program in Program
    }
    rows = {
        **programs,
        "several": _metrics(several),
        "buckets": _buckets(),
        "spans": _spans(conventions.SPANS),
        "attributes": _attributes(conventions.ATTRIBUTES),
        "operator_spans": _spans(operator_spans.SPANS),
        "operator_attributes": _attributes(operator_spans.ATTRIBUTES),
    }
    return {name: "".join(f"{line}\n" for line in lines) for name, lines in rows.items()}


def _metrics(instruments: Sequence[Instrument]) -> Iterator[str]:
    yield "| metric | kind | labels | means |"
    yield "|---|---|---|---|"
    for one in instruments:
        labels = "<br>".join(_label(label) for label in one.labels)
        meaning = one.meaning or one.help
        said = meaning[0].upper() + meaning[1:]
        yield f"| `{_shown(one)}` | {one.kind} | {labels} | {said} |"


def _shown(one: Instrument) -> str:
    return one.samples[0] if one.kind is Kind.COUNTER else one.family


def _label(label: Label) -> str:
    if label.bound:
        return f"`{label.name}`: {label.bound}"
    return f"`{label.name}`: {', '.join(f'`{value}`' for value in label.values)}"


def _buckets() -> Iterator[str]:
    yield "| histogram | upper bounds |"
    yield "|---|---|"
    for one in table.INSTRUMENTS:
        if one.kind is Kind.HISTOGRAM:
            yield f"| `{one.family}` | {', '.join(f'{bound:.15g}' for bound in one.buckets)} |"


def _spans(rows: Sequence[SpanRow]) -> Iterator[str]:
    yield f"The schema is <{conventions.SCHEMA_URL}>."
    yield ""
    yield "| span | kind | means |"
    yield "|---|---|---|"
    for span in rows:
        name = span.name if " " in span.name else f"`{span.name}`"
        yield f"| {name} | {span.kind} | {span.meaning} |"


def _attributes(rows: Sequence[AttributeRow]) -> Iterator[str]:
    yield "| attribute | of | such as | means |"
    yield "|---|---|---|---|"
    for row in rows:
        spans = ", ".join(_KEYS.get(key, f"`{key}`") for key in row.spans)
        yield f"| `{row.name}` | {spans} | `{row.example}` | {row.meaning} |"


def main() -> int:
    """Write the page where it is not as it should be."""
    wanted = page()
    if PAGE.read_text() != wanted:
        PAGE.write_text(wanted)
        sys.stdout.write(f"wrote {tree.shown(PAGE)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
