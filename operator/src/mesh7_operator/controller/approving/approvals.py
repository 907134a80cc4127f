"""Held calls, namespace by namespace: looked at when something changed, and by the clock.

Messages of a tenant, who may tell without end, cost no more than a part of its namespace's turns.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from mesh7_core import errors
from mesh7_operator.approving.ground import MOST_OPEN, Ground
from mesh7_operator.approving.steps import Steps
from mesh7_operator.clock import Clock
from mesh7_operator.controller.approving.grounding import Allowed, Grounds, exact
from mesh7_operator.controller.approving.remembering import Gone
from mesh7_operator.controller.approving.rooming import Rooms, Shares
from mesh7_operator.controller.approving.settling import Result, Settler
from mesh7_operator.controller.approving.weighing import Weights
from mesh7_operator.controller.informer.board import Board
from mesh7_operator.controller.seams import Store
from mesh7_operator.controller.turns import Again, Ended, Turns

_LOG: Final = logging.getLogger(__name__)
_AT_ONCE: Final = 8
SPACING_S: Final = 0.05
"""Between two looks at a namespace: a burst of messages comes to one."""
_SHARE: Final = 4.0
"""What only a tenant tells of waits for so many times as long as the last look took: it costs a
fifth of a namespace's turn at most, however often it is told."""
_LONGEST_SPACING_S: Final = 5.0
LONGEST_S: Final = 60.0
"""Of one look; nothing that it asks takes longer."""
_LARGE: Final = 50
"""Requests and grants that are planned for beside the event loop."""
_QUESTIONS: Final = 100
_MOST_TOLD: Final = 2 * MOST_OPEN
_WAITING: Final = frozenset({"", "Pending"})


