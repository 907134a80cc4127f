"""Reads fields of JSON objects whose writer may be older or newer than this program.

Pure: no clock, no network, no logging. A missing field reads as empty, never as an error.
"""

import math
from collections.abc import Mapping
from datetime import datetime


def text(value: Mapping[str, object], *path: str) -> str:
    """The text at `path`; numbers as written; empty when there is none."""
    found = _find(value, path)
    if isinstance(found, bool) or found is None or isinstance(found, list | dict):
        return ""
    return str(found)


def number(value: Mapping[str, object], *path: str) -> int:
    """The whole number at `path`; 0 when there is none."""
    found = _find(value, path)
    if isinstance(found, float) and not math.isfinite(found):
        return 0
    return int(found) if isinstance(found, int | float) else 0


def truth(value: Mapping[str, object], *path: str) -> bool:
    """Whether `true` stands at `path`."""
    return _find(value, path) is True


def moment(value: Mapping[str, object], *path: str) -> datetime | None:
    """The RFC 3339 time at `path`; None when there is none."""
    try:
        found = datetime.fromisoformat(text(value, *path))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def texts(value: Mapping[str, object], *path: str) -> list[str]:
    """The texts of the list at `path`; empty when there is none."""
    found = _find(value, path)
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []


def objects(value: Mapping[str, object], *path: str) -> list[dict[str, object]]:
    """The objects of the list at `path`; empty when there is none."""
    found = _find(value, path)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def one(value: Mapping[str, object], *path: str) -> dict[str, object]:
    """The object at `path`; empty when there is none."""
    found = _find(value, path)
    return found if isinstance(found, dict) else {}


def _find(value: object, path: tuple[str, ...]) -> object:
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value
