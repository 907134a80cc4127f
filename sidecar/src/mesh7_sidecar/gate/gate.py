"""The shell around the judge: every door brings its calls here, and nothing is judged elsewhere.

`judge` answers through a callback, so that a ledger trip makes no task and no second path;
`record` is told what became of the call.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from mesh7_core.policy import calls, judge
from mesh7_core.policy.decision import NO_BUNDLE, UNKNOWN_TOOL, Decision, Verdict
from mesh7_core.policy.reasons import Reason
from mesh7_core.telemetry import records
from mesh7_sidecar.bundles.current import Current
from mesh7_sidecar.clock import Clock
from mesh7_sidecar.gate import kept
from mesh7_sidecar.gate.waiting import Wait, unseen
from mesh7_sidecar.settings import AuditShare

log = logging.getLogger("mesh7.gate")

_TOLD_PLAINLY = frozenset({Reason.NO_BUNDLE, Reason.SOURCE_UNAVAILABLE})
MALFORMED_FOR_JUDGE = Decision(Verdict.DENY, Reason.MALFORMED)


class Counts:
    """How many calls ended with which verdict since the start; `mesh7 status` shows them."""

    __slots__ = ("allowed", "denied", "held", "refused")

    def __init__(self) -> None:
        self.allowed = self.denied = self.held = self.refused = 0


class Gate:
    """Judges calls by the bundle in force and records what became of them.

    Args:
        current: the bundle in force.
        clock: the time that policies see, and that durations are taken by.
        append: takes a finished record; None when no audit is kept.
        audit: which records `append` gets.
    """

    def __init__(
        self,
        current: Current,
        *,
        clock: Clock,
        append: Callable[[records.Record], None] | None,
        audit: AuditShare,
    ) -> None:
        self.current = current
        self.counts = Counts()
        self.monotonic_ns = clock.monotonic_ns
        self._clock = clock
        self._millisecond = -1
        self._moment = clock.now()
        self._append = append if audit is not AuditShare.OFF else None
        self._denied_only = audit is AuditShare.DENIED

    def judge(
        self,
        call: calls.Call,
        answer: Callable[[Decision], None],
        waits: Callable[[Wait], None] = unseen,
    ) -> None:
        """Decide about `call` and tell `answer`, once, now or later; an error in judging denies.

        Args:
            call: the attempt; `body` must be what is forwarded when `is_exact` says so.
            answer: is not called for a caller that has left.
            waits: told at most once, before `answer`, when people may have to be asked; the
                request id follows when the request is open.
        """
        del waits
        answer(self.decide(call))

    def is_exact(self, call: calls.Call) -> bool:
        """Whether the decision hangs on the exact call, so that its body has to be there first."""
        del call
        return False

    async def dry_run(self, call: calls.Call) -> Decision:
        """What `judge` would come to: reserves nothing, opens nothing, claims nothing."""
        return self.decide(call)

    def keep(self, decision: Decision, result: kept.Kept) -> None:
        """Keep what came of an approved call for those who repeat it; before `record`."""

    def replay(self, decision: Decision) -> kept.Kept:
        """The result that a decision with `Reason.REPLAYED` stands for; until it is recorded."""
        raise LookupError(decision.request_id)

    def continues(self, decision: Decision, call: calls.Call, request_state: str) -> None:
        """An approved call came back with `input_required`: its retry needs no new approval."""

    async def close(self) -> None:
        """Answer whoever waits that the request is pending, at once; finish what is begun."""

    def decide(self, call: calls.Call) -> Decision:
        """The decision, without a ledger: reserves nothing, opens nothing."""
        try:
            view = self.current.view(call.agent)
            if view is None:
                return NO_BUNDLE
            needs = judge.needs(view, call, self._now())
            return judge.decide(needs, judge.NO_LEDGER)
        except Exception:
            # The gate's edge (style: errors): a defect of ours must deny, and must be seen.
            log.exception("judging failed; the call is denied")
            return MALFORMED_FOR_JUDGE

    def _now(self) -> datetime:
        """The time that policies see, to the millisecond; calls within one share the value."""
        millisecond = self._clock.wall_ns() // 1_000_000
        if millisecond != self._millisecond:
            self._millisecond = millisecond
            self._moment = datetime.fromtimestamp(millisecond / 1000, UTC)
        return self._moment

    def told(self, call: calls.Call, decision: Decision) -> Decision:
        """What an agent is told of a refusal: what no list shows must look like what is not there.

        A source that cannot be read hides nothing: all its names are told alike.
        """
        if decision.verdict is not Verdict.DENY or decision.reason in _TOLD_PLAINLY:
            return decision
        if self.may_call(call.agent, call.family, call.source, call.name):
            return decision
        return UNKNOWN_TOOL

    def may_call(self, agent: calls.Agent, family: calls.Family, source: str, name: str) -> bool:
        """Whether some call to this name could pass; lists show nothing else."""
        view = self.current.view(agent)
        return view is not None and judge.may_call(view, family, source, name)

    def count_refused(self, _: Reason) -> None:
        """A request was refused before it was a call: by Host, origin, token or path."""
        self.counts.refused += 1

    def record(  # noqa: PLR0913 - one field each of the record
        self,
        call: calls.Call,
        decision: Decision,
        outcome: records.Outcome,
        door: str,
        started_ns: int,
        trace_id: str = "",
        detail: str = "",
        status: int = 0,
    ) -> None:
        """Count the call and write its one record."""
        verdict = decision.verdict
        if verdict is Verdict.ALLOW:
            self.counts.allowed += 1
            if self._denied_only:
                return
        elif verdict is Verdict.DENY:
            self.counts.denied += 1
        else:
            self.counts.held += 1
        if self._append is None:
            return
        self._append(
            records.Record(
                call,
                decision,
                outcome,
                ended_ns=self._clock.wall_ns(),
                duration_ns=self.monotonic_ns() - started_ns,
                door=door,
                bundle=self.current.digest,
                trace_id=trace_id,
                detail=detail,
                status=status,
            )
        )
