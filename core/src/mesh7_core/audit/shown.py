"""A call's arguments as records may show them: without secrets, and no longer than is useful.

What is too long is cut before it is searched, so that a hostile call costs little.
Pure: no clock, no network, no logging.
"""

import json
from typing import Final

import orjson

from mesh7_core.audit import secrets
from mesh7_core.policy import redaction
from mesh7_core.policy.recording import Recording
from mesh7_core.telemetry.records import Record

MOST_BYTES: Final = 16 * 1024
CUT: Final = "(cut)"
"""Stands where something more was: at the end of a text or list, as the last name of an object."""

_BUDGETS: Final = (12 * 1024, 2 * 1024)
"""Characters; the second when the first spell too long, for one may take six bytes."""
_MOST_NODES: Final = 2000
_MEMBER: Final = 4


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
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            return {self._text(name): self._member(name, one) for name, one in value.items()}
        if isinstance(value, list):
            return [self.value(one) for one in value]
        return value

    def _member(self, name: str, value: object) -> object:
        if value is None or isinstance(value, bool) or not secrets.is_telling(name):
            return self.value(value)
        if not self._is_full:
            return secrets.MASK
        if isinstance(value, str) and secrets.is_opaque(value):
            return secrets.MASK
        return self.value(value)

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
