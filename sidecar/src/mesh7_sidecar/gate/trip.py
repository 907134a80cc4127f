"""One call's trip to the ledger, by callbacks alone: only people's answers need a task."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mesh7_core.ledger.protocol import Ledger, Observation, Observed, Seen
from mesh7_core.policy import calls, judge
from mesh7_core.policy.decision import Decision, Verdict
from mesh7_core.policy.reasons import Reason
from mesh7_core.policy.rules import Action, RuleId
from mesh7_sidecar.gate import asking, observing
from mesh7_sidecar.gate.dry import DryRun
from mesh7_sidecar.gate.holding import Holds
from mesh7_sidecar.gate.observing import Observing
from mesh7_sidecar.gate.shares import Shares
from mesh7_sidecar.gate.waiting import Wait, Waiter

log = logging.getLogger("mesh7.gate")

FAILED: Final = Decision(Verdict.DENY, Reason.MALFORMED)
"""What is decided when a defect of ours keeps a call from being judged."""
AUDIT: Final = "audit/"
"""Before the keys of limits that would count, were audit enforced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Road:
    """What every trip goes by; one for a gate.

    Attributes:
        hold_s: how long a caller waits for people, if no rule says less.
        now_s: never goes back.
    """

    ledger: Ledger
    holds: Holds
    words: Observing
    shares: Shares
    dry: DryRun
    now_s: Callable[[], float]
    hold_s: float


class Trip:
    """One call on its way to its answer. A plain slotted class: most calls make one.

    Args:
        waiter: of a call that waited for people and is judged from the start; else None.
    """

    __slots__ = ("_answer", "_call", "_is_over", "_needs", "_road", "_trace", "_waiter", "_waits")

    def __init__(  # noqa: PLR0913 - one field each; made on every call
        self,
        road: Road,
        call: calls.Call,
        needs: judge.Needs,
        answer: Callable[[Decision], None],
        waits: Callable[[Wait], None],
        trace_id: str = "",
        waiter: Waiter | None = None,
    ) -> None:
        self._road = road
        self._call = call
        self._needs = needs
        self._answer = answer
        self._waits = waits
        self._trace = trace_id
        self._waiter = waiter
        self._is_over = False

    def start(self) -> None:
        """Go; `answer` is called once, unless the caller leaves before."""
        try:
            needs, road = self._needs, self._road
            if needs.asked:
                self._ask(())
            else:
                road.ledger.observe(
                    road.words.plain(needs, self._call, road.now_s()), self._observed
                )
        except Exception:
            if self._is_over:
                # The door's own defect: it has had its answer.
                raise
            log.exception("judging failed; the call is denied")
            self._tell(FAILED)

    def _observed(self, observed: Observed) -> None:
        try:
            decided = self._decided(observed)
        except Exception:
            # The gate's edge (style: errors): a defect of ours must deny, and must be seen.
            log.exception("judging failed; the call is denied")
            decided = FAILED
        if decided is not None:
            self._tell(decided)

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
            return judge.with_would(decided, judge.decide(would, facts))
        road = self._road
        windows = road.words.windows(extra, self._call, road.now_s(), AUDIT)

        def counted(observed: Observed) -> None:
            found = facts
            if observed.seen is Seen.SPENT:
                found = judge.Facts(
                    ledger=judge.Ledger.SPENT,
                    limit=extra[observed.index].id,
                    retry_after_s=observing.seconds(observed.retry_after_ms),
                )
            self._tell(judge.with_would(decided, judge.decide(would, found)))

        road.ledger.observe(Observation(windows), counted)
        return None

    def _ask(self, full: tuple[RuleId, ...]) -> None:
        """People are asked; the answer comes through the waiter from now on."""
        road, waiter = self._road, self._waiter
        if waiter is None:
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
        return Waiter(self._call, self._tell, hold_s, self._trace)

    def _tell(self, decided: Decision) -> None:
        if not self._is_over:
            self._is_over = True
            self._answer(decided)
