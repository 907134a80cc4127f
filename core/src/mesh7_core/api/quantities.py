"""Durations (`500ms`, `10m`, `1h30m`) and sizes (`10Mi`) as people write them.

Pure: no clock, no network, no logging.
"""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import PlainValidator, WithJsonSchema

from mesh7_core.api.places import shown
from mesh7_core.errors import ManifestError

LONGEST_DURATION = timedelta(days=366)
LARGEST_SIZE = 999 << 30

DURATION_PATTERN = "^([0-9]{1,4}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?([0-9]{1,11}ms)?$"
"""As the API server checks it; so many digits that 366 days can be written in each unit."""
SIZE_PATTERN = "^([0-9]{1,12}|[0-9]{1,9}(Ki|k)|[0-9]{1,6}(Mi|M)|[0-9]{1,3}(Gi|G))$"
"""As the API server checks it; whatever has so few digits is no more than 999 Gi."""
LONGEST_DURATION_TEXT = 34
LARGEST_SIZE_NUMBER = 10**12 - 1

_PARTS = re.compile(
    r"(?:(?P<h>[0-9]{1,9})h)?(?:(?P<m>[0-9]{1,9})m(?!s))?"
    r"(?:(?P<s>[0-9]{1,9})s)?(?:(?P<ms>[0-9]{1,12})ms)?"
)
_SIZE = re.compile(r"(?P<number>[0-9]{1,15})(?P<unit>Ki|Mi|Gi|k|M|G)?")
_UNITS = {
    None: 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30,
    "k": 10**3, "M": 10**6, "G": 10**9,
}  # fmt: skip


class BadQuantity(ManifestError, ValueError):  # noqa: N818 - says what it is
    """Text that is no duration or no size; a ValueError so that pydantic gives it its place."""


def parse_duration(text: object) -> timedelta:
    """`1h30m`: hours, minutes, seconds, milliseconds, each at most once and in this order.

    Raises:
        BadQuantity: `text` is something else, or longer than 366 days.
    """
    match = _PARTS.fullmatch(text) if isinstance(text, str) and text else None
    if match is None:
        hint = "such as `500ms`, `10s`, `1h30m`"
        if isinstance(text, int) and not isinstance(text, bool):
            hint = f"with a unit, did you mean `{text}s`?"
        raise BadQuantity(f"{shown(text)} is no duration, write one {hint}")
    hours, minutes, seconds, milliseconds = (int(part or 0) for part in match.groups())
    total = ((hours * 60 + minutes) * 60 + seconds) * 1000 + milliseconds
    if total > LONGEST_DURATION / timedelta(milliseconds=1):
        raise BadQuantity(f"{shown(text)} is longer than 366 days, write a shorter duration")
    duration = timedelta(milliseconds=total)
    if not re.match(DURATION_PATTERN, match[0]):
        raise BadQuantity(f"{shown(text)} has needless zeros, write `{spell_duration(duration)}`")
    return duration


def parse_size(text: object) -> int:
    """`10Mi` or a number of bytes.

    Raises:
        BadQuantity: `text` is something else, or more than 999 Gi.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        text = str(text)
    match = _SIZE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise BadQuantity(f"{shown(text)} is no size, write one such as `512Ki` or `10Mi`")
    size = int(match["number"]) * _UNITS[match["unit"]]
    if size > LARGEST_SIZE or not re.match(SIZE_PATTERN, match[0]):
        raise BadQuantity(f"{shown(text)} is too large, the most is `999Gi`")
    return size


def spell_duration(duration: timedelta) -> str:
    """The shortest spelling that `parse_duration` reads back to the same."""
    total = duration // timedelta(milliseconds=1)
    seconds, milliseconds = divmod(total, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "m"), (seconds, "s"), (milliseconds, "ms"))
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


Duration = Annotated[
    timedelta,
    PlainValidator(parse_duration),
    WithJsonSchema(
        {
            "type": "string",
            "minLength": 1,
            "maxLength": LONGEST_DURATION_TEXT,
            "pattern": DURATION_PATTERN,
        }
    ),
]
Size = Annotated[
    int,
    PlainValidator(parse_size),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "minimum": 0,
            "maximum": LARGEST_SIZE_NUMBER,
            "maxLength": len("000000000Ki") + 1,
            "pattern": SIZE_PATTERN,
        }
    ),
]
