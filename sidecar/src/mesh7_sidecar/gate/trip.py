"""One call's trip to the ledger, by callbacks alone: only people's answers need a task."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from mesh7_core.ledger.protocol import Ledger, Observation, Observed, Seen
from mesh7_core.policy import calls, judge
from mesh7_core.policy.decision import Decision, Verdict
from mesh7_core.policy.reasons import Reason
from mesh7_core.policy.rules import Action, Limit, RuleId
from mesh7_core.telemetry.passage import Passage
from mesh7_sidecar.gate import asking, edge, observing
from mesh7_sidecar.gate.dry import DryRun
from mesh7_sidecar.gate.holding import Holds
from mesh7_sidecar.gate.observing import Observing
from mesh7_sidecar.gate.shares import Shares
from mesh7_sidecar.gate.waiting import Wait, Waiter, always

FAILED: Final = Decision(Verdict.DENY, Reason.MALFORMED)
"""What is decided when a defect of ours keeps a call from being judged."""
AUDIT: Final = "audit/"
"""Before the keys of limits that would count, were audit enforced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Road:
    """What every trip goes by; one for a gate.

    Attributes:
        hold_s: how long a caller waits for people, if no rule says less.
        now_s, now_ns: never go back.
        on_trip: told how long the ledger took, and what it answered.
    """

    ledger: Ledger
    holds: Holds
    words: Observing
    shares: Shares
    dry: DryRun
    now_s: Callable[[], float]
    now_ns: Callable[[], int]
    hold_s: float
    on_trip: Callable[[int, Observed], None]


class Trip:
    """One call on its way to its answer. A plain slotted class: most calls make one.

    Args:
        waiter: of a call that waited for people and is judged from the start; else None.
    """

    __slots__ = (
        "_answer", "_asked_ns", "_call", "_decision", "_is_going", "_is_over", "_is_served",
        "_needs", "_passage", "_road", "_waiter", "_waits",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - one field each; made on every call
        self,
        road: Road,
        call: calls.Call,
        needs: judge.Needs,
        passage: Passage,
        answer: Callable[[Decision], None],
        waits: Callable[[Wait], None],
        is_served: Callable[[], bool] = always,
        waiter: Waiter | None = None,
    ) -> None:
        self._road = road
        self._call = call
        self._needs = needs
        self._answer = answer
        self._waits = waits
        self._passage = passage
        self._is_served = is_served
        self._waiter = waiter
        self._asked_ns = 0
        self._decision: Decision | None = None
        self._is_going = True
        self._is_over = False

    def start(self) -> None:
        """Go; `answer` is called once, unless the caller leaves before."""
        is_gone = edge.guarded(self._go, otherwise=False)
        # Only now, outside of the guard: a door's own defect is its own.
        self._is_going = False
        if not is_gone:
            self._tell(FAILED)
        elif self._decision is not None:
            self._tell(self._decision)

    def _go(self) -> bool:
        needs, road = self._needs, self._road
        if needs.asked:
            self._ask(())
        else:
            self._asked_ns = road.now_ns()
            road.ledger.observe(road.words.plain(needs, self._call, road.now_s()), self._observed)
        return True

    def _observed(self, observed: Observed) -> None:
        road = self._road
        road.on_trip(road.now_ns() - self._asked_ns, observed)
        self._settle(partial(self._decided, observed))

    def _settle(self, work: Callable[[], Decision | None]) -> None:
        """Tell what `work` decides; None = it comes later."""
        decided: Decision | None
        if self._is_going:
            decided = work()
            self._decision = decided or self._decision
        else:
            # The ledger called back later: nobody else guards that, and what a door raises would
            # end the connection that everybody's answers come by.
            decided = edge.guarded(work, FAILED)
            if decided is not None:
                edge.guarded(partial(self._tell, decided), None)

    def _decided(self, observed: Observed) -> Decision | None:
        """The decision, or None when it comes later."""
        needs = self._needs
        if observed.seen is Seen.ADMITTED and not observed.unknown:
            return self._audited(needs.decision, judge.ADMITTED)
        if observed.seen is Seen.REPEATED:
            loop = needs.loops[observed.index]
            if loop.action is Action.REQUIRE_APPROVAL:
                self._ask((loop.id,))
                return None
        if observed.seen is Seen.LOST or observed.seen is Seen.ADMITTED:
            facts = self._road.shares.facts(needs, observed, self._call)
        else:
            facts = observing.facts(needs, observed)
        return self._audited(judge.decide(needs, facts), facts)

    def _audited(self, decided: Decision, facts: judge.Facts) -> Decision | None:
        """With what audit would have decided, whose limits are counted beside the others."""
        needs = self._needs
        would = needs.would
        if would is None:
            return decided
        known = {limit.id for limit in needs.limits}
        extra = tuple(limit for limit in would.limits if limit.id not in known)
        if not extra or decided.verdict is not Verdict.ALLOW:
            return _beside(decided, would, facts)
        road = self._road
        windows = road.words.windows(extra, self._call, road.now_s(), AUDIT)

        def counted(observed: Observed) -> None:
            self._settle(partial(_beside, decided, would, _would_be(extra, observed) or facts))

        road.ledger.observe(Observation(windows), counted)
        return None

    def _ask(self, full: tuple[RuleId, ...]) -> None:
        """People are asked; the answer comes through the waiter from now on."""
        road, waiter = self._road, self._waiter
        if waiter is None:
            self._passage.wait_ns = road.now_ns()
            waiter = self._fresh_waiter(full)
            self._waits(waiter.wait)
        if not waiter.is_over:
            road.holds.enter(waiter, full)

    def _fresh_waiter(self, full: tuple[RuleId, ...]) -> Waiter:
        needs, road = self._needs, self._road
        for identity in full:
            loop = next(one for one in needs.loops if one.id == identity)
            needs = judge.looped(needs, loop)
        hold_s = asking.hold_of(needs.asked, road.hold_s)
        return Waiter(self._call, self._passage, self._tell, hold_s, self._is_served)

    def _tell(self, decided: Decision) -> None:
        if self._is_going:
            self._decision = decided
        elif not self._is_over:
            self._is_over = True
            self._answer(decided)


def _beside(decided: Decision, would: judge.Needs, facts: judge.Facts) -> Decision:
    return judge.with_would(decided, judge.decide(would, facts))


def _would_be(extra: Sequence[Limit], observed: Observed) -> judge.Facts | None:
    """The refusal by a limit that would count; None when it has a place."""
    if observed.seen is not Seen.SPENT:
        return None
    return judge.Facts(
        ledger=judge.Ledger.SPENT,
        limit=extra[observed.index].id,
        retry_after_s=observing.seconds(observed.retry_after_ms),
    )
