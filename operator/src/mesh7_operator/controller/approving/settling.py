"""Steps become requests, in their order: first what a sidecar waits for, then what people read."""

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Final

from mesh7_core import errors, names
from mesh7_core.ledger.asked import State
from mesh7_operator.approving.ground import Ground
from mesh7_operator.approving.steps import Mirror, Settle, Steps
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import api_server, resources, shapes
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.controller import statuses
from mesh7_operator.controller.approving.rooming import ALL_EVENTS, EVENTS, Rooms
from mesh7_operator.controller.approving.weighing import Weights
from mesh7_operator.controller.informer.board import Board
from mesh7_operator.controller.posting import Poster
from mesh7_operator.controller.seams import Store
from mesh7_operator.reconciling.plan import Event, StatusChange
from mesh7_operator.reconciling.world import Written

_LOG: Final = logging.getLogger(__name__)
_DECIDED: Final = frozenset({State.APPROVED, State.DENIED})
_TELLS_S: Final = 15.0
"""By then the watch has told of what we made."""
_FIRST_PAUSE_S: Final = 0.25
_LONGEST_PAUSE_S: Final = 30.0
_MOST_PAUSED: Final = 10_000


class Outcome(Enum):
    """What came of one step."""

    DONE = "done"
    OVERTAKEN = "overtaken"
    """Somebody else was faster; the next look sees what they did."""


@dataclass(frozen=True, slots=True)
class _Pause:
    """How long a request that Redis did not take is left alone, and until when."""

    pause_s: float
    until_s: float


Step = Callable[[], Awaitable[Outcome]]


@dataclass(slots=True, kw_only=True)
class Result:
    """What came of all of them.

    Attributes:
        is_overtaken: something is to be looked at again.
        troubles: what could not be done, one line each.
        made: how many ApprovalRequests were asked for.
        again_s: when requests that Redis did not take are tried again; None = it took all. They
            are nobody else's loss: a tenant can write what can never be exchanged.
        unsettled: ids of requests of which Redis does not say what the plan does: nobody is told.
    """

    is_overtaken: bool = False
    unsettled: set[str] = field(default_factory=set)
    troubles: list[str] = field(default_factory=list)
    made: int = 0
    again_s: float | None = None

    def later(self, pause_s: float) -> None:
        """Something is tried again after that."""
        self.again_s = pause_s if self.again_s is None else min(self.again_s, pause_s)


