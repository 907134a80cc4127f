"""How many held calls become ApprovalRequests, and how much of them stays: some for everybody.

A tenant that opens and withdraws requests in a loop would else fill the cluster's store, and one
with many namespaces would leave the others nothing.
No clock: the time is an argument, monotonic seconds.
"""

from dataclasses import dataclass
from typing import Final

from mesh7_operator.approving.ground import MOST_MIRRORED_BYTES

MOST_BYTES: Final = 128 * 1024 * 1024
"""Of all ApprovalRequests of the cluster (`mirrored.size_bytes`)."""
_LATELY_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """So many at once, and so many a second from then on."""

    at_once: float
    per_s: float


REQUESTS: Final = Room(at_once=200.0, per_s=2.0)
ALL_REQUESTS: Final = Room(at_once=4_000.0, per_s=40.0)
EVENTS: Final = Room(at_once=400.0, per_s=2.0)
ALL_EVENTS: Final = Room(at_once=4_000.0, per_s=20.0)


@dataclass(slots=True)
class _Bucket:
    """What was left of a room, and when something was last taken."""

    left: float
    since_s: float

    def left_now(self, room: Room, now_s: float) -> float:
        return min(room.at_once, self.left + max(now_s - self.since_s, 0.0) * room.per_s)

    def take(self, room: Room, many: int, now_s: float) -> None:
        self.left = max(self.left_now(room, now_s) - many, 0.0)
        self.since_s = now_s


class Rooms:
    """What is left for each namespace; one that is not known has all of its own room.

    What is left for all is shared alike by those that took something lately; who did not gets one
    in any case.

    Args:
        each: of every namespace.
        together: of all of them.
    """

    def __init__(self, each: Room = REQUESTS, together: Room = ALL_REQUESTS) -> None:
        self._each = each
        self._together = together
        self._all = _Bucket(together.at_once, 0.0)
        self._buckets: dict[str, _Bucket] = {}

    def left(self, namespace: str, now_s: float) -> int:
        """How many may be made now."""
        self._forget(now_s)
        own = self._buckets.get(namespace)
        others = len(self._buckets) - (own is not None)
        share = int(self._all.left_now(self._together, now_s) / (1 + others))
        if own is None:
            return min(int(self._each.at_once), max(share, 1))
        return min(int(own.left_now(self._each, now_s)), share)

    def take(self, namespace: str, many: int, now_s: float) -> None:
        """So many were made."""
        own = self._buckets.setdefault(namespace, _Bucket(self._each.at_once, now_s))
        own.take(self._each, many, now_s)
        self._all.take(self._together, many, now_s)

    def _forget(self, now_s: float) -> None:
        """Those that took nothing lately, and have all of their room again."""
        for name, one in list(self._buckets.items()):
            is_full = one.left_now(self._each, now_s) >= self._each.at_once
            if is_full and now_s - one.since_s >= _LATELY_S:
                del self._buckets[name]


class Shares:
    """How much each namespace may keep: as much as it has, until all have too much together."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._kept: dict[str, int] = {}

    def keeps(self, namespace: str, size_bytes: int) -> None:
        """It has so much now."""
        if size_bytes:
            self._kept[namespace] = size_bytes
        else:
            self._kept.pop(namespace, None)

    def of(self, namespace: str) -> int:
        """How much this one may keep; who has less than an equal share loses nothing."""
        others = sorted(size for name, size in self._kept.items() if name != namespace)
        own = self._kept.get(namespace, 0)
        if sum(others) + own <= self._most:
            return MOST_MIRRORED_BYTES
        left = self._most
        for place, size in enumerate(others):
            share = left // (len(others) - place + 1)
            if size > share:
                return min(share, MOST_MIRRORED_BYTES)
            left -= size
        return min(left, MOST_MIRRORED_BYTES)

    def largest(self) -> str:
        """Who has to give way first; empty = there is room for all."""
        if sum(self._kept.values()) <= self._most:
            return ""
        return max(self._kept, key=lambda name: self._kept[name])
