"""A batch posted to a collector, and again where OTLP says that it helps, within its time.

OTLP/HTTP: 2xx is taken, perhaps in part; 429, 502, 503 and 504, and a connection that breaks, are
tried again, later each time or when the collector asks for it; everything else is refused.
"""

import gzip
import random
import threading
import time
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

from mesh7_core.otlp.counts import Lost
from mesh7_core.otlp.sending import Outcome
from mesh7_core.otlp.settings import Target
from mesh7_core.otlp.wire import Answer, Wire, WireError

_PASSING: Final = frozenset({429, 502, 503, 504})
_MOST_TRIES: Final = 6
_NEVER: Final = float("inf")
_JITTER: Final = 0.2
_FIRST_REDIRECT: Final = 300
_FIRST_ERROR: Final = 400
_PARTIAL_SUCCESS: Final = 0x0A
_REJECTED: Final = 0x08
_LEAST_PARTIAL: Final = 4
_MOST_VARINT: Final = 10
_LEVEL: Final = 6
"""Of gzip: the most that is worth its time."""


class Post:
    """To one collector; used by one thread, but for `stop`.

    Attributes:
        hurry: set once nothing is to be tried again.
    """

    def __init__(self, target: Target) -> None:
        self.hurry = threading.Event()
        self._target = target
        self._wire = Wire(target)

    def send(self, body: bytes, items: int) -> Outcome:
        """What came of it.

        Args:
            body: protobuf.
            items: how many there are in it.
        """
        if self._target.is_compressed:
            body = gzip.compress(body, _LEVEL, mtime=0)
        until_s = time.monotonic() + self._target.timeout_s
        tries = 0
        while True:
            outcome, pause_s = self._try(body, items, until_s)
            wait_s = _later_s(tries) if pause_s is None else pause_s
            tries += 1
            is_last = tries == _MOST_TRIES or wait_s > until_s - time.monotonic()
            if outcome.lost is None or is_last or self.hurry.wait(wait_s):
                return outcome

    def stop(self) -> None:
        """Try nothing again. From any thread, and more than once."""
        self.hurry.set()

    def close(self) -> None:
        """End the connection. From the thread that sends."""
        self._wire.close()

    def _try(self, body: bytes, items: int, until_s: float) -> tuple[Outcome, float | None]:
        """What came of one try, and how long to wait before the next; None = as long as usual."""
        try:
            return _meaning(self._ask(body, until_s), items)
        except WireError as error:
            return Outcome(0, error.lost, error.cause), None if error.is_passing else _NEVER

    def _ask(self, body: bytes, until_s: float) -> Answer:
        """Once more at once when a connection that was kept turns out to be gone."""
        was_open = self._wire.is_open
        try:
            return self._wire.ask(body, until_s - time.monotonic())
        except WireError as error:
            if not was_open or error.lost is not Lost.UNREACHABLE:
                raise
        return self._wire.ask(body, until_s - time.monotonic())


def _meaning(answer: Answer, items: int) -> tuple[Outcome, float | None]:
    status = answer.status
    if status in _PASSING:
        return Outcome(0, Lost.REFUSED, f"answered {status}"), _asked_s(answer.headers)
    if status >= _FIRST_ERROR:
        return Outcome(0, Lost.REFUSED, f"answered {status}"), _NEVER
    if status >= _FIRST_REDIRECT:
        cause = f"answered {status}: it is somewhere else, which is not followed"
        return Outcome(0, Lost.REFUSED, cause), _NEVER
    missing = min(rejected(answer.body), items)
    if missing:
        return Outcome(items - missing, Lost.REFUSED, "took only a part of a batch"), _NEVER
    return Outcome(items), _NEVER


def _later_s(number: int) -> float:
    return float(1 << number) * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret


def _asked_s(headers: Mapping[str, str]) -> float | None:
    """Its `Retry-After`, seconds or a date; a date counts from the date of the answer."""
    asked = headers.get("retry-after", "").strip()
    if asked.isascii() and asked.isdecimal():
        return float(asked[:_MOST_VARINT])
    at, now = _date(asked), _date(headers.get("date", ""))
    return None if at is None or now is None else max((at - now).total_seconds(), 0.0)


def _date(written: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(written)
    except (ValueError, OverflowError):
        # A number that no clock has overflows rather than being called wrong.
        return None
    return at if at.tzinfo is not None else None


def rejected(body: bytes) -> int:
    """How many items an answer says were not taken; 0 when it says nothing of it.

    Traces, metrics and logs spell it alike: field 1 of field 1, a number.
    """
    if len(body) < _LEAST_PARTIAL or body[0] != _PARTIAL_SUCCESS or body[2] != _REJECTED:
        return 0
    number = 0
    for place, byte in enumerate(body[3 : 3 + _MOST_VARINT]):
        number |= (byte & 0x7F) << (7 * place)
        if not byte & 0x80:
            return number
    return 0
