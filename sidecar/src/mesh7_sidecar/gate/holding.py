"""All calls that wait for people: one hold per exact call, the results that repeats get.

A caller comes in by `enter`. It gets the kept result of the same call, goes on with a call that
came back with `input_required`, or joins whoever waits for the same exact call.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from functools import partial
from typing import Final

from mesh7_core.ledger.protocol import Changed, Ledger, Observation, Observed
from mesh7_core.policy import calls, judge
from mesh7_core.policy.decision import Decision, Verdict
from mesh7_core.policy.reasons import Reason
from mesh7_core.policy.rules import RuleId
from mesh7_core.policy.view import AgentView
from mesh7_sidecar.gate import edge, exact, kept
from mesh7_sidecar.gate.hold import Hold
from mesh7_sidecar.gate.journal import Journal
from mesh7_sidecar.gate.observing import Observing
from mesh7_sidecar.gate.results import Result, Results
from mesh7_sidecar.gate.rounds import Rounds
from mesh7_sidecar.gate.terms import HoldTerms
from mesh7_sidecar.gate.waiting import MOST_STARTS, Waiter
from mesh7_sidecar.gate.ways import Run

log = logging.getLogger("mesh7.gate")

RELIST_S: Final = 10.0
"""A source that takes longer to list its tools counts as not there."""
END_S: Final = 5.0
"""How long `close` waits for what holds have begun."""
MOST_HELD_BYTES: Final = 256 * 1024 * 1024
"""What all calls that wait may take together, by `exact.weight`."""
MOST_REPLAYS: Final = 1024
"""Replays that doors have not recorded yet."""
MOST_RUNS: Final = 4096
"""Approved calls that doors have not recorded yet."""

Judged = tuple[AgentView, judge.Needs]
DefinitionOf = Callable[[calls.Call], Awaitable[str | None]]


class Holds:
    """Calls that wait for people, and approved calls until they are recorded.

    Args:
        ledger: where requests are kept.
        journal: of claims.
        observing: puts needs into the ledger's words.
        terms: how long calls wait.
        judged: judges a call by the bundle of the moment; None before the first.
        afresh: judges a waiter's call from the start, when it asks no more.
        definition_of: lists a tool again.
        now: the time that policies see.
        now_s: never goes back.
        failed: what everybody is told when a defect of ours ends the waiting.
    """

    def __init__(  # noqa: PLR0913 - what waiting hangs on
        self,
        ledger: Ledger,
        journal: Journal,
        observing: Observing,
        terms: HoldTerms,
        *,
        judged: Callable[[calls.Call], Judged | None],
        afresh: Callable[[Waiter], None],
        definition_of: DefinitionOf,
        now: Callable[[], datetime],
        now_s: Callable[[], float],
        failed: Decision,
    ) -> None:
        self.ledger = ledger
        self.journal = journal
        self.observing = observing
        self.terms = terms
        self.now = now
        self.now_s = now_s
        self.failed = failed
        self._judged = judged
        self._afresh = afresh
        self._definition_of = definition_of
        self._holds: dict[str, Hold] = {}
        self._runs: dict[str, Run] = {}
        self._results = Results()
        self._rounds = Rounds()
        self._replays: dict[int, tuple[Decision, kept.Kept]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._unsubscribe: Callable[[], None] | None = None
        self._is_closed = False
        self._held_bytes = 0
        self._spelling = asyncio.Lock()

    def enter(self, waiter: Waiter, full: tuple[RuleId, ...] = ()) -> None:
        """Take a caller in.

        Args:
            waiter: who asks.
            full: ids of the loops that have no place for its call.

        Raises:
            ValueError: the call has no exact form.
        """
        if waiter.what is exact.UNSPELLED:
            if not self._has_room(waiter):
                self._refuse_large(waiter, full)
                return
            if len(waiter.call.body) > exact.MOST_AT_ONCE_BYTES:
                self._keep(self._spell(waiter, full))
                return
            waiter.what = exact.forwarded(waiter.call)
        asked = self._asked(waiter.call, full)
        if asked is None:
            self._afresh(waiter)
            return
        view, needs = asked
        waiter.starts += 1
        if self._is_closed or waiter.starts > MOST_STARTS:
            waiter.answer(judge.decide(needs, judge.NO_LEDGER))
            return
        rules = exact.asked_rules(view, needs.asked)
        digest = waiter.passage.digest = self._digest(waiter, waiter.what.mark, rules)
        result = self._results.find(digest, self.now_s())
        if result is not None:
            waiter.answer(self._replayed(needs, result))
        elif not self._is_next_round(waiter, needs, digest, rules):
            self._join(waiter, needs, digest, full)

    def waiting(self, request_id: str) -> int:
        """How many callers wait for one request."""
        return sum(hold.waiting for hold in self._holds.values() if hold.is_for(request_id))

    @property
    def callers(self) -> int:
        """How many callers wait."""
        return sum(hold.waiting for hold in self._holds.values())

    def keep(self, decision: Decision, result: kept.Kept) -> None:
        """Keep what came of an approved call for those who repeat it."""
        run = self._runs.get(decision.request_id)
        if run is not None:
            self._results.keep(run.digest, decision.request_id, result, self.now_s())

    def replay(self, decision: Decision) -> kept.Kept:
        """The result that a decision stands for, until it is recorded."""
        return self._replays[id(decision)][1]

    def continues(self, decision: Decision, request_state: str) -> None:
        """The source asked back: the retry with that state is the same approved call."""
        run = self._runs.get(decision.request_id)
        if run is not None:
            self._rounds.open(run.base, request_state, decision.request_id, self.now_s())

    def recorded(self, decision: Decision, outcome: str) -> None:
        """A call that people decided about is over."""
        self._replays.pop(id(decision), None)
        if decision.reason is not Reason.APPROVED:
            return
        run = self._runs.pop(decision.request_id, None)
        if not self._rounds.is_open(decision.request_id):
            self.end(decision.request_id, outcome)
        if run is not None:
            run.over.set()

    def stop(self) -> None:
        """Answer everybody that waits, and whoever still comes, that the request is pending."""
        self._is_closed = True
        for hold in tuple(self._holds.values()):
            hold.close()

    async def close(self) -> None:
        """Stop, and finish what is begun; when no call runs any more."""
        self.stop()
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=END_S)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # What a hold needs: see `ways.Ways`.

    async def observe(self, observation: Observation) -> Observed:
        """Ask the ledger, and wait for its answer."""
        answered: asyncio.Future[Observed] = asyncio.get_running_loop().create_future()
        self.ledger.observe(observation, partial(_tell, answered))
        return await answered

    async def relist(self, call: calls.Call) -> str | None:
        """Digest of the tool's definition as it is now; None when the tool cannot be listed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RELIST_S):
                return await self._definition_of(call)
        return None

    def needs_again(
        self, waiter: Waiter, full: tuple[RuleId, ...], digest: str
    ) -> judge.Needs | None:
        """The needs by the bundle of this moment; None when they are not for `digest` any more."""
        asked = self._asked(waiter.call, full)
        if asked is None:
            return None
        view, needs = asked
        rules = exact.asked_rules(view, needs.asked)
        fresh = self._digest(waiter, waiter.what.mark, rules)
        return needs if fresh == digest else None

    def again(self, waiter: Waiter, full: tuple[RuleId, ...]) -> None:
        """Judge the waiter's call from the start; the loops `full` have no place for it."""
        if full:
            self.enter(waiter, full)
        else:
            self._afresh(waiter)

    def begin(self, request_id: str, digest: str, lead: Waiter, needs: judge.Needs) -> Run:
        """An approved call starts."""
        asked = self._judged(lead.call)
        rules = exact.asked_rules(asked[0], needs.asked) if asked is not None else ()
        base = self._digest(lead, lead.what.base, rules)
        return self._running(request_id, Run(digest, base))

    def end(self, request_id: str, outcome: str) -> None:
        """Note what became of an approved call, in both books."""
        self._keep(self._note(request_id, outcome))

    def repeat(self, waiter: Waiter, needs: judge.Needs, digest: str, request_id: str) -> None:
        """Give a waiter the result of a run that is over."""
        result = self._results.find(digest, self.now_s())
        if result is not None and result.request_id == request_id:
            waiter.answer(self._replayed(needs, result))
            return
        facts = judge.Facts(ledger=judge.Ledger.UNKNOWN_OUTCOME, request_id=request_id)
        waiter.answer(judge.decide(needs, facts))

    def _digest(self, waiter: Waiter, mark: str, rules: tuple[str, ...]) -> str:
        return exact.digest(waiter.call, mark, waiter.definition, rules, self.terms.salt)

    def _has_room(self, waiter: Waiter) -> bool:
        """Keep what a waiter takes in the account until it is over."""
        size_bytes = exact.weight(waiter.call)
        if self._held_bytes + size_bytes > MOST_HELD_BYTES:
            return False
        self._held_bytes += size_bytes
        waiter.freed = partial(self._free, size_bytes)
        return True

    def _free(self, size_bytes: int) -> None:
        self._held_bytes -= size_bytes

    def _refuse_large(self, waiter: Waiter, full: tuple[RuleId, ...]) -> None:
        asked = self._asked(waiter.call, full)
        if asked is None:
            self._afresh(waiter)
        else:
            waiter.answer(judge.decide(asked[1], judge.Facts(ledger=judge.Ledger.FULL)))

    def _asked(self, call: calls.Call, full: tuple[RuleId, ...]) -> Judged | None:
        """What the call asks people for by the bundle of this moment; None when nothing."""
        judged = self._judged(call)
        if judged is None:
            return None
        view, needs = judged
        for identity in full:
            loop = next((one for one in needs.loops if one.id == identity), None)
            if loop is None:
                return None
            needs = judge.looped(needs, loop)
        return (view, needs) if needs.asked else None

    def _is_next_round(
        self, waiter: Waiter, needs: judge.Needs, digest: str, rules: tuple[str, ...]
    ) -> bool:
        """Whether the call is the retry of an approved one that the source asked back about."""
        state = waiter.what.request_state
        if not state:
            return False
        base = self._digest(waiter, waiter.what.base, rules)
        found = self._rounds.take(base, state, self.now_s())
        if found is None:
            return False
        self._running(found.request_id, Run(digest, base))
        facts = judge.Facts(ledger=judge.Ledger.APPROVED, request_id=found.request_id)
        waiter.answer(judge.decide(needs, facts))
        return True

    def _running(self, request_id: str, run: Run) -> Run:
        while len(self._runs) >= MOST_RUNS:
            del self._runs[next(iter(self._runs))]
        self._runs[request_id] = run
        return run

    def _join(
        self, waiter: Waiter, needs: judge.Needs, digest: str, full: tuple[RuleId, ...]
    ) -> None:
        hold = self._holds.get(digest)
        if hold is None:
            if self._unsubscribe is None:
                self._unsubscribe = self.ledger.subscribe(self._told)
            hold = self._holds[digest] = Hold(self, digest, full, needs)
            self._keep(self._attend(hold))
        hold.join(waiter)

    async def _spell(self, waiter: Waiter, full: tuple[RuleId, ...]) -> None:
        if not await edge.attended(self._enter_spelled(waiter, full)):
            waiter.answer(self.failed)

    async def _enter_spelled(self, waiter: Waiter, full: tuple[RuleId, ...]) -> None:
        waiter.stir = partial(self._give_up, waiter, full)
        # One at a time: several would keep the loop from its turns.
        async with self._spelling:
            if waiter.is_over:
                return
            waiter.what = await asyncio.to_thread(exact.forwarded, waiter.call)
        if not waiter.is_over:
            self.enter(waiter, full)

    def _give_up(self, waiter: Waiter, full: tuple[RuleId, ...]) -> None:
        """Its call could not be spelled in time."""
        asked = self._asked(waiter.call, full) if waiter.is_late else None
        if asked is not None:
            waiter.answer(judge.decide(asked[1], judge.NO_LEDGER))

    async def _attend(self, hold: Hold) -> None:
        try:
            await hold.attend()
        finally:
            # Nothing was awaited since nobody waited: whoever comes now begins another hold.
            del self._holds[hold.digest]

    def _told(self, changed: Changed) -> None:
        for hold in tuple(self._holds.values()):
            if not changed.request_id or hold.is_for(changed.request_id):
                hold.change()

    def _replayed(self, needs: judge.Needs, result: Result) -> Decision:
        decision = Decision(
            Verdict.ALLOW,
            Reason.REPLAYED,
            needs.decision.rules,
            needs.decision.text,
            request_id=result.request_id,
            would=needs.decision.would,
        )
        while len(self._replays) >= MOST_REPLAYS:
            del self._replays[next(iter(self._replays))]
        self._replays[id(decision)] = (decision, result.result)
        return decision

    async def _note(self, request_id: str, outcome: str) -> None:
        await self.journal.note(request_id, outcome)
        await self.ledger.finish(request_id, outcome)

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a task of the gate failed", exc_info=task.exception())


def _tell(answered: "asyncio.Future[Observed]", observed: Observed) -> None:
    if not answered.done():
        answered.set_result(observed)
