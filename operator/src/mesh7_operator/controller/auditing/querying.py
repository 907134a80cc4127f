"""AuditQueries answered, namespace by namespace, beside all other work: one at a time in each.

A question that takes long keeps no other namespace waiting, and no reconcile. Nothing that a record
says is ever logged.
"""

from collections.abc import Callable
from typing import Final

from mesh7_core import errors
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import api_server, resources, shapes
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.controller.auditing.looking_up import Answering
from mesh7_operator.controller.informer import seen
from mesh7_operator.controller.informer.board import Board
from mesh7_operator.controller.turns import Again, Turns
from mesh7_operator.querying import answers, turns
from mesh7_operator.querying.answers import Status
from mesh7_operator.reconciling.world import Written

AT_ONCE: Final = 4
"""Namespaces."""
SPACING_S: Final = 0.02
_PENDING: Final = {"phase": "Pending"}


class Queries:
    """Has questions answered, and forgets them.

    Args:
        reader: knows the answers.
        may_write: whether we lead at this moment; asked before each request.
    """

    def __init__(
        self,
        *,
        api: ApiServer,
        board: Board,
        reader: Answering,
        clock: Clock,
        may_write: Callable[[], bool],
    ) -> None:
        self._api = api
        self._board = board
        self._reader = reader
        self._clock = clock
        self._may_write = may_write
        self._turns = Turns(
            self._turn, clock, at_once=AT_ONCE, crashed="answering about the audit crashed",
            spacing_s=SPACING_S,
        )  # fmt: skip
        self._since: dict[str, dict[str, float]] = {}

    def mark(self, namespace: str) -> None:
        """Something changed among its questions."""
        if namespace not in self._since and not self._board.known(namespace).queries:
            return
        self._turns.mark(namespace)

    def close(self) -> None:
        """Begin nothing any more."""
        self._reader.close()

    def forget(self, namespace: str) -> None:
        """There is no such namespace any more."""
        self._turns.forget(namespace)
        self._since.pop(namespace, None)

    async def look_around(self) -> None:
        """One round: whatever is there is looked at, were it but to be deleted."""
        for namespace in self._board.names():
            self.mark(namespace)

    async def run(self) -> None:
        """Work until cancelled."""
        await self.look_around()
        await self._turns.run()

    async def _turn(self, namespace: str) -> Again | None:
        try:
            has_more = await self._look(namespace)
        except errors.ClusterError as error:
            about = {"error": error.message}
            return Again(why="questions about the audit were not looked at", about=about)
        if has_more:
            self._turns.mark(namespace)
        return None

    async def _look(self, namespace: str) -> bool:
        """Give one answer at most; whether more wait."""
        queries = [one for one in self._board.known(namespace).queries if not one.is_ending]
        turn = turns.turn(queries, self._ages(namespace, queries))
        for one in turn.over:
            await self._delete(one)
        for one in turn.too_many:
            await self._tell(one, answers.failed(turns.TOO_MANY))
        for one in turn.waiting:
            if not shapes.text(one.status, "phase"):
                await self._tell(one, _PENDING)
        if turn.next is not None:
            await self._answer(turn.next)
        return bool(turn.waiting)

    def _ages(self, namespace: str, queries: list[Written]) -> dict[str, float]:
        """For how long each is known to us: what a clock elsewhere says does not matter."""
        now_s = self._clock.monotonic_s()
        before = self._since.get(namespace, {})
        since = {one.uid: before.get(one.uid, now_s) for one in queries}
        if since:
            self._since[namespace] = since
        else:
            self._since.pop(namespace, None)
        return {uid: now_s - since_s for uid, since_s in since.items()}

    async def _answer(self, query: Written) -> None:
        try:
            status = await self._reader.answer(query)
        except errors.ClusterError as error:
            status = answers.failed(error.message)
        except Exception:
            # It would else be tried again and again, and crash each time.
            await self._tell(query, answers.failed(turns.DEFECT))
            raise
        await self._tell(query, status)

    async def _tell(self, query: Written, status: Status) -> None:
        self._require_lead()
        try:
            written = await self._api.set_status(
                resources.AUDIT_QUERIES, query.namespace, query.name, query.uid, status
            )
        except api_server.NotFound:
            return
        except api_server.Invalid as error:
            if not error.is_failed_test:
                raise
            return
        # What counts here is that it is answered, not what.
        self._board.wrote_status(
            query.uid, seen.revision(written), {"phase": shapes.text(status, "phase")}
        )

    async def _delete(self, query: Written) -> None:
        self._require_lead()
        try:
            await self._api.delete(resources.AUDIT_QUERIES, query.namespace, query.name, query.uid)
        except api_server.Conflict:
            return
        self._board.deleted_request(query.uid)

    def _require_lead(self) -> None:
        if not self._may_write():
            raise errors.ClusterError("no longer leading; the rest is not ours")
