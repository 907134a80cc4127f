"""All that is counted for a namespace: limits, loops, and uses of grants.

One observation is taken here whole or not at all. Shared by the memory home and the SQLite home;
`functions.lua` does the same for Redis. Plain dictionaries and slotted classes: each guarded call
comes by. Time is an argument; nothing here waits or writes.
"""

import heapq
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from mesh7_core.ledger import windows as arithmetic
from mesh7_core.ledger.asked import Request, State
from mesh7_core.ledger.protocol import (
    OBSERVED_ADMITTED,
    Observation,
    Observed,
    Seen,
    Use,
    Window,
)
from mesh7_core.ledger.shelves import Shelf

MOST_LOOPS: Final = 100_000
"""Loop windows kept at once: their keys hold digests of arguments, which agents choose."""
MOST_SESSIONS: Final = 100_000
"""Windows of single sessions kept at once: agents choose their ids. An agent that comes back to
one that was dropped counts from nothing, as it does in any new session."""


class Spent:
    """How often one grant was used. Changed in place; a plain slotted class.

    Attributes:
        expires_at_ms: of the grant when it was last used; the count goes with it. 0 = never.
        due_ms: when it is looked at again; 0 = not planned.
    """

    __slots__ = ("due_ms", "expires_at_ms", "used")

    def __init__(self, used: int = 0, expires_at_ms: int = 0) -> None:
        self.used = used
        self.expires_at_ms = expires_at_ms
        self.due_ms = 0


class Grants:
    """Uses of standing grants, by the grants' keys."""

    __slots__ = ("_due", "_spent")

    def __init__(self) -> None:
        self._spent: dict[str, Spent] = {}
        self._due: list[tuple[int, str]] = []

    def __iter__(self) -> Iterator[tuple[str, Spent]]:
        return iter(self._spent.items())

    def find(self, key: str, now_ms: int) -> Spent | None:
        """The count by that key, unless its grant has expired."""
        spent = self._spent.get(key)
        if spent is None or (spent.expires_at_ms and now_ms >= spent.expires_at_ms):
            return None
        return spent

    def usable(self, uses: Sequence[Sequence[Use]], now_ms: int) -> dict[str, Use]:
        """Per rule the first grant that can stand in, each named once; empty = a rule has none."""
        chosen: dict[str, Use] = {}
        for several in uses:
            found = next((use for use in several if self._is_usable(use, now_ms)), None)
            if found is None:
                return {}
            chosen.setdefault(found.key, found)
        return chosen

    def use(self, uses: dict[str, Use], now_ms: int) -> None:
        """Count one use of each."""
        for key, use in uses.items():
            spent = self.find(key, now_ms) or Spent()
            spent.used += 1
            spent.expires_at_ms = use.expires_at_ms
            self.keep(key, spent)

    def keep(self, key: str, spent: Spent) -> None:
        """Take what was just changed, new or known."""
        self._spent[key] = spent
        if spent.expires_at_ms and not 0 < spent.due_ms <= spent.expires_at_ms:
            self._plan(key, spent)

    def used(self, keys: Sequence[str], now_ms: int) -> tuple[int, ...]:
        """How often each was used; 0 when never, or when it has expired."""
        found = (self.find(key, now_ms) for key in keys)
        return tuple(0 if spent is None else spent.used for spent in found)

    def clear(self, now_ms: int) -> None:
        """Forget counts of grants that have expired."""
        while self._due and self._due[0][0] <= now_ms:
            due_ms, key = heapq.heappop(self._due)
            spent = self._spent.get(key)
            if spent is None or spent.due_ms != due_ms:
                continue
            spent.due_ms = 0
            if spent.expires_at_ms > now_ms:
                self._plan(key, spent)
            elif spent.expires_at_ms:
                del self._spent[key]

    def _plan(self, key: str, spent: Spent) -> None:
        spent.due_ms = spent.expires_at_ms
        heapq.heappush(self._due, (spent.due_ms, key))

    def _is_usable(self, use: Use, now_ms: int) -> bool:
        if use.expires_at_ms and now_ms >= use.expires_at_ms:
            return False
        spent = self.find(use.key, now_ms)
        return spent is None or not use.maximum or spent.used < use.maximum


def _passed_over(_key: str) -> None:
    """Nobody keeps it elsewhere."""


def _any(_key: str) -> bool:
    return True


class Counts:
    """The counts of one namespace.

    Args:
        dropped: told of the key of each window of a session that is dropped before it lapses.
    """

    __slots__ = ("grants", "repeats", "windows")

    def __init__(self, dropped: Callable[[str], None] = _passed_over) -> None:
        self.windows = Shelf(MOST_SESSIONS, arithmetic.is_of_session, dropped)
        self.repeats = Shelf(MOST_LOOPS, _any, _passed_over)
        self.grants = Grants()

    def take(self, observation: Observation, request: Request | None, now_ms: int) -> Observed:
        """Take all that a call hangs on, or nothing.

        Args:
            observation: what it hangs on.
            request: what answers its digest, pending or approved; None = nothing does.
            now_ms: the home's clock.
        """
        self.clear(now_ms)
        windows, digest = observation.windows, observation.digest
        index = self.windows.full(windows, digest, now_ms)
        if index >= 0:
            wait_ms = self.windows.retry_after(windows[index], digest, now_ms)
            return Observed(Seen.SPENT, index, wait_ms)
        uses = observation.uses
        granted = self.grants.usable(uses, now_ms) if uses else {}
        repeats = observation.repeats if request is None or granted else ()
        if repeats:
            index = self.repeats.full(repeats, "", now_ms)
            if index >= 0:
                wait_ms = self.repeats.retry_after(repeats[index], "", now_ms)
                return Observed(Seen.REPEATED, index, wait_ms)
        if not observation.is_dry:
            if digest and not granted:
                self.windows.reserve(windows, digest, observation.lease_ms, now_ms)
            else:
                self.windows.stamp(windows, digest, now_ms)
            if repeats:
                self.repeats.stamp(repeats, "", now_ms)
            if granted:
                self.grants.use(granted, now_ms)
        return _observed(request, granted)

    def claim(self, windows: Sequence[Window], digest: str, now_ms: int) -> Window | None:
        """Turn reserved places into calls; a window that has none and no room, then nothing."""
        self.clear(now_ms)
        lapsed = [one for one in windows if not self.windows.is_reserved(one, digest, now_ms)]
        index = self.windows.full(lapsed, digest, now_ms)
        if index >= 0:
            return lapsed[index]
        self.windows.stamp(windows, digest, now_ms)
        return None

    def clear(self, now_ms: int) -> None:
        """Forget some of what has lapsed."""
        self.windows.clear(now_ms)
        self.repeats.clear(now_ms)
        self.grants.clear(now_ms)


def _observed(request: Request | None, granted: dict[str, Use]) -> Observed:
    if granted:
        return Observed(Seen.GRANTED, granted=tuple(granted))
    if request is None:
        return OBSERVED_ADMITTED
    seen = Seen.APPROVED if request.state is State.APPROVED else Seen.PENDING
    return Observed(seen, request_id=request.id)