class Settler:
    """Carries steps out; each may be done twice, by this leader or the next one.

    Args:
        may_write: whether we lead at this moment; asked before each request.
    """

    def __init__(  # noqa: PLR0913 - all that steps are carried out with
        self,
        *,
        api: ApiServer,
        store: Store,
        board: Board,
        poster: Poster,
        weights: Weights,
        clock: Clock,
        may_write: Callable[[], bool],
    ) -> None:
        self._api = api
        self._store = store
        self._board = board
        self._poster = poster
        self._weights = weights
        self._clock = clock
        self._may_write = may_write
        self._made: dict[tuple[str, str], float] = {}
        self._events = Rooms(EVENTS, ALL_EVENTS)
        self._paused: OrderedDict[tuple[str, str], _Pause] = OrderedDict()

    def try_again(self) -> None:
        """Redis is there again: what it did not take, it may take now."""
        self._paused.clear()

    async def apply(self, steps: Steps, ground: Ground) -> Result:
        """Do what they say.

        Raises:
            ClusterError: we no longer lead.
        """
        result = Result()
        for step in self._steps(steps, ground, result):
            if not self._may_write():
                raise errors.ClusterError("no longer leading; the rest is not ours")
            try:
                outcome = await step()
            except errors.ClusterError as error:
                result.troubles.append(error.message)
            else:
                result.is_overtaken |= outcome is Outcome.OVERTAKEN
        return result

    def _steps(self, steps: Steps, ground: Ground, result: Result) -> Iterator[Step]:
        namespace = ground.namespace
        for settle in steps.settle:
            if not self._is_paused(namespace, settle, result):
                yield partial(self._settle, settle, ground, result)
        self._forget_made()
        for mirror in steps.mirror:
            if (namespace, mirror.name) not in self._made:
                result.made += 1
                yield partial(self._mirror, namespace, mirror)
        known = (*ground.mirrors, *ground.grants) if result.unsettled else ()
        requests = {one.uid: _request_of(one) for one in known}
        for status in steps.statuses:
            if requests.get(status.uid) not in result.unsettled:
                yield partial(self._set_status, namespace, status)
        for name, uid in steps.deleted:
            yield partial(self._delete, namespace, name, uid)
        for event in steps.events:
            if not any(one in event.message for one in result.unsettled):
                yield partial(self._post, ground, event)

    async def _settle(self, settle: Settle, ground: Ground, result: Result) -> Outcome:
        after = settle.after
        kept = ground.ledger.get(after.id) if ground.ledger is not None else None
        found = kept.decision if kept is not None else b""
        if not await self._store.settle(ground.namespace, settle, found):
            result.unsettled.add(after.id)
            result.later(self._pause(ground.namespace, after.id))
            return Outcome.DONE
        self._paused.pop((ground.namespace, after.id), None)
        about = {"namespace": ground.namespace, "request": after.id, "state": after.state.value}
        if settle.forged:
            self._weights.forged(ground.namespace, after, settle.forged)
            _LOG.warning("a forged state is repaired", extra={**about, "why": settle.forged})
        if settle.decision and after.state in _DECIDED:
            self._weights.decided(after, ground)
        _LOG.info("settled", extra={**about, "is_signed": bool(settle.decision)})
        return Outcome.DONE

    async def _mirror(self, namespace: str, mirror: Mirror) -> Outcome:
        try:
            made = await self._api.create(resources.APPROVAL_REQUESTS, namespace, mirror.manifest)
        except api_server.Conflict:
            # It is there, and the watch will tell, or has; its status may be another by now.
            self._made[namespace, mirror.name] = self._clock.monotonic_s()
            return Outcome.DONE
        self._made[namespace, mirror.name] = self._clock.monotonic_s()
        change = StatusChange(
            kind=names.APPROVAL_REQUEST,
            name=mirror.name,
            uid=shapes.text(made, "metadata", "uid"),
            status=mirror.status,
        )
        return await self._set_status(namespace, change)

    async def _set_status(self, namespace: str, change: StatusChange) -> Outcome:
        try:
            is_written = await statuses.write(self._api, self._board, namespace, change)
        except api_server.Conflict:
            return Outcome.OVERTAKEN
        if is_written:
            self._weights.told(change)
        return Outcome.DONE

    async def _delete(self, namespace: str, name: str, uid: str) -> Outcome:
        try:
            await self._api.delete(resources.APPROVAL_REQUESTS, namespace, name, uid)
        except api_server.Conflict:
            return Outcome.OVERTAKEN
        self._board.deleted_request(uid)
        return Outcome.DONE

    async def _post(self, ground: Ground, event: Event) -> Outcome:
        now_s = self._clock.monotonic_s()
        if self._events.left(ground.namespace, now_s):
            self._events.take(ground.namespace, 1, now_s)
            await self._poster.post(ground.namespace, event)
        return Outcome.DONE

    def _is_paused(self, namespace: str, settle: Settle, result: Result) -> bool:
        pause = self._paused.get((namespace, settle.after.id))
        left_s = 0.0 if pause is None else pause.until_s - self._clock.monotonic_s()
        if left_s > 0.0:
            result.unsettled.add(settle.after.id)
            result.later(left_s)
        return left_s > 0.0

    def _pause(self, namespace: str, request_id: str) -> float:
        before = self._paused.pop((namespace, request_id), None)
        pause_s = _FIRST_PAUSE_S if before is None else min(2 * before.pause_s, _LONGEST_PAUSE_S)
        now_s = self._clock.monotonic_s()
        self._paused[namespace, request_id] = _Pause(pause_s, now_s + pause_s)
        if len(self._paused) > _MOST_PAUSED:
            self._paused.popitem(last=False)
        return pause_s

    def _forget_made(self) -> None:
        now_s = self._clock.monotonic_s()
        over = [one for one, at_s in self._made.items() if now_s - at_s > _TELLS_S]
        for one in over:
            del self._made[one]


def _request_of(one: Written) -> str:
    """The request that an ApprovalRequest is, or a Grant answers."""
    return shapes.text(one.value, "spec", "requestRef", "name") or one.name
