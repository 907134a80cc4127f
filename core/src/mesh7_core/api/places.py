"""Where in a file each written value stands, beside the values themselves.

Pure: no clock, no network, no logging.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

Step = str | int
Path = tuple[Step, ...]
"""Keys and list positions from a document's root."""

MAXIMUM_SHOWN = 80


@dataclass(slots=True)
class Branch:
    """A mapping or list: its line and those of what it holds; a bare int is a scalar's line.

    Lines count from 1. What stands under a key has the key's line.
    """

    line: int
    children: "dict[Step, Place]" = field(default_factory=dict)


Place = Branch | int


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake in one file.

    Attributes:
        line: from 1; 0 when the file as a whole is meant.
        path: of the field, as people write it; empty for the whole document.
        message: what is wrong and what to do.
    """

    file: str
    line: int
    path: str
    message: str


def line_at(place: Place, path: Sequence[Step]) -> int:
    """The line of the deepest part of `path` that is written."""
    for step in path:
        if isinstance(place, int) or step not in place.children:
            break
        place = place.children[step]
    return place if isinstance(place, int) else place.line


def spell(path: Sequence[Step]) -> str:
    """`("spec", "rules", 0, "when")` → `spec.rules[0].when`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


def value_at(value: object, path: Sequence[Step]) -> object:
    """The written value at `path`; None where nothing is written."""
    for step in path:
        match value:
            case dict() if step in value:
                value = value[step]
            case list() if isinstance(step, int) and 0 <= step < len(value):
                value = value[step]
            case _:
                return None
    return value


def shown(value: object) -> str:
    """A written scalar in backticks, cut to a line; what is not a scalar by what it is."""
    match value:
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case None:
            return "nothing"
        case bool():
            return "`true`" if value else "`false`"
        case _:
            text = str(value).replace("\n", " ")
            cut = text if len(text) <= MAXIMUM_SHOWN else f"{text[:MAXIMUM_SHOWN]}…"
            return f"`{''.join(sign if sign.isprintable() else '�' for sign in cut)}`"
