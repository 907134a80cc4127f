"""How often somebody may ask: one bucket for each name, forgotten when it is full again.

Pure: no clock, no network, no logging.
"""

from collections import OrderedDict
from typing import Final

_MOST: Final = 10_000
_ROUNDING_S: Final = 1e-6


class Buckets:
    """Buckets of `burst` places, one of which comes back every `every_s` seconds.

    Args:
        most: names that are remembered; beyond, the one that asked longest ago begins anew.
    """

    def __init__(self, *, burst: int, every_s: float, most: int = _MOST) -> None:
        self._room_s = (burst - 1) * every_s
        self._every_s = every_s
        self._most = most
        self._empty_until: OrderedDict[str, float] = OrderedDict()

    def take(self, name: str, now_s: float) -> float:
        """Take a place.

        Args:
            now_s: of a clock that never goes back.

        Returns:
            0 when there was one, else in how many seconds there is.
        """
        ends_s = max(self._empty_until.pop(name, now_s), now_s)
        wait_s = ends_s - now_s - self._room_s
        if wait_s < _ROUNDING_S:
            wait_s = 0.0
        self._empty_until[name] = ends_s if wait_s else ends_s + self._every_s
        if len(self._empty_until) > self._most:
            self._empty_until.popitem(last=False)
        return wait_s
