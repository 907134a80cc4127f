"""Values that nobody is to see, taken out of arguments by the JSONPaths of policies' `redact`.

The paths are the compiler's: `.name`, `..name`, `.*`, `[*]`, `[0]` and `['name']` after a `$`. A
name is every key that folds alike, for an upstream may read `Card` as `card`. One walk holds all
paths against a value, so its cost grows with the value and not with its nesting.
Pure: no clock, no network, no logging.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mesh7_core.policy.folding import fold

MASK: Final = "(redacted)"
"""Stands where something was."""

_STEP: Final = re.compile(
    r"(?P<deep>\.\.)(?P<below>[A-Za-z_][A-Za-z0-9_-]*)|\.(?P<name>[A-Za-z_][A-Za-z0-9_-]*)"
    r"|(?P<any>\.\*|\[\*\])|\[(?P<at>[0-9]+)\]|\['(?P<quoted>[^'\\]+)'\]"
)


@dataclass(frozen=True, slots=True)
class _Step:
    """One part of a path; `key` is folded when it is a name, None = every member or item."""

    key: str | int | None
    is_deep: bool = False


_Path = tuple[_Step, ...]
_Place = tuple[_Path, int]


def redacted(value: object, paths: Iterable[str]) -> object:
    """A copy of what JSON reads as, with `MASK` in place of each value that a path names.

    A path that cannot be read, or a value that is nested too deeply, hides everything.
    """
    read = [_read(path) for path in paths]
    known = [path for path in read if path]
    if len(known) != len(read):
        return MASK
    try:
        return _walked(value, [(path, 0) for path in known]) if known else value
    except RecursionError:
        return MASK


class Hidden:
    """Which places paths name, for what is written as names and values and not as JSON."""

    __slots__ = ("_paths",)

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = [_read(path) for path in paths]

    def has(self, keys: Iterable[str | int]) -> bool:
        """Whether a path names what stands under these keys, or something around it."""
        if not all(self._paths):
            return True
        places = {(path, 0) for path in self._paths}
        for key in keys:
            places = set(_following(key, tuple(places)))
            if any(at == len(path) for path, at in places):
                return True
        return False


def _read(path: str) -> _Path:
    """Its steps; none when it is no path."""
    found: list[_Step] = []
    end = 1
    while path.startswith("$") and end < len(path):
        part = _STEP.match(path, end)
        if part is None:
            return ()
        found.append(_step(part))
        end = part.end()
    return tuple(found)


def _step(part: re.Match[str]) -> _Step:
    if part["deep"]:
        return _Step(fold(part["below"]), is_deep=True)
    if part["any"]:
        return _Step(None)
    if part["at"]:
        return _Step(int(part["at"]))
    return _Step(fold(part["name"] or part["quoted"]))


def _walked(value: object, places: Sequence[_Place]) -> object:
    if isinstance(value, Mapping):
        return {key: _child(key, one, places) for key, one in value.items()}
    if isinstance(value, list):
        return [_child(index, one, places) for index, one in enumerate(value)]
    return value


def _child(key: str | int, value: object, places: Sequence[_Place]) -> object:
    following = set(_following(key, places))
    if any(at == len(path) for path, at in following):
        return MASK
    return _walked(value, tuple(following)) if following else value


def _following(key: str | int, places: Sequence[_Place]) -> Iterator[_Place]:
    if isinstance(key, str):
        key = fold(key)
    for path, at in places:
        step = path[at]
        if step.is_deep:
            yield path, at
        if step.key is None or step.key == key:
            yield path, at + 1
