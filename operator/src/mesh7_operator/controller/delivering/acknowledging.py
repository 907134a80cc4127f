"""What sidecars report: which namespaces it changes something for, and how fast bundles travel."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from mesh7_operator.clock import Clock
from mesh7_operator.controller.delivering import gathering
from mesh7_operator.controller.informer.board import Board
from mesh7_operator.controller.seams import Store
from mesh7_operator.metrics import ControllerMetrics
from mesh7_operator.reconciling.plan import Plan
from mesh7_operator.reconciling.world import Published, StoreState

_AT_ONCE: Final = 100
"""Namespaces in one question to the store."""


class Acknowledgements:
    """Looks at all enrolled namespaces at once, and marks those where something changed."""

    def __init__(
        self,
        *,
        board: Board,
        store: Store,
        mark: Callable[[str], None],
        clock: Clock,
        metrics: ControllerMetrics,
        regained: Callable[[], None],
    ) -> None:
        self._board = board
        self._regained = regained
        self._store = store
        self._mark = mark
        self._clock = clock
        self._metrics = metrics
        self._before: dict[str, bytes] = {}
        self._state: StoreState | None = None
        self._issued: dict[str, int] = {}
        self._obeying: dict[str, frozenset[str]] = {}

    def settled(self, plan: Plan) -> None:
        """A plan was carried out: from now on that version is waited for."""
        namespace = plan.namespace
        if not plan.bundle_version:
            self._forget(namespace)
            return
        self._metrics.bundle_version.labels(namespace).set(plan.bundle_version)
        self._metrics.bundle_bytes.labels(namespace).set(plan.bundle_bytes)
        if self._issued.get(namespace, 0) < plan.bundle_version:
            self._issued[namespace] = plan.bundle_version
            self._obeying[namespace] = frozenset()

    @property
    def remembered(self) -> int:
        """How many sidecars are known to obey what they should."""
        return sum(len(uids) for uids in self._obeying.values())

    async def look(self) -> None:
        """One round."""
        enrolled = self._board.enrolled()
        for start in range(0, len(enrolled), _AT_ONCE):
            some = enrolled[start : start + _AT_ONCE]
            wanted = {name: gathering.use_keys_of(self._board, name) for name in some}
            found = await self._store.published(wanted)
            if found is not None:
                self._compare(found, await asyncio.to_thread(_digests, found))
        self._tell_state(enrolled)

    def _compare(self, found: Mapping[str, Published], digests: Mapping[str, bytes]) -> None:
        for namespace, published in found.items():
            before = self._before.get(namespace)
            self._before[namespace] = digests[namespace]
            self._count(namespace, published)
            # Seen for the first time it is a change, too: nobody knows what it was like before.
            if before != digests[namespace]:
                self._mark(namespace)

    def _count(self, namespace: str, published: Published) -> None:
        version = self._issued.get(namespace)
        if version is None:
            return
        obeying = frozenset(
            uid for uid, report in published.reports.items() if report.bundle == version
        )
        lag_s = self._clock.wall_ns() / 1e9 - version / 1e3
        before = self._obeying[namespace]
        for _ in obeying - before:
            self._metrics.propagation.observe(max(lag_s, 0.0))
        # Whoever no longer reports is forgotten: made-up ones come anew in each round.
        self._obeying[namespace] = obeying | before & published.reports.keys()
        stale = len(published.reports) - len(obeying)
        self._metrics.stale_sidecars.labels(namespace).set(stale)

    def _tell_state(self, enrolled: list[str]) -> None:
        state = self._store.state
        if state is self._state:
            return
        if (self._state, state) == (StoreState.LOST, StoreState.CONNECTED):
            self._regained()
        self._state = state
        for one in StoreState:
            self._metrics.store.labels(one.value).set(one is state)
        for namespace in enrolled:
            self._mark(namespace)

    def _forget(self, namespace: str) -> None:
        self._metrics.forget(namespace)
        for remembered in (self._issued, self._obeying, self._before):
            remembered.pop(namespace, None)


def _digests(found: Mapping[str, Published]) -> dict[str, bytes]:
    """Of each namespace, to tell whether anything changed: all reports would be a lot to keep."""
    return {namespace: _digest(published) for namespace, published in found.items()}


def _digest(published: Published) -> bytes:
    ordered = (sorted(published.reports.items()), sorted(published.uses.items()))
    spelled = f"{replace(published, reports={}, uses={})}{ordered}"
    return hashlib.sha256(spelled.encode("utf-8", "surrogatepass")).digest()
