"""Ids of held calls whose ApprovalRequest was deleted: nobody may have another call under them.

A person may still have the old one before them. What is remembered is bounded, and lost with the
process. No clock: the time is an argument, monotonic seconds.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable
from typing import Final

from mesh7_operator.approving.ground import KEPT_S

MOST_IDS: Final = 4_000
"""Of one namespace, the latest."""
MOST_NAMESPACES: Final = 50
"""With as many; those that were told of longest ago are forgotten beyond `MOST_IDS` times this."""


class Gone:
    """By namespace."""

    def __init__(self) -> None:
        self._ids: OrderedDict[str, OrderedDict[str, float]] = OrderedDict()
        self._many = 0

    def of(self, namespace: str, now_s: float) -> Collection[str]:
        """Ids that closed not longer ago than a day."""
        ids = self._ids.get(namespace)
        while ids and next(iter(ids.values())) + KEPT_S <= now_s:
            self._drop_first(namespace)
        return frozenset(self._ids.get(namespace, ()))

    def add(self, namespace: str, ids: Iterable[str], now_s: float) -> None:
        """Their ApprovalRequests are deleted."""
        for one in ids:
            known = self._ids.setdefault(namespace, OrderedDict())
            self._ids.move_to_end(namespace)
            self._many += one not in known
            known[one] = now_s
            known.move_to_end(one)
            if len(known) > MOST_IDS:
                self._drop_first(namespace)
            if self._many > MOST_IDS * MOST_NAMESPACES:
                self._drop_first(next(iter(self._ids)))

    def forget(self, namespace: str) -> None:
        """There is no such namespace any more."""
        self._many -= len(self._ids.pop(namespace, ()))

    def _drop_first(self, namespace: str) -> None:
        ids = self._ids[namespace]
        ids.popitem(last=False)
        self._many -= 1
        if not ids:
            del self._ids[namespace]
