"""The shell around the judge: every door brings its calls here, and nothing is judged elsewhere.

`judge` answers through a callback, so that a ledger trip makes no task and no second path;
`record` is told what became of the call.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from mesh7_core.ledger.protocol import Ledger, Observed
from mesh7_core.policy import calls, judge
from mesh7_core.policy.decision import NO_BUNDLE, UNKNOWN_TOOL, Decision, Verdict
from mesh7_core.policy.reasons import Reason
from mesh7_core.telemetry import records
from mesh7_core.telemetry.passage import Passage
from mesh7_sidecar.bundles.current import Current
from mesh7_sidecar.clock import Clock
from mesh7_sidecar.gate import edge, kept
from mesh7_sidecar.gate.dry import DryRun
from mesh7_sidecar.gate.holding import DefinitionOf, Holds, Judged
from mesh7_sidecar.gate.journal import Journal
from mesh7_sidecar.gate.observing import Observing
from mesh7_sidecar.gate.sessions import Sessions
from mesh7_sidecar.gate.shares import Shares
from mesh7_sidecar.gate.terms import HoldTerms
from mesh7_sidecar.gate.trip import FAILED, Road, Trip
from mesh7_sidecar.gate.waiting import Wait, Waiter, always, unseen
from mesh7_sidecar.seeing.tracing import Traces

log = logging.getLogger("mesh7.gate")

Consumer = Callable[[records.Record], None]
"""Takes every finished record: audit, metrics, spans."""

_TOLD_PLAINLY = frozenset({Reason.NO_BUNDLE, Reason.SOURCE_UNAVAILABLE})


def _untold(_took_ns: int, _observed: Observed) -> None:
    """Where nobody counts."""


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
        consumers: each takes every finished record; they never block, and are not to raise.
        traces: says which calls are traced.
        ledger: the shared memory.
        journal: of claims.
        definition_of: lists a tool again and answers the digest of its definition, None when it
            cannot be listed.
        terms: how calls are held and counted.
        on_trip: told how long the ledger took for a call, and what it answered.
    """

    def __init__(  # noqa: PLR0913 - what the composition root puts together
        self,
        current: Current,
        *,
        clock: Clock,
        consumers: tuple[Consumer, ...],
        traces: Traces,
        ledger: Ledger,
        journal: Journal,
        definition_of: DefinitionOf,
        terms: HoldTerms,
        on_trip: Callable[[int, Observed], None] = _untold,
    ) -> None:
        self.current = current
        self.counts = Counts()
        self.monotonic_ns = clock.monotonic_ns
        self._clock = clock
        self._millisecond = -1
        self._moment = clock.now()
        self.traces = traces
        self._consumers = consumers
        self._on_trip = on_trip
        self._road = self._built(ledger, journal, definition_of, terms)

    def judge(
        self,
        call: calls.Call,
        passage: Passage,
        answer: Callable[[Decision], None],
        waits: Callable[[Wait], None] = unseen,
        is_served: Callable[[], bool] = always,
    ) -> None:
        """Decide about `call` and tell `answer`, once, now or later; an error in judging denies.

        Args:
            call: the attempt; `body` must be what is forwarded when `is_exact` says so.
            passage: of the call; people find its trace on the request.
            answer: is not called for a caller that has left.
            waits: told at most once, before `answer`, when people may have to be asked; the
                request id follows when the request is open.
            is_served: whether the source that the call would go to is still in force; a call that
                waits is not run, and no approval used for it, once that says no.
        """
        try:
            judged = self._judged(call)
        except Exception:
            # The gate's edge (style: errors): a defect of ours must deny, and must be seen.
            log.exception("judging failed; the call is denied")
            answer(FAILED)
            return
        if judged is None:
            answer(NO_BUNDLE)
            return
        view, needs = judged
        passage.recording = view.recording
        would = needs.would
        if not (needs.hangs_on_ledger or (would is not None and _is_counted(needs, would))):
            answer(needs.decision)
        else:
            Trip(self._road, call, needs, passage, answer, waits, is_served).start()

    def is_exact(self, call: calls.Call) -> bool:
        """Whether the decision hangs on the exact call, so that its body has to be there first."""
        # When this fails `judge` fails alike, and denies.
        judged = edge.guarded(lambda: self._judged(call), None)
        return judged is not None and judge.is_exact(judged[1])

    async def dry_run(self, call: calls.Call) -> Decision:
        """What `judge` would come to: reserves nothing, opens nothing, claims nothing."""
        try:
            return await self._road.dry.decide(call)
        except Exception:
            # The gate's edge: a defect of ours must deny, and must be seen.
            log.exception("judging failed; the call is denied")
            return FAILED

    def keep(self, decision: Decision, result: kept.Kept) -> None:
        """Keep what came of an approved call for those who repeat it; before `record`."""
        self._road.holds.keep(decision, result)

    def replay(self, decision: Decision) -> kept.Kept:
        """The result that a decision with `Reason.REPLAYED` stands for; until it is recorded."""
        return self._road.holds.replay(decision)

    def continues(self, decision: Decision, request_state: str) -> None:
        """An approved call came back with `input_required`: its retry needs no new approval.

        To be said before `record`. Other calls' answers change nothing.
        """
        self._road.holds.continues(decision, request_state)

    def waiting(self, request_id: str) -> int:
        """How many callers wait for one request."""
        return self._road.holds.waiting(request_id)

    @property
    def callers(self) -> int:
        """How many callers wait for people."""
        return self._road.holds.callers

    def stop_holding(self) -> None:
        """Answer whoever waits that the request is pending, at once; calls that run go on."""
        self._road.holds.stop()

    async def close(self) -> None:
        """Stop holding, and write down what became of approved calls; when none runs any more."""
        await self._road.holds.close()

    def decide(self, call: calls.Call) -> Decision:
        """The decision without asking a ledger; for what is asked about and not done."""
        return edge.guarded(lambda: self._decided(call), FAILED)

    def _built(
        self,
        ledger: Ledger,
        journal: Journal,
        definition_of: DefinitionOf,
        terms: HoldTerms,
    ) -> Road:
        now_s = self._clock.monotonic_s
        words = Observing(terms.key, Sessions())
        holds = Holds(
            ledger,
            journal,
            words,
            terms,
            judged=self._judged,
            afresh=self._judge_afresh,
            definition_of=definition_of,
            now=self._now,
            now_s=now_s,
            failed=FAILED,
        )
        return Road(
            ledger=ledger,
            holds=holds,
            words=words,
            shares=Shares(words, terms.replicas, now_s),
            dry=DryRun(self._judged, holds.observe, words, self._now, now_s, terms.salt),
            now_s=now_s,
            now_ns=self.monotonic_ns,
            hold_s=terms.hold_s,
            on_trip=self._on_trip,
        )

    def _decided(self, call: calls.Call) -> Decision:
        judged = self._judged(call)
        return NO_BUNDLE if judged is None else judge.decide(judged[1], judge.NO_LEDGER)

    def _judged(self, call: calls.Call) -> Judged | None:
        view = self.current.view(call.agent)
        return None if view is None else (view, judge.needs(view, call, self._now()))

    def _judge_afresh(self, waiter: Waiter) -> None:
        """Judge a call that waited for people, now that it asks nobody or somebody else."""
        judged = self._judged(waiter.call)
        if judged is None:
            waiter.answer(NO_BUNDLE)
        elif not judged[1].hangs_on_ledger:
            waiter.answer(judge.decide(judged[1], judge.NO_LEDGER))
        else:
            Trip(
                self._road, waiter.call, judged[1], waiter.passage, waiter.answer, unseen,
                waiter=waiter,
            ).start()  # fmt: skip

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

    def not_served(self, otherwise: Decision) -> Decision:
        """What a call comes to of which no source is served; before the first bundle none is."""
        return NO_BUNDLE if self.current.bundle is None else otherwise

    def count_refused(self, _: Reason) -> None:
        """A request was refused before it was a call: by Host, origin, token or path."""
        self.counts.refused += 1

    def record(
        self,
        call: calls.Call,
        decision: Decision,
        outcome: records.Outcome,
        passage: Passage,
        detail: str = "",
        status: int = 0,
    ) -> None:
        """Count the call and write its one record."""
        if decision.request_id and outcome is not records.Outcome.DRY_RUN:
            self._road.holds.recorded(decision, outcome.value)
        verdict = decision.verdict
        if verdict is Verdict.ALLOW:
            self.counts.allowed += 1
        elif verdict is Verdict.DENY:
            self.counts.denied += 1
        else:
            self.counts.held += 1
        if not self._consumers:
            return
        now_ns = self.monotonic_ns()
        if passage.wait_ns and not passage.judged_ns:
            # Its caller left, or the wait failed: it is over all the same.
            passage.judged_ns = now_ns
        record = records.Record(
            call,
            decision,
            outcome,
            passage,
            ended_ns=self._clock.wall_ns(),
            duration_ns=now_ns - passage.started_ns,
            bundle=self.current.digest,
            detail=detail,
            status=status,
        )
        for consume in self._consumers:
            try:
                consume(record)
            except Exception:
                # The gate's edge: what is told of a call never fails it, nor keeps others from it.
                log.exception("a record was not taken")


def _is_counted(needs: judge.Needs, would: judge.Needs) -> bool:
    """Whether limits would count, were audit enforced."""
    return bool(would.limits) and needs.verdict is Verdict.ALLOW
