r"""Text in which nothing moves a cursor, turns a line around or hides.

Names, reasons and arguments come from agents and servers that nobody vouches for (attack X22).
What a terminal would not draw as one mark of its own is spelled as an escape (`\x1b`, `\u202e`);
JSON stays JSON, with the same value.
Pure: no clock, no network, no logging.
"""

import json
import unicodedata
from collections.abc import Iterator

STACKED_MARKS = 4
"""Combining marks on one letter that living scripts need; more of them run into other lines."""
# Letters by their category, drawn by no font: fillers, joiners, variation selectors, blanks.
UNDRAWN = frozenset(
    {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180F, 0x2800, 0x3164, 0xFFA0, 0x16FE4, 0x1D159}
    | set(range(0x180B, 0x180E))
    | set(range(0xFE00, 0xFE10))
    | set(range(0xE0100, 0xE01F0))
)
BASIC_PLANE = 0xFFFF


def line(text: str) -> str:
    """`text` as one harmless line; line ends and tabs are escaped too."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(letter) if is_odd else letter for letter, is_odd in _looked_at(text))


def lines(text: str) -> str:
    """Like `line`, with line feeds and tabs kept."""
    return "\n".join(
        "\t".join(line(cell) for cell in row.split("\t"))
        for row in text.replace("\r\n", "\n").split("\n")
    )


def quoted(text: str) -> str:
    """`text` as a JSON string, reading back to the same, everything odd in it escaped."""
    written = json.dumps(text, ensure_ascii=False)
    if written.isascii() and written.isprintable():
        return written
    return "".join(
        _json_escape(letter) if is_odd else letter for letter, is_odd in _looked_at(written)
    )


def _looked_at(text: str) -> Iterator[tuple[str, bool]]:
    """Each letter, and whether it must not reach a terminal."""
    # A mark that begins a text would sit on what stands before it.
    marks = STACKED_MARKS
    for letter in text:
        if letter.isascii():
            marks = 0
            yield letter, not letter.isprintable()
            continue
        category = unicodedata.category(letter)
        marks = marks + 1 if category == "Mn" else 0
        is_odd = (
            not letter.isprintable()
            or ord(letter) in UNDRAWN
            or category == "Me"
            or marks > STACKED_MARKS
        )
        yield letter, is_odd


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def _json_escape(letter: str) -> str:
    point = ord(letter)
    if point <= BASIC_PLANE:
        return f"\\u{point:04x}"
    high, low = divmod(point - BASIC_PLANE - 1, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