class Approvals:
    """Has people's answers reach held calls.

    Args:
        plan: pure.
        regained: told when Redis is there, or there again: it may have forgotten everything.
    """

    def __init__(  # noqa: PLR0913 - all that it works with
        self,
        *,
        board: Board,
        store: Store,
        grounds: Grounds,
        settler: Settler,
        weights: Weights,
        clock: Clock,
        plan: Callable[[Ground], Steps],
        regained: Callable[[], None],
    ) -> None:
        self._board = board
        self._store = store
        self._grounds = grounds
        self._settler = settler
        self._weights = weights
        self._clock = clock
        self._plan = plan
        self._regained = regained
        self._turns = Turns(
            self._turn, clock, at_once=_AT_ONCE, crashed="looking at held calls crashed",
            ended=self._ended, spacing_s=SPACING_S,
        )  # fmt: skip
        self._rooms, self._shares, self._gone = Rooms(), Shares(), Gone()
        self._told: dict[str, set[str]] = {}
        self._asking: set[str] = set()
        self._costs_s: dict[str, float] = {}
        self._quiet_until_s: dict[str, float] = {}
        self._has_missed = asyncio.Event()
        store.listen(self.told, self._has_missed.set)

    # What makes it look

    def mark(self, namespace: str) -> None:
        """Something changed that the API server tells of."""
        self._turns.mark(namespace)

    def told(self, namespace: str, request_id: str) -> None:
        """Its ledger changed: of a request, or of none. Whoever tells may tell without end."""
        ids = self._told.setdefault(namespace, set())
        if request_id and len(ids) < _MOST_TOLD:
            ids.add(request_id)
        quiet_s = self._quiet_until_s.get(namespace, 0.0) - self._clock.monotonic_s()
        self._turns.mark(namespace, max(self._spacing_s(namespace), quiet_s))

    async def look_around(self) -> None:
        """One round: whatever waits is looked at, and nobody's messages are missed for long."""
        enrolled = self._board.enrolled()
        await self._store.follow(enrolled)
        for start in range(0, len(enrolled), _QUESTIONS):
            some = enrolled[start : start + _QUESTIONS]
            waiting = await self._store.waiting(some)
            for namespace in some if waiting is not None else ():
                if waiting is not None and waiting[namespace]:
                    self.mark(namespace)
        for namespace in self._board.names():
            if self._grounds.open(namespace) or self._has_unanswered(namespace):
                self.mark(namespace)

    def resync(self) -> None:
        """Look at all where anything is."""
        for namespace in self._board.names():
            known = self._board.known(namespace)
            if known.requests or exact(known.grants):
                self.mark(namespace)

    def compiled(self, namespace: str) -> None:
        """Its policies may be others by now: what asked may ask no longer, or only now."""
        is_asking = namespace in self._asking or self._grounds.open(namespace)
        if is_asking or self._has_unanswered(namespace):
            self.mark(namespace)

    def forget(self, namespace: str) -> None:
        """There is no such namespace any more."""
        self._turns.forget(namespace)
        self._weights.forget(namespace)
        self._gone.forget(namespace)
        self._grounds.forget(namespace)
        self._shares.keeps(namespace, 0)
        self._asking.discard(namespace)
        for remembered in (self._told, self._costs_s, self._quiet_until_s):
            remembered.pop(namespace, None)

    @property
    def age_s(self) -> float:
        """How long the namespace that is due longest has waited."""
        return self._turns.age_s

    def _spacing_s(self, namespace: str) -> float:
        cost_s = self._costs_s.get(namespace, 0.0)
        return max(SPACING_S, min(_SHARE * cost_s, _LONGEST_SPACING_S))

    def _is_gone(self, namespace: str) -> bool:
        known = self._board.known(namespace)
        return known.namespace is None and not (known.requests or known.grants)

    def _has_unanswered(self, namespace: str) -> bool:
        grants = exact(self._board.known(namespace).grants)
        return any(str(one.status.get("phase", "")) in _WAITING for one in grants)

    # Looking

    async def run(self) -> None:
        """Work until cancelled."""
        self.resync()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._catch_up())
            await self._turns.run()

    async def _catch_up(self) -> None:
        """Once listening begins anew, and again after each loss."""
        while True:
            await self._has_missed.wait()
            self._has_missed.clear()
            self._regained()
            self._settler.try_again()
            for namespace in self._board.enrolled():
                self._quiet_until_s.pop(namespace, None)
                self.told(namespace, "")

    async def _turn(self, namespace: str) -> Again | None:
        began_s = self._clock.monotonic_s()
        try:
            async with asyncio.timeout(LONGEST_S):
                return await self._look(namespace)
        except (errors.ClusterError, TimeoutError) as error:
            about = {"error": str(error) or "it took too long"}
            return Again(why="held calls were not looked at", about=about)
        finally:
            self._costs_s[namespace] = self._clock.monotonic_s() - began_s

    def _ended(self, namespace: str, ended: Ended) -> None:
        if ended.pause_s is not None:
            self._quiet_until_s[namespace] = self._clock.monotonic_s() + ended.pause_s
            return
        self._quiet_until_s.pop(namespace, None)
        if self._is_gone(namespace):
            # It was forgotten during this look, which has remembered it again.
            self.forget(namespace)

    async def _look(self, namespace: str) -> Again | None:
        told = frozenset(self._told.pop(namespace, ()))
        try:
            again = await self._look_at(namespace, told)
        except BaseException:
            self._hear_again(namespace, told)
            raise
        if again is not None:
            self._hear_again(namespace, told)
        return again

    def _hear_again(self, namespace: str, told: frozenset[str]) -> None:
        ids = self._told.setdefault(namespace, set())
        ids.update(list(told)[: _MOST_TOLD - len(ids)])

    async def _look_at(self, namespace: str, told: frozenset[str]) -> Again | None:
        ground = await self._grounds.gather(namespace, told, self._allowed(namespace))
        if ground is None:
            self._weights.none(namespace)
            self._shares.keeps(namespace, 0)
            self._asking.discard(namespace)
            return None
        if ground.ledger:
            self._asking.add(namespace)
        steps = await self._planned(ground)
        result = await self._settler.apply(steps, ground)
        self._note(namespace, steps, result)
        self._hear_again(namespace, told & result.unsettled)
        if result.troubles:
            about = {"errors": result.troubles[:10]}
            return Again(why="not all of held calls is done", about=about)
        return Again() if result.is_overtaken else None

    async def _planned(self, ground: Ground) -> Steps:
        many = len(ground.ledger or ()) + len(ground.mirrors) + len(ground.grants)
        return await asyncio.to_thread(self._plan, ground) if many > _LARGE else self._plan(ground)

    def _allowed(self, namespace: str) -> Allowed:
        now_s = self._clock.monotonic_s()
        return Allowed(
            room=self._rooms.left(namespace, now_s),
            most_bytes=self._shares.of(namespace),
            gone=self._gone.of(namespace, now_s),
        )

    def _note(self, namespace: str, steps: Steps, result: Result) -> None:
        now_s = self._clock.monotonic_s()
        if result.made:
            self._rooms.take(namespace, result.made, now_s)
        self._gone.add(namespace, steps.gone, now_s)
        self._shares.keeps(namespace, steps.kept_bytes)
        if (largest := self._shares.largest()) not in {"", namespace}:
            # What it keeps may all be open: then no look at it makes room, however often.
            self._turns.mark(largest, _LONGEST_SPACING_S)
        if result.again_s is not None:
            self._turns.mark(namespace, max(result.again_s, self._spacing_s(namespace)))
        self._weights.open(namespace, len(self._grounds.open(namespace)))
        for request_id, why in self._weights.doubted(namespace, steps.doubted).items():
            about = {"namespace": namespace, "request": request_id, "why": why}
            _LOG.info("a request is not mirrored", extra=about)
        if steps.look_again_at is not None:
            self._turns.mark(namespace, self._until(steps.look_again_at))

    def _until(self, moment: datetime) -> float:
        return max(0.0, (moment - self._clock.now()).total_seconds())
