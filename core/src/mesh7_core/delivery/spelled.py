"""Strict reading of bytes that anybody may have written: JSON objects, and base64 in one spelling.

Pure: no clock, no network, no logging.
"""

import base64
import binascii
from collections.abc import Collection
from typing import Final

import jiter

MOST: Final = 2**53 - 1
"""The largest whole number that every JSON parser reads exactly."""


def json_object(data: bytes) -> dict[str, object] | None:
    """The one JSON object that `data` is; None for anything else, a key that stands twice too."""
    try:
        found: object = jiter.from_json(data, allow_inf_nan=False, catch_duplicate_keys=True)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def keyed(value: object, keys: Collection[str]) -> dict[str, object] | None:
    """The mapping if it has exactly these keys; None for anything else."""
    if isinstance(value, dict) and value.keys() == set(keys):
        return value
    return None


def number(value: object, least: int = 0) -> int | None:
    """A whole number from `least` to `MOST`; None for anything else, `true` too."""
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= MOST:
        return value
    return None


def to_base64(data: bytes) -> str:
    """The one spelling that `from_base64` reads."""
    return base64.b64encode(data).decode()


def from_base64(text: object, size: int) -> bytes | None:
    """Exactly `size` bytes; None for any other length or spelling."""
    if not isinstance(text, str):
        return None
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    # The last character may have idle bits: only one of its spellings is ours.
    return data if len(data) == size and to_base64(data) == text else None
