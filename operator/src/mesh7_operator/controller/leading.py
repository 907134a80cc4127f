"""All that the leader does, from the first list to the moment when the Lease is lost."""

import logging
import secrets
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final

from mesh7_operator import settings, tracing
from mesh7_operator.approving import plan as approving
from mesh7_operator.authority import kept
from mesh7_operator.authority.planning import Terms
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import furniture
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.cluster.connection import Connection
from mesh7_operator.controller import rounds, tasks
from mesh7_operator.controller.approving.approvals import Approvals
from mesh7_operator.controller.approving.compiled import CompiledPolicies
from mesh7_operator.controller.approving.grounding import Grounds
from mesh7_operator.controller.approving.living import Pods
from mesh7_operator.controller.approving.settling import Settler
from mesh7_operator.controller.approving.weighing import Weights
from mesh7_operator.controller.approving.witnessing import Witness
from mesh7_operator.controller.auditing import audited, looking_up
from mesh7_operator.controller.auditing.chronicle import NOTHING
from mesh7_operator.controller.auditing.looking_up import Answering, Reader
from mesh7_operator.controller.auditing.querying import Queries
from mesh7_operator.controller.delivering.acknowledging import Acknowledgements
from mesh7_operator.controller.delivering.applying import Applier
from mesh7_operator.controller.delivering.gathering import Gatherer
from mesh7_operator.controller.delivering.planning import Planner
from mesh7_operator.controller.delivering.working import Workers
from mesh7_operator.controller.informer import listing
from mesh7_operator.controller.informer.board import Board
from mesh7_operator.controller.informer.watching import Watch
from mesh7_operator.controller.posting import Poster
from mesh7_operator.controller.upkeep.certifying import Certifying
from mesh7_operator.controller.upkeep.keyrings import Keyrings
from mesh7_operator.controller.upkeep.tending import Redis
from mesh7_operator.controller.upkeep.unguarded import Auditor
from mesh7_operator.metrics import ControllerMetrics
from mesh7_operator.reconciling import reconcile
from mesh7_operator.reconciling.compilation import compilation_of
from mesh7_operator.reconciling.guarding import Rules
from mesh7_operator.reconciling.plan import Plan
from mesh7_operator.reconciling.world import Release
from mesh7_operator.tracing import Tracer

_LOG: Final = logging.getLogger(__name__)
RESYNC_S: Final = 600.0
QUERIES_S: Final = 20.0
REPORTS_S: Final = 5.0
APPROVALS_S: Final = 5.0
KEYS_S: Final = 10.0
STAMPS_S: Final = 1.0
"""While nobody's stamp is known: an injector that starts for the first time has just made it."""
CERTIFICATES_S: Final = 8.0
SECRETS_S: Final = 60.0
USERS_S: Final = 30.0
COMPLETE_S: Final = 300.0
"""After which a leader that does not get to know everything is to be replaced."""


