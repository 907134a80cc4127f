"""What the leader keeps of the audit: its own records, and everybody's chains."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from mesh7_operator import settings
from mesh7_operator.anchoring.trimming import Terms
from mesh7_operator.clock import Clock
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.controller.auditing.anchoring import Auditing
from mesh7_operator.controller.auditing.anchors import Anchors
from mesh7_operator.controller.auditing.chronicle import Chronicle
from mesh7_operator.controller.auditing.recording import Begun, Recorder
from mesh7_operator.controller.informer.board import Board
from mesh7_operator.controller.posting import Poster
from mesh7_operator.controller.seams import KeySource
from mesh7_operator.metrics import ControllerMetrics
from mesh7_operator.reconciling.plan import Plan
from mesh7_operator.store.audit import Audit

LOOK_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """The parts.

    Attributes:
        since: when this term of leadership began, RFC 3339.
    """

    recorder: Recorder
    auditing: Auditing
    chronicle: Chronicle
    board: Board
    since: str

    def settled(self, plan: Plan) -> None:
        """A namespace was reconciled."""
        known = self.board.known(plan.namespace)
        if known.namespace is None:
            self.chronicle.forget(plan.namespace)
            self.auditing.forget(plan.namespace)
            return
        if plan.bundle_version:
            self.chronicle.stand(plan.namespace, known.grants, self.since)
            self.chronicle.delivered(plan)

    async def close(self) -> None:
        """Write what waits, and that nothing follows."""
        await self.recorder.close()


def made(  # noqa: PLR0913 - all that it is made of
    chosen: settings.Controller,
    audit: Audit,
    *,
    api: ApiServer,
    board: Board,
    keyrings: KeySource,
    poster: Poster,
    clock: Clock,
    metrics: ControllerMetrics,
    may_write: Callable[[], bool],
) -> Audited:
    """The parts, put together."""
    begun = Begun(audit, lambda: auditing)
    recorder = Recorder(begun, secrets.token_bytes, clock)
    anchors = Anchors(
        api,
        chosen.cluster.release_namespace,
        keyrings,
        poster,
        clock=clock,
        may_write=may_write,
    )
    auditing = Auditing(
        audit=audit,
        anchors=anchors,
        enrolled=board.enrolled,
        recorder=recorder,
        metrics=metrics,
        clock=clock,
        terms=Terms(
            retention=timedelta(seconds=chosen.audit_retention_s),
            most_bytes=chosen.audit_most_bytes,
        ),
    )
    return Audited(
        recorder=recorder,
        auditing=auditing,
        chronicle=Chronicle(recorder, clock.wall_ns),
        board=board,
        since=clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
