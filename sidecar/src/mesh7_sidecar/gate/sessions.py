"""Which sessions have counts of their own: at most ten thousand live ones.

An agent chooses its session ids, so their number is bounded: beyond it a call of a new session
counts against the pod only, like a call without one. Pure: no clock, no network, no logging.
"""

from collections import OrderedDict
from typing import Final

MOST_SESSIONS: Final = 10_000
IDLE_S: Final = 3600.0


class Sessions:
    """The live ones, longest idle first.

    Args:
        most: how many have counts of their own.
    """

    def __init__(self, most: int = MOST_SESSIONS) -> None:
        self._most = most
        self._seen: OrderedDict[tuple[str, str], float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def is_counted(self, pod: str, session: str, now_s: float) -> bool:
        """Whether the session has counts of its own; it is live from now on if it has.

        Args:
            pod: whose session it is.
            session: its id, not empty.
            now_s: never goes back.
        """
        place = (pod, session)
        if place in self._seen:
            self._seen.move_to_end(place)
        elif not self._has_room(now_s):
            return False
        self._seen[place] = now_s
        return True

    def _has_room(self, now_s: float) -> bool:
        while self._seen:
            place = next(iter(self._seen))
            if now_s - self._seen[place] < IDLE_S:
                break
            del self._seen[place]
        return len(self._seen) < self._most
