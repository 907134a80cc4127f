"""Windows by key: found while they count, forgotten soon after, some never more than so many.

Nothing here has a timer: each window is noted in a heap with the moment at which it lapses, anew
only when that becomes sooner, and whoever comes by clears a few that are due. One that has lapsed
and was not cleared yet is not found either, so that clearing is about memory alone.
"""

import heapq
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from mesh7_core.ledger import windows as arithmetic
from mesh7_core.ledger.protocol import Window
from mesh7_core.ledger.windows import Places

CLEARED_AT_ONCE: Final = 64
"""How many lapsed windows one call clears at most, so that none pays for all."""


class Shelf:
    """The windows of one kind.

    Args:
        most: how many of the bounded ones are kept; beyond it the soonest of them to lapse goes.
        is_bounded: which those are, by their keys: others are never dropped before they lapse.
        dropped: told of the key of each one that goes before it has lapsed.
    """

    __slots__ = ("_bounded", "_dropped", "_due", "_is_bounded", "_most", "_places", "_spare")

    def __init__(
        self, most: int, is_bounded: Callable[[str], bool], dropped: Callable[[str], None]
    ) -> None:
        self._places: dict[str, Places] = {}
        self._due: list[tuple[int, str]] = []
        self._spare: list[tuple[int, str]] = []  # what `_due` is for all others, of the bounded
        self._bounded = 0
        self._most = most
        self._is_bounded = is_bounded
        self._dropped = dropped

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[tuple[str, Places]]:
        return iter(self._places.items())

    def kept(self, key: str, now_ms: int) -> Places | None:
        """The window by that key, unless it has lapsed; as it was last touched, and only read."""
        places = self._places.get(key)
        if places is None or (places.lapses_at_ms and now_ms >= places.lapses_at_ms):
            return None
        return places

    def find(self, key: str, now_ms: int) -> Places | None:
        """The window by that key for a call, unless it has lapsed; nothing lies in the future."""
        places = self.kept(key, now_ms)
        if places is not None:
            arithmetic.set_back(places, now_ms)
        return places

    def full(self, windows: Sequence[Window], digest: str, now_ms: int) -> int:
        """The index of the first without room for the holder of `digest`; -1 = all have.

        All are looked at, so that a clock that was set back moves all of them at once.
        """
        found = -1
        for index, window in enumerate(windows):
            places = self.find(window.key, now_ms)
            taken = 0 if places is None else arithmetic.taken(places, window, digest, now_ms)
            if taken >= window.maximum and found < 0:
                found = index
        return found

    def is_reserved(self, window: Window, digest: str, now_ms: int) -> bool:
        """Whether a place is reserved under `digest`."""
        places = self.find(window.key, now_ms)
        return places is not None and arithmetic.is_reserved(places, digest, now_ms)

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
                self.keep(window.key, places)

    def keep(self, key: str, places: Places) -> None:
        """Take what was just changed, new or known."""
        if places.due_ms and (not places.lapses_at_ms or places.due_ms <= places.lapses_at_ms):
            return
        # Also when it lapses sooner than was noted: a smaller window, or a clock that was set back.
        is_bounded = self._is_bounded(key)
        if places.lapses_at_ms:
            self._plan(self._spare if is_bounded else self._due, key, places)
        if is_bounded and key not in self._places:
            self._bounded += 1
        self._places[key] = places
        if self._bounded > self._most:
            self._drop_soonest()

    def clear(self, now_ms: int) -> None:
        """Forget some of those that have lapsed."""
        for due in (self._due, self._spare):
            left = CLEARED_AT_ONCE
            # Mostly nothing is due, and then this is all that a call pays.
            while due and due[0][0] <= now_ms and left:
                self._look(due, now_ms)
                left -= 1

    def _plan(self, due: list[tuple[int, str]], key: str, places: Places) -> None:
        places.due_ms = places.lapses_at_ms
        heapq.heappush(due, (places.due_ms, key))

    def _look(self, due: list[tuple[int, str]], now_ms: int) -> str:
        """Take the first note off; the key of its window if that lapses by then and is forgotten.

        Else it is noted anew.
        """
        due_ms, key = heapq.heappop(due)
        places = self._places.get(key)
        if places is None or places.due_ms != due_ms:
            return ""
        places.due_ms = 0
        if not places.lapses_at_ms:
            return ""
        if places.lapses_at_ms <= now_ms:
            self._forget(key)
            return key
        self._plan(due, key, places)
        return ""

    def _forget(self, key: str) -> None:
        if self._places.pop(key, None) is not None and self._is_bounded(key):
            self._bounded -= 1

    def _drop_soonest(self) -> None:
        """Notes can be older than what they are about; a few are brought up to date, no more."""
        spare = self._spare
        gone = ""
        for _ in range(CLEARED_AT_ONCE):
            if gone or not spare:
                break
            gone = self._look(spare, spare[0][0])
        if not gone and spare:
            _, gone = heapq.heappop(spare)
            self._forget(gone)
        if gone:
            self._dropped(gone)
