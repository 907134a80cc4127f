"""Values out of JSON that somebody else wrote: asked for by path, absent when of another type.

Pure: no clock, no network, no logging.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Final

Object = Mapping[str, object]
_NOTHING: Final[Object] = {}


def mapping(value: object, *path: str) -> Object:
    """The object there; empty when there is none."""
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else _NOTHING


def sequence(value: object, *path: str) -> Sequence[object]:
    """The list there; empty when there is none."""
    found = _at(value, path)
    return found if isinstance(found, list) else ()


def text(value: object, *path: str) -> str:
    """The string there; empty when there is none."""
    found = _at(value, path)
    return found if isinstance(found, str) else ""


def number(value: object, *path: str) -> int:
    """The integer there; 0 when there is none."""
    found = _at(value, path)
    return found if isinstance(found, int) and not isinstance(found, bool) else 0


def texts(value: object, *path: str) -> dict[str, str]:
    """The pairs of strings there, such as labels."""
    return {key: item for key, item in mapping(value, *path).items() if isinstance(item, str)}


def content(value: object, *path: str) -> bytes | None:
    """The bytes that stand there in base64; None when there are none."""
    found = _at(value, path)
    if not isinstance(found, str):
        return None
    try:
        return base64.b64decode(found, validate=True)
    except (binascii.Error, ValueError):
        return None


def _at(value: object, path: Sequence[str]) -> object:
    return mapping(value, *path[:-1]).get(path[-1]) if path else value
