"""Which namespaces are to be reconciled, and when: deduplicated, spaced, backing off.

A namespace waits once, however often it is marked; one that is being reconciled and marked again
is taken again afterwards. No clock: the time is an argument, monotonic seconds.
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

SPACING_S: Final = 0.2
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 60.0
_MOST_DOUBLINGS: Final = 10


@dataclass(slots=True)
class _Entry:
    """One namespace.

    Attributes:
        due_s: when it is to be taken; None = nothing is to be done.
        taken_s: since when it is being reconciled; None = it is not.
        done_s: when it was last let go.
        failures: one after the other.
        is_gone: there is no such namespace any more, unless it is marked again.
    """

    due_s: float | None = None
    taken_s: float | None = None
    done_s: float = float("-inf")
    failures: int = 0
    is_gone: bool = False


class Queue:
    """The namespaces that wait.

    Args:
        spread: a number between its two arguments; jitter.
        spacing_s: between two turns of a namespace: a burst of changes comes to one.
    """

    def __init__(
        self,
        spread: Callable[[float, float], float] = random.uniform,
        *,
        spacing_s: float = SPACING_S,
    ) -> None:
        self._entries: dict[str, _Entry] = {}
        # Those that may be taken, by time; what no longer agrees with its entry is passed over.
        self._waiting: list[tuple[float, str]] = []
        self._spread = spread
        self._spacing_s = spacing_s

    def mark(self, namespace: str, now_s: float, after_s: float = 0.0) -> None:
        """It is to be reconciled, no sooner than `after_s` from now; an earlier mark stands."""
        entry = self._entries.setdefault(namespace, _Entry())
        entry.is_gone = False
        self._mark(namespace, entry, now_s + after_s)

    def take(self, now_s: float) -> str | None:
        """The namespace that is due longest and not being reconciled; None = none is."""
        due_s = self.next_s()
        if due_s is None or due_s > now_s:
            return None
        _, namespace = heapq.heappop(self._waiting)
        entry = self._entries[namespace]
        entry.taken_s, entry.due_s = now_s, None
        return namespace

    def done(self, namespace: str, now_s: float) -> None:
        """It went well."""
        entry = self._let_go(namespace, now_s)
        entry.failures = 0
        if entry.is_gone:
            self.forget(namespace)

    def failed(self, namespace: str, now_s: float) -> float:
        """It did not; it is marked again.

        Returns:
            After how many seconds it is tried again, unless something marks it earlier.
        """
        entry = self._let_go(namespace, now_s)
        longest_s = min(FIRST_PAUSE_S * 2.0**entry.failures, LONGEST_PAUSE_S)
        entry.failures = min(entry.failures + 1, _MOST_DOUBLINGS)
        pause_s = self._spread(longest_s / 2, longest_s)
        # No news of the namespace: one that is gone stays so.
        self._mark(namespace, entry, now_s + pause_s)
        return pause_s

    def forget(self, namespace: str) -> None:
        """There is no such namespace any more; one that is marked or taken stays until done."""
        entry = self._entries.get(namespace)
        if entry is None:
            return
        if entry.due_s is None and entry.taken_s is None:
            del self._entries[namespace]
        else:
            entry.is_gone = True

    def next_s(self) -> float | None:
        """When the next one is due that may be taken; None = none waits."""
        while self._waiting:
            due_s, namespace = self._waiting[0]
            entry = self._entries.get(namespace)
            if entry is not None and entry.due_s == due_s and entry.taken_s is None:
                return due_s
            heapq.heappop(self._waiting)
        return None

    def is_due(self, namespace: str, now_s: float) -> bool:
        """Whether it was marked again since it was taken, and its time has come."""
        entry = self._entries.get(namespace)
        return entry is not None and entry.due_s is not None and entry.due_s <= now_s

    def depth(self, now_s: float) -> int:
        """How many are due."""
        return sum(
            entry.due_s is not None and entry.due_s <= now_s for entry in self._entries.values()
        )

    def age_s(self, now_s: float) -> float:
        """How long the one that is due longest has waited, or is being reconciled; 0 = none is."""
        since = [
            moment_s
            for entry in self._entries.values()
            for moment_s in (entry.due_s, entry.taken_s)
            if moment_s is not None and moment_s <= now_s
        ]
        return now_s - min(since, default=now_s)

    def _mark(self, namespace: str, entry: _Entry, at_s: float) -> None:
        due_s = max(at_s, entry.done_s + self._spacing_s)
        if entry.due_s is None or due_s < entry.due_s:
            self._set(namespace, entry, due_s)

    def _let_go(self, namespace: str, now_s: float) -> _Entry:
        entry = self._entries[namespace]
        entry.taken_s, entry.done_s = None, now_s
        if entry.due_s is not None:
            self._set(namespace, entry, max(entry.due_s, now_s + self._spacing_s))
        return entry

    def _set(self, namespace: str, entry: _Entry, due_s: float) -> None:
        entry.due_s = due_s
        if entry.taken_s is None:
            heapq.heappush(self._waiting, (due_s, namespace))
