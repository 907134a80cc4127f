"""How long to wait before a program is started again: longer each time it did not last.

Pure: the time is an argument.
"""

from typing import Final

FIRST_S: Final = 0.25
LONGEST_S: Final = 30.0
LASTING_S: Final = 30.0


class Backoff:
    """One source's starts. The first is at once; so is one after a program that lasted."""

    def __init__(self) -> None:
        self._delay_s = 0.0
        self._not_before_s = 0.0

    def wait_s(self, now_s: float) -> float:
        """Seconds until the next start may be tried; 0 when it may be now."""
        return max(0.0, self._not_before_s - now_s)

    def ended(self, started_s: float, now_s: float) -> None:
        """A program that was started at `started_s` ended by itself, or never came up."""
        if now_s - started_s >= LASTING_S:
            self._delay_s = 0.0
        else:
            self._delay_s = min(LONGEST_S, self._delay_s * 2 or FIRST_S)
        self._not_before_s = now_s + self._delay_s
