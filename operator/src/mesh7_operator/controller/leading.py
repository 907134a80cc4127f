"""All that the leader does, from the first list to the moment when the Lease is lost."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine, Mapping
from typing import Final

from mesh7_operator import settings
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import redis_master
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.cluster.connection import Connection
from mesh7_operator.controller import listing, rounds, tasks
from mesh7_operator.controller.acknowledging import Acknowledgements
from mesh7_operator.controller.applying import Applier
from mesh7_operator.controller.board import Board
from mesh7_operator.controller.gathering import Gatherer
from mesh7_operator.controller.keyrings import Keyrings
from mesh7_operator.controller.posting import Poster
from mesh7_operator.controller.seams import NoStore, Store
from mesh7_operator.controller.watching import Watch
from mesh7_operator.controller.working import Workers
from mesh7_operator.metrics import ControllerMetrics
from mesh7_operator.reconciling import reconcile
from mesh7_operator.reconciling.compilation import Compilation, compilation_of
from mesh7_operator.reconciling.plan import Plan
from mesh7_operator.reconciling.world import World
from mesh7_operator.store import store

_LOG: Final = logging.getLogger(__name__)
RESYNC_S: Final = 600.0
REPORTS_S: Final = 5.0
KEYS_S: Final = 10.0
USERS_S: Final = 30.0
NEWCOMERS_S: Final = 0.5
"""Several that are enrolled at once are seen to at once."""
PODS_S: Final = 60.0
STUCK_S: Final = 60.0


class Leading:
    """The leader's work.

    Args:
        may_write: whether we lead at this moment.
    """

    def __init__(
        self,
        chosen: settings.Controller,
        connection: Connection,
        api: ApiServer,
        *,
        may_write: Callable[[], bool],
        clock: Clock,
        metrics: ControllerMetrics,
    ) -> None:
        namespace = chosen.cluster.release_namespace
        self._release_namespace = namespace
        self._redis = chosen.redis
        self._api = api
        self._clock = clock
        self._metrics = metrics
        self._master = b""
        self._store: Store = (
            NoStore() if self._redis is None else store.Store(self._redis, lambda: self._master)
        )
        self._is_complete = False
        self._tended: frozenset[str] = frozenset()
        self._has_newcomers = asyncio.Event()
        self._compiled: dict[str, Compilation] = {}
        self._board = Board(namespace, self._mark)
        self._keyrings = Keyrings(api, namespace, secrets.token_bytes, self._mark_all)
        self._acknowledgements = Acknowledgements(
            board=self._board, store=self._store, mark=self._mark, clock=clock, metrics=metrics
        )
        self._workers = Workers(
            gatherer=Gatherer(self._board, self._store, self._keyrings, namespace, clock),
            reconcile=self._reconcile,
            applier=Applier(
                api=api,
                store=self._store,
                board=self._board,
                poster=Poster(api, clock),
                may_write=may_write,
            ),
            settled=self._settled,
            clock=clock,
            metrics=metrics,
        )
        self._ear = listing.Ear(api, self._board)
        self._watch = Watch(connection, self._ear, metrics)

    def healthy(self) -> tuple[bool, Mapping[str, object]]:
        """Whether work gets done; a no gets the process restarted."""
        age_s = self._workers.age_s
        return age_s <= STUCK_S and not self._watch.has_ended, {
            "queue_age_s": round(age_s, 1),
            "has_lost_watch": self._watch.has_ended,
            "is_complete": self._is_complete,
        }

    async def run(self) -> None:
        """Lead until cancelled.

        Raises:
            ClusterError: it cannot go on.
        """
        await listing.require_kinds(self._api)
        await self._keyrings.start()
        await self._read_master()
        await self._store.start()
        try:
            await tasks.first_of(self._watch.run(), self._ear.run(), self._work())
        finally:
            await self._store.close()

    async def _work(self) -> None:
        # Before this nothing may be written, and no user of Redis may be taken for superfluous.
        await listing.complete(self._api, self._board)
        self._is_complete = True
        _LOG.info("everything is listed", extra={"namespaces": len(self._board.names())})
        await tasks.first_of(self._workers.run(), self._tend_newcomers(), *self._rounds())

    def _rounds(self) -> list[Coroutine[object, object, None]]:
        board, api = self._board, self._api
        return [
            rounds.every(RESYNC_S, "resync", lambda: rounds.resync(api, board, self._mark)),
            rounds.every(REPORTS_S, "reports", self._acknowledgements.look),
            rounds.every(KEYS_S, "keys", self._look_at_keys),
            rounds.every(USERS_S, "users", self._tend),
            rounds.every(PODS_S, "pods", lambda: rounds.count_unguarded(api, board, self._metrics)),
        ]

    async def _look_at_keys(self) -> None:
        await self._keyrings.look()
        await self._read_master()

    async def _read_master(self) -> None:
        if self._redis is None or self._redis.mode is not settings.RedisMode.MANAGED:
            return
        self._master = await redis_master.ensure(
            self._api, self._release_namespace, secrets.token_bytes
        )

    async def _tend(self) -> None:
        self._tended = frozenset(self._board.enrolled())
        await self._store.tend(self._tended, self._clock.now())

    async def _tend_newcomers(self) -> None:
        """Users before pods: a namespace that was just enrolled does not wait for the round."""
        while True:
            await self._has_newcomers.wait()
            await asyncio.sleep(NEWCOMERS_S)
            self._has_newcomers.clear()
            await self._tend()

    def _reconcile(self, world: World) -> Plan:
        compiled = compilation_of(world, self._compiled.get(world.namespace))
        self._compiled[world.namespace] = compiled
        return reconcile.reconcile(world, compiled)

    def _mark(self, namespace: str) -> None:
        self._workers.mark(namespace)

    def _mark_all(self) -> None:
        for namespace in self._board.names():
            self._mark(namespace)

    def _settled(self, plan: Plan) -> None:
        self._acknowledgements.settled(plan)
        if plan.bundle_version and plan.namespace not in self._tended:
            self._has_newcomers.set()
        if self._board.known(plan.namespace).namespace is None:
            self._board.forget(plan.namespace)
            self._workers.forget(plan.namespace)
            self._compiled.pop(plan.namespace, None)
