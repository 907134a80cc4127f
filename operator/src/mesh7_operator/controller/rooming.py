"""How many held calls of a namespace become ApprovalRequests: some at once, then few a second.

A tenant that opens and withdraws requests in a loop would else fill the cluster's store.
No clock: the time is an argument, monotonic seconds.
"""

from typing import Final

BURST: Final = 200.0
PER_S: Final = 2.0


class Rooms:
    """What is left of each namespace's room; one that is not known has all of it."""

    def __init__(self) -> None:
        self._left: dict[str, tuple[float, float]] = {}

    def left(self, namespace: str, now_s: float) -> int:
        """How many may be made now."""
        left, since_s = self._left.get(namespace, (BURST, now_s))
        now_left = left + max(now_s - since_s, 0.0) * PER_S
        if now_left >= BURST:
            self._left.pop(namespace, None)
            return int(BURST)
        return int(now_left)

    def take(self, namespace: str, many: int, now_s: float) -> None:
        """So many were made."""
        left, since_s = self._left.get(namespace, (BURST, now_s))
        refilled = min(BURST, left + max(now_s - since_s, 0.0) * PER_S)
        self._left[namespace] = max(refilled - many, 0.0), now_s