class Leading:
    """The leader's work.

    Args:
        may_write: whether we lead at this moment.
    """

    def __init__(  # noqa: PLR0913 - all that it works with
        self,
        chosen: settings.Controller,
        connection: Connection,
        api: ApiServer,
        *,
        may_write: Callable[[], bool],
        clock: Clock,
        metrics: ControllerMetrics,
        tracer: Tracer = tracing.OFF,
    ) -> None:
        namespace = chosen.cluster.release_namespace
        self._release_namespace = namespace
        self._api = api
        self._clock = clock
        self._metrics, self._tracer = metrics, tracer
        self._release = _release(chosen)
        self._is_complete = False
        self._began_s: float | None = None
        self._board = Board(namespace, self._mark, self._asked, self._inquired)
        self._redis = Redis(chosen, api, self._board.enrolled, clock=clock, metrics=metrics)
        self._keyrings = Keyrings(api, namespace, secrets.token_bytes, self._mark_all)
        self._certifying = Certifying(
            api,
            chosen.certificates,
            _terms(chosen),
            clock=clock,
            metrics=metrics,
            changed=self._trust,
        )
        self._acknowledgements = Acknowledgements(
            board=self._board, store=self._redis.store, mark=self._mark, clock=clock,
            metrics=metrics, regained=self._redis.regained,
        )  # fmt: skip
        poster = Poster(api, clock)
        self._audit_s = chosen.audit_s
        self._auditor = Auditor(api, self._board, poster, metrics, _rules(chosen))
        applier = Applier(
            api=api,
            store=self._redis.store,
            board=self._board,
            poster=poster,
            may_write=may_write,
        )
        self._planner = Planner(
            gatherer=Gatherer(
                self._board,
                self._redis.store,
                self._keyrings,
                namespace,
                clock,
                lambda: self._release,
            ),
            applier=applier,
            compile_world=compilation_of,
            reconcile=reconcile.reconcile,
        )
        self._policies = CompiledPolicies(self._planner.compiled)
        self._audited = self._made_audited(chosen, poster, may_write)
        self._approvals = self._made_approvals(poster, may_write)
        self._queries = self._made_queries(may_write)
        self._workers = Workers(
            planner=self._planner, applier=applier, settled=self._settled, clock=clock,
            metrics=metrics, tracer=tracer,
        )  # fmt: skip
        self._ear = listing.Ear(api, self._board)
        self._watch = Watch(connection, self._ear, metrics)

    def healthy(self) -> tuple[bool, Mapping[str, object]]:
        """Whether work gets done; a no gets the process restarted."""
        incomplete_s = self._incomplete_s()
        is_late = incomplete_s > COMPLETE_S
        return not (self._workers.is_stuck or self._watch.has_ended or is_late), {
            "queue_age_s": round(self._workers.age_s, 1),
            "has_lost_watch": self._watch.has_ended,
            "is_complete": self._is_complete,
            "incomplete_s": round(incomplete_s, 1),
            "is_redis_well": self._redis.is_well,
            "approvals_age_s": round(self._approvals.age_s, 1),
        }

    def _made_audited(
        self, chosen: settings.Controller, poster: Poster, may_write: Callable[[], bool]
    ) -> audited.Audited | None:
        """None = there is no Redis, where it would be kept."""
        if self._redis.kept is None:
            return None
        return audited.made(
            chosen, self._redis.kept.audit, api=self._api, board=self._board,
            keyrings=self._keyrings, poster=poster, clock=self._clock, metrics=self._metrics,
            may_write=may_write,
        )  # fmt: skip

    def _made_approvals(self, poster: Poster, may_write: Callable[[], bool]) -> Approvals:
        chronicle = NOTHING if self._audited is None else self._audited.chronicle
        weights = Weights(self._metrics, self._clock, Witness(self._tracer), chronicle)
        return Approvals(
            board=self._board,
            store=self._redis.store,
            grounds=Grounds(
                board=self._board, store=self._redis.store, keyrings=self._keyrings,
                pods=Pods(self._api, self._clock), policies=self._policies, clock=self._clock,
            ),
            settler=Settler(
                api=self._api, store=self._redis.store, board=self._board, poster=poster,
                weights=weights, clock=self._clock, may_write=may_write,
            ),
            weights=weights,
            clock=self._clock,
            plan=approving.plan,
            regained=self._redis.regained,
        )  # fmt: skip

    def _made_queries(self, may_write: Callable[[], bool]) -> Queries:
        reader: Answering = looking_up.Nothing()
        if self._audited is not None and self._redis.kept is not None:
            known = self._audited
            note = known.recorder.note
            reader = Reader(self._redis.kept.audit, known.auditing, note, self._clock)
        return Queries(
            api=self._api, board=self._board, reader=reader, clock=self._clock,
            may_write=may_write,
        )  # fmt: skip

    def _incomplete_s(self) -> float:
        """For how long it has led without knowing everything; 0 = it knows."""
        if self._is_complete or self._began_s is None:
            return 0.0
        return self._clock.monotonic_s() - self._began_s

    async def run(self) -> None:
        """Lead until cancelled.

        Raises:
            ClusterError: it cannot go on.
        """
        self._began_s = self._clock.monotonic_s()
        await listing.require_kinds(self._api)
        # First what other programs wait for, and what bundles are to name.
        await rounds.once("certificates", self._certifying.look, self._metrics)
        await rounds.once("secrets", self._keep_secrets, self._metrics)
        await self._keyrings.start()
        await self._look_at_keys()
        await self._redis.store.start()
        try:
            await tasks.first_of(self._watch.run(), self._ear.run(), self._work())
        finally:
            self._planner.close()
            self._policies.close()
            self._queries.close()
            if self._audited is not None:
                await self._audited.close()
            await self._redis.store.close()

    async def _work(self) -> None:
        # Before this nothing may be written, and no user of Redis may be taken for superfluous.
        await listing.complete(self._api, self._board)
        self._is_complete = True
        _LOG.info("everything is listed", extra={"namespaces": len(self._board.names())})
        await tasks.first_of(
            self._workers.run(), self._approvals.run(), self._queries.run(),
            self._redis.tend_newcomers(), *self._rounds(),
        )  # fmt: skip

    def _rounds(self) -> list[Coroutine[object, object, None]]:
        board = self._board
        again = partial(rounds.every, metrics=self._metrics)
        return [
            again(RESYNC_S, "resync", lambda: rounds.resync(self._ear, board, self._mark_both)),
            again(APPROVALS_S, "approvals", self._approvals.look_around),
            again(QUERIES_S, "queries", self._queries.look_around),
            again(REPORTS_S, "reports", self._acknowledgements.look),
            again(KEYS_S, "keys", self._look_at_keys),
            again(STAMPS_S, "stamps", self._await_stamps),
            again(CERTIFICATES_S, "certificates", self._certifying.look),
            again(SECRETS_S, "secrets", self._keep_secrets),
            again(USERS_S, "users", self._redis.tend),
            again(self._audit_s, "pods", self._auditor.look),
            *(
                []
                if self._audited is None
                else [
                    again(audited.LOOK_S, "audit", self._audited.auditing.look),
                    self._audited.recorder.run(),
                ]
            ),
        ]

    async def _look_at_keys(self) -> None:
        await self._keyrings.look()
        await self._redis.read()
        await furniture.keep_trust(self._api, self._release_namespace, self._keyrings.keys)

    async def _await_stamps(self) -> None:
        if not self._keyrings.keys.stamps:
            await self._keyrings.look()

    async def _keep_secrets(self) -> None:
        await furniture.keep_stamp_key(self._api, self._release_namespace, secrets.token_bytes)

    def _mark(self, namespace: str) -> None:
        self._workers.mark(namespace)

    def _asked(self, namespace: str) -> None:
        self._approvals.mark(namespace)

    def _inquired(self, namespace: str) -> None:
        self._queries.mark(namespace)

    def _mark_both(self, namespace: str) -> None:
        self._mark(namespace)
        self._asked(namespace)

    def _trust(self) -> None:
        """Others vouch for the exchange by now: every bundle says so."""
        known = self._certifying
        self._release = replace(
            self._release, authorities=known.authorities, accepted=known.accepted
        )
        self._mark_all()

    def _mark_all(self) -> None:
        for namespace in self._board.names():
            self._mark(namespace)

    def _settled(self, plan: Plan) -> None:
        self._acknowledgements.settled(plan)
        self._approvals.compiled(plan.namespace)
        if self._audited is not None:
            self._audited.settled(plan)
        if plan.bundle_version:
            self._redis.needs(plan.namespace)
        if self._board.known(plan.namespace).namespace is None:
            self._board.forget(plan.namespace)
            self._workers.forget(plan.namespace)
            self._approvals.forget(plan.namespace)
            self._queries.forget(plan.namespace)
            self._policies.forget(plan.namespace)


def _release(chosen: settings.Controller) -> Release:
    """What all worlds depend on."""
    given = "" if chosen.redis is None else chosen.redis.url
    return Release(
        default_level=chosen.default_level,
        redis_url=given and (chosen.sidecar_redis or given),
        collector_url=chosen.sidecar_collector,
    )


def _terms(chosen: settings.Controller) -> Terms:
    """What the certificates of this release are kept by."""
    has_redis = chosen.redis is not None and chosen.is_redis_embedded
    return Terms(
        namespace=chosen.cluster.release_namespace,
        programs=kept.WITH_REDIS if has_redis else kept.PROGRAMS,
        spread=timedelta(seconds=chosen.spread_s),
    )


def _rules(chosen: settings.Controller) -> Rules:
    """Which pods are to be guarded, and how."""
    return Rules(
        release_namespace=chosen.cluster.release_namespace,
        may_opt_out=chosen.may_opt_out,
        sidecar_image=chosen.sidecar_image,
    )
