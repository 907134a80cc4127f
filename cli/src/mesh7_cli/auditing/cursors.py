"""Where a page ended, as text that nobody needs to understand: a file's first line, and an offset.

A file keeps its first line under every name, so a cursor outlives rotations and a new index.
Pure: no clock, no network, no logging.
"""

import base64
import binascii
import re
from typing import Final, NamedTuple

from mesh7_core import errors

_WRITTEN: Final = re.compile(r"([0-9a-f]{32}(?:-[0-9]{1,4})?):([0-9]{1,15})")


class Position(NamedTuple):
    """The beginning of a line."""

    fingerprint: str
    offset: int


def write(position: Position) -> str:
    """As it is handed out."""
    text = f"{position.fingerprint}:{position.offset}".encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def read(text: str) -> Position:
    """What was handed out.

    Raises:
        SettingsError: that is no cursor of ours.
    """
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        found = _WRITTEN.fullmatch(base64.urlsafe_b64decode(padded).decode("ascii"))
    except (UnicodeError, binascii.Error):
        found = None
    if found is None:
        message = "that is no cursor – copy the whole one that stands below a page, or leave it out"
        raise errors.SettingsError(message)
    return Position(found[1], int(found[2]))
