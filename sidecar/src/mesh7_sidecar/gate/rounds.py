"""Approved calls that came back with `input_required`: their retry is the same approved call.

A retry is known by the `requestState` that the source gave, and by the same base digest (all of
the call but what a retry adds). Each state counts once, for ten minutes, ten rounds at most.
Pure: no clock, no network, no logging.
"""

from dataclasses import dataclass
from typing import Final

MOST_ROUNDS: Final = 10
OPEN_S: Final = 600.0
MOST_OPEN: Final = 1024
"""Rounds that are open at once; the oldest are forgotten, and their retries ask people anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One retry that may come.

    Attributes:
        number: the first is 1.
        until_s: when it is too late for it.
    """

    request_id: str
    number: int
    until_s: float


class Rounds:
    """By base digest and request state."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], Round] = {}
        self._taken: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._open)

    def is_open(self, request_id: str) -> bool:
        """Whether a retry of that call may still come."""
        return any(one.request_id == request_id for one in self._open.values())

    def open(self, base: str, state: str, request_id: str, now_s: float) -> bool:
        """The source asked back; False when it has done so too often."""
        number = self._taken.get(request_id, 0) + 1
        if number > MOST_ROUNDS or not state:
            return False
        self._forget(now_s)
        self._open[base, state] = Round(
            request_id=request_id, number=number, until_s=now_s + OPEN_S
        )
        return True

    def take(self, base: str, state: str, now_s: float) -> Round | None:
        """The round that a retry belongs to, once."""
        self._forget(now_s)
        found = self._open.pop((base, state), None)
        if found is not None:
            self._taken.pop(found.request_id, None)
            self._taken[found.request_id] = found.number
            while len(self._taken) > MOST_OPEN:
                del self._taken[next(iter(self._taken))]
        return found

    def _forget(self, now_s: float) -> None:
        for place, one in tuple(self._open.items()):
            if one.until_s > now_s and len(self._open) < MOST_OPEN:
                break
            del self._open[place]
