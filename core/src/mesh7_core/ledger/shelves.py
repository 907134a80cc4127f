"""Windows by key: found while they count, forgotten soon after, never more than so many.

Nothing here has a timer: each window is noted once, in a heap, with the moment at which it lapses,
and whoever comes by clears a few that are due. One that has lapsed and was not cleared yet is not
found either, so that clearing is about memory alone.
"""

import heapq
from collections.abc import Iterator, Sequence
from typing import Final

from mesh7_core.ledger import windows as arithmetic
from mesh7_core.ledger.protocol import Window
from mesh7_core.ledger.windows import Places

CLEARED_AT_ONCE: Final = 64
"""How many lapsed windows one call clears at most, so that none pays for all."""


class Shelf:
    """The windows of one kind.

    Args:
        most: how many are kept; 0 = no bound. Beyond it the soonest to lapse goes first.
    """

    __slots__ = ("_due", "_most", "_places")

    def __init__(self, most: int = 0) -> None:
        self._places: dict[str, Places] = {}
        self._due: list[tuple[int, str]] = []
        self._most = most

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[tuple[str, Places]]:
        return iter(self._places.items())

    def find(self, key: str, now_ms: int) -> Places | None:
        """The window by that key, unless it has lapsed."""
        places = self._places.get(key)
        if places is None or (places.lapses_at_ms and now_ms >= places.lapses_at_ms):
            return None
        return places

    def full(self, windows: Sequence[Window], digest: str, now_ms: int) -> int:
        """The index of the first without room for the holder of `digest`; -1 = all have."""
        for index, window in enumerate(windows):
            places = self.find(window.key, now_ms)
            taken = 0 if places is None else arithmetic.taken(places, window, digest, now_ms)
            if taken >= window.maximum:
                return index
        return -1

    def retry_after(self, window: Window, digest: str, now_ms: int) -> int:
        """When a window that is full has room again; 0 = never."""
        places = self.find(window.key, now_ms)
        return 0 if places is None else arithmetic.retry_after(places, window, digest, now_ms)

    def stamp(self, windows: Sequence[Window], digest: str, now_ms: int) -> None:
        """Count one call in each."""
        for window in windows:
            places = self.find(window.key, now_ms) or Places()
            arithmetic.stamp(places, window, digest, now_ms)
            self.keep(window.key, places)

    def reserve(self, windows: Sequence[Window], digest: str, lease_ms: int, now_ms: int) -> None:
        """Keep a place in each."""
        for window in windows:
            places = self.find(window.key, now_ms) or Places()
            arithmetic.reserve(places, window, digest, now_ms + lease_ms, now_ms)
            self.keep(window.key, places)

    def give_back(self, windows: Sequence[Window], digest: str, now_ms: int) -> None:
        """Free what is reserved under `digest` in each."""
        for window in windows:
            places = self.find(window.key, now_ms)
            if places is not None:
                arithmetic.give_back(places, window, digest, now_ms)

    def keep(self, key: str, places: Places) -> None:
        """Take what was just changed, new or known."""
        if not places.due_ms:
            if places.lapses_at_ms:
                self._plan(key, places)
            self._places[key] = places
            if self._most and len(self._places) > self._most:
                self._drop_soonest()

    def clear(self, now_ms: int) -> None:
        """Forget some of those that have lapsed."""
        due = self._due
        if not due or due[0][0] > now_ms:
            return
        for _ in range(min(CLEARED_AT_ONCE, len(due))):
            if due[0][0] > now_ms:
                return
            self._look(now_ms)

    def set_back(self, now_ms: int) -> None:
        """The clock was set back to `now_ms`."""
        for places in self._places.values():
            arithmetic.set_back(places, now_ms)

    def _plan(self, key: str, places: Places) -> None:
        places.due_ms = places.lapses_at_ms
        heapq.heappush(self._due, (places.due_ms, key))

    def _look(self, now_ms: int) -> bool:
        """Take the first note off: forget its window if it lapses by then, else note it anew."""
        due_ms, key = heapq.heappop(self._due)
        places = self._places.get(key)
        if places is None or places.due_ms != due_ms:
            return False
        places.due_ms = 0
        if not places.lapses_at_ms:
            return False
        if places.lapses_at_ms <= now_ms:
            del self._places[key]
            return True
        self._plan(key, places)
        return False

    def _drop_soonest(self) -> None:
        """Notes can be older than what they are about; a few are brought up to date, no more."""
        for _ in range(CLEARED_AT_ONCE):
            if self._due and self._look(self._due[0][0]):
                return
        if self._due:
            _, key = heapq.heappop(self._due)
            self._places.pop(key, None)
