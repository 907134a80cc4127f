"""JSON read and written with every number as it was spelled.

Whoever decides about a call must see `1e3`, `1.10` or thirty digits as the tool will get them.
Pure: no clock, no network, no logging.
"""

import json
from collections.abc import Iterator
from typing import Self

from mesh7_cli import neutral

INDENT = "  "


class Number(float):
    """A number that Python would spell in another way."""

    __slots__ = ("text",)

    def __new__(cls, text: str) -> Self:
        """The number that `text` spells; beyond a float's range it is infinite and yet spelled."""
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str


def read(text: str) -> object:
    """The JSON value in `text`.

    Raises:
        ValueError: it is none.
    """
    return json.loads(text, parse_float=Number, parse_int=_integer)


def pretty(value: object) -> str:
    """`value`, made of JSON's types, over several lines; harmless on a terminal."""
    return "".join(_pretty(value, "\n"))


def compact(value: object) -> str:
    """`value`, made of JSON's types, on one line; harmless on a terminal."""
    return "".join(_compact(value))


def _integer(text: str) -> int | Number:
    # The one integer that Python's own would spell in another way.
    return Number(text) if text == "-0" else int(text)


def _scalar(value: object) -> str:
    if isinstance(value, str):
        return neutral.quoted(value)
    return value.text if isinstance(value, Number) else json.dumps(value)


def _pretty(value: object, newline: str) -> Iterator[str]:
    inner = newline + INDENT
    if isinstance(value, dict) and value:
        for number, (key, item) in enumerate(value.items()):
            yield f"{',' if number else '{'}{inner}{neutral.quoted(str(key))}: "
            yield from _pretty(item, inner)
        yield f"{newline}}}"
    elif isinstance(value, list) and value:
        for number, item in enumerate(value):
            yield f"{',' if number else '['}{inner}"
            yield from _pretty(item, inner)
        yield f"{newline}]"
    else:
        yield _scalar(value)


def _compact(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        yield "{"
        for number, (key, item) in enumerate(value.items()):
            yield f"{',' if number else ''}{neutral.quoted(str(key))}:"
            yield from _compact(item)
        yield "}"
    elif isinstance(value, list):
        yield "["
        for number, item in enumerate(value):
            yield "," if number else ""
            yield from _compact(item)
        yield "]"
    else:
        yield _scalar(value)
