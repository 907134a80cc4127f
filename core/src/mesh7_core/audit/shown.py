"""A call's arguments as records may show them: without secrets, and no longer than is useful.

What is too long is cut before it is searched, so that a hostile call costs little.
Pure: no clock, no network, no logging.
"""

import json
from typing import Final

import orjson

from mesh7_core.policy import redaction
from mesh7_core.policy.recording import Recording
from mesh7_core.telemetry import secrets, telling
from mesh7_core.telemetry.records import Record

MOST_BYTES: Final = 16 * 1024
CUT: Final = "(cut)"
"""Stands where something more was: at the end of a text or list, as the last name of an object."""

_BUDGETS: Final = (12 * 1024, 2 * 1024)
"""Characters; the second when the first spell too long, for one may take six bytes."""
_MOST_NODES: Final = 2000
_MEMBER: Final = 4
_NAMING: Final = frozenset({"name", "key", "header", "field"})
_NAMED: Final = frozenset({"value", "values", "val"})
"""Members of an object that stands for one name and its value, as headers often do."""


def of(record: Record) -> bytes:
    """One line of JSON, at most `MOST_BYTES`; empty when policies ask for digests alone.

    The record keeps it, so that whoever asks again has it.
    """
    recording = record.passage.recording
    if recording is None:
        return b""
    if not record.shown:
        record.shown = shown(record.call.arguments, recording)
    return record.shown


def shown(arguments: dict[str, object], recording: Recording) -> bytes:
    """The same of what was not a call yet."""
    try:
        return _shown(arguments, recording)
    except RecursionError:
        return _written(CUT)


def _shown(arguments: dict[str, object], recording: Recording) -> bytes:
    for budget in _BUDGETS:
        cut = _Cutting(budget).value(arguments)
        without = redaction.redacted(cut, recording.redact)
        content = _written(_Masking(recording.is_full, budget).value(without))
        if len(content) <= MOST_BYTES:
            return content
    return _written(CUT)


class _Cutting:
    """One walk that copies what there is room for; texts keep a margin for secrets to be seen."""

    def __init__(self, budget: int) -> None:
        self._left = budget
        self._nodes = _MOST_NODES

    def value(self, value: object) -> object:
        self._nodes -= 1
        if isinstance(value, str):
            self._left -= len(value) + _MEMBER
            return value[: max(0, self._left + len(value)) + secrets.LONGEST]
        if isinstance(value, dict):
            return self._members(value)
        if isinstance(value, list):
            return self._items(value)
        self._left -= len(str(value)) if isinstance(value, float) else _digits(value)
        return value

    def _members(self, value: dict[str, object]) -> dict[str, object]:
        found: dict[str, object] = {}
        for name, one in value.items():
            if self._is_spent:
                found[CUT] = True
                break
            self._left -= len(name) + _MEMBER
            found[name[: secrets.LONGEST]] = self.value(one)
        return found

    def _items(self, value: list[object]) -> list[object]:
        found: list[object] = []
        for one in value:
            if self._is_spent:
                found.append(CUT)
                break
            self._left -= _MEMBER
            found.append(self.value(one))
        return found

    @property
    def _is_spent(self) -> bool:
        return self._left <= 0 or self._nodes <= 0


class _Masking:
    """One walk that takes secrets out of what was cut, and cuts texts to what is shown."""

    def __init__(self, is_full: bool, budget: int) -> None:  # noqa: FBT001 - the policy's word
        self._is_full = is_full
        self._left = budget

    def value(self, value: object) -> object:
        return self._value(value, is_told=False)

    def _value(self, value: object, *, is_told: bool) -> object:
        """Of a value. Args: is_told: a name above it says that it is a secret."""
        if isinstance(value, str):
            return secrets.MASK if is_told and secrets.is_opaque(value) else self._text(value)
        if isinstance(value, dict):
            return self._members(value, is_told=is_told)
        if isinstance(value, list):
            return self._items(value, is_told=is_told)
        return secrets.MASK if is_told and secrets.is_opaque(str(value)) else value

    def _members(self, value: dict[str, object], *, is_told: bool) -> dict[str, object]:
        is_pair = any(
            name.lower() in _NAMING and isinstance(one, str) and telling.is_telling(one)
            for name, one in value.items()
        )
        return {
            self._text(name): self._member(
                name, one, is_told=is_told or (is_pair and name.lower() in _NAMED)
            )
            for name, one in value.items()
        }

    def _items(self, value: list[object], *, is_told: bool) -> list[object]:
        found: list[object] = []
        for number, one in enumerate(value):
            is_behind = number > 0 and telling.is_option(value[number - 1])
            if is_behind and isinstance(one, str) and not one.startswith("-"):
                found.append(secrets.MASK)
            else:
                found.append(self._value(one, is_told=is_told))
        return found

    def _member(self, name: str, value: object, *, is_told: bool) -> object:
        if value is None or isinstance(value, bool) or telling.is_count(name, value):
            return value
        is_told = is_told or telling.is_telling(name)
        if is_told and not self._is_full:
            return secrets.MASK
        return self._value(value, is_told=is_told)

    def _text(self, text: str) -> str:
        plain = secrets.masked(text)
        room = max(0, self._left)
        self._left -= min(len(plain), room)
        return plain if len(plain) <= room else plain[:room] + CUT


def _digits(value: object) -> int:
    return value.bit_length() // 3 + 1 if isinstance(value, int) else _MEMBER


def _written(value: object) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:
        # orjson stops at 64-bit integers; the standard library is slower and does not.
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
