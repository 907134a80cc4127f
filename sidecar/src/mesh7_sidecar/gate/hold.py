"""One exact call that people are asked about, with all who wait for it: one coroutine per digest.

It takes turns as long as somebody waits. A turn judges the call again by the bundle of that
moment, observes the ledger (which keeps the call's places reserved), and does what that says:

    admitted   list the tool again, open a request
    pending    wait for a change, one second at most
    approved   list and judge again, claim in the journal and then in the ledger; only if both
               say first does the first who still waits run, the others get its result
    else       everybody is answered

When nobody waits any more the reserved places are given back; the request stays.
"""

import asyncio
import contextlib
from typing import Final, assert_never

from mesh7_core.ledger.asked import MOST_ASKING, State
from mesh7_core.ledger.asking import asked_of
from mesh7_core.ledger.protocol import (
    Full,
    Lost,
    Observation,
    Observed,
    Opened,
    Seen,
    Unknown,
    Window,
)
from mesh7_core.policy import decision, judge
from mesh7_core.policy.rules import Action, RuleId
from mesh7_core.telemetry import record_spans
from mesh7_sidecar.gate import asking, claiming, edge, exact, observing
from mesh7_sidecar.gate.claiming import Claimed
from mesh7_sidecar.gate.waiters import MOST_RACING, Stage, Waiters, each
from mesh7_sidecar.gate.waiting import Waiter
from mesh7_sidecar.gate.ways import Run, Ways

POLL_S: Final = 1.0
"""A change that nobody told of is seen after as long."""
LEASE_MARGIN_S: Final = 30.0
"""How long reserved places of a crashed holder outlast the longest wait."""
RUN_S: Final = 900.0
"""After as long an approved call that nobody recorded counts as over; no call lasts longer."""
MOST_REFUSALS: Final = 3
"""How often a claim may be refused although the approval stands, before everybody is told."""


class Hold:
    """The call of one digest while somebody waits for it.

    Args:
        ways: to everything that a turn needs.
        digest: of the exact call.
        full: ids of the loops that made it ask, in the order met.
        needs: as first judged.

    Attributes:
        request_id: of the open request; empty when there is none that is known.
    """

    def __init__(
        self, ways: Ways, digest: str, full: tuple[RuleId, ...], needs: judge.Needs
    ) -> None:
        self.digest = digest
        self.request_id = ""
        self._ways = ways
        self._full = full
        self._needs = needs
        self._waiters = Waiters()
        self._stirred = asyncio.Event()
        self._reserved: dict[str, Window] = {}
        self._run: Run | None = None
        self._opening = ""
        self._stage = Stage.LOOKING
        self._withdrawn = ""
        self._refusals = 0
        self._is_listing = False

    @property
    def waiting(self) -> int:
        """How many callers wait."""
        return len(self._waiters.living())

    def is_for(self, request_id: str) -> bool:
        """Whether its callers wait for that request."""
        return bool(request_id) and request_id in {self.request_id, self._opening}

    def join(self, waiter: Waiter) -> None:
        """Another caller waits for the same call."""
        waiter.stir = self.stir
        self._waiters.join(waiter)
        self._show()

    def change(self) -> None:
        """The request has changed: whoever joins before the next turn waits for that."""
        if self._stage is Stage.PENDING:
            self._stage = Stage.LOOKING
        self.stir()

    def stir(self) -> None:
        """Somebody has left, or has waited long enough: the next turn comes at once."""
        self._show()
        self._stirred.set()

    def close(self) -> None:
        """Answer everybody at once: the request, if it is open, outlives the gateway."""
        if self.request_id:
            self._tell(self._waiters.living(), self._standing())
        self._answer(judge.decide(self._needs, judge.NO_LEDGER))
        if self._run is not None:
            self._run.over.set()
        self._stirred.set()

    async def attend(self) -> None:
        """Take turns until nobody waits."""
        try:
            await edge.attended(self._turns())
        finally:
            self._answer(self._ways.failed)

    async def _turns(self) -> None:
        while self._waiters.living():
            await self._turn()
            if not self._waiters.living():
                await self._let_go()

    async def _turn(self) -> None:
        self._stirred.clear()
        self._waiters.dismiss()
        self._show()
        if not self._waiters.living():
            return
        lead = self._waiters.living()[0]
        if not lead.definition and not await self._is_as_listed(lead):
            return
        if not self._waiters.living():
            return
        needs = self._ways.needs_again(lead, self._full, self.digest)
        if needs is None:
            await self._start_over()
            return
        self._needs = needs
        observation = self._observation(lead, needs)
        observed = await self._observe(observation)
        text = await self._denial(observed.request_id) if observed.seen is Seen.DENIED else ""
        await self._go_on(lead, observation, observed, text)

    def _observation(self, lead: Waiter, needs: judge.Needs) -> Observation:
        ways = self._ways
        return ways.observing.exact(
            needs,
            lead.call,
            ways.now_s(),
            covering=judge.covering(needs, lead.call, ways.now()),
            digest=self.digest,
            lease_ms=int((self._waiters.patience_s() + LEASE_MARGIN_S) * 1000),
        )

    async def _observe(self, observation: Observation) -> Observed:
        observed = await self._ways.observe(observation)
        if observed.seen in {Seen.ADMITTED, Seen.PENDING, Seen.APPROVED}:
            self._reserved.update((window.key, window) for window in observation.windows)
        return observed

    async def _go_on(
        self, lead: Waiter, observation: Observation, observed: Observed, text: str
    ) -> None:
        needs, seen = self._needs, observed.seen
        if seen is Seen.REPEATED:
            loop = needs.loops[observed.index]
            if loop.action is Action.REQUIRE_APPROVAL:
                await self._start_over((*self._full, loop.id))
                return
        decided = judge.decide(needs, observing.facts(needs, observed, text=text))
        if decided.verdict is decision.Verdict.DENY:
            self._answer(decided)
        elif seen is Seen.GRANTED:
            # One use is one call: the next who waits is observed anew.
            for waiter in self._waiters.living()[:1]:
                waiter.answer(decided)
        elif seen is Seen.APPROVED:
            await self._act(lead, observation, observed.request_id, decided)
        elif seen is Seen.PENDING:
            self._pend(observed.request_id)
            await self._pause()
        elif self.request_id:
            await self._look_at(self.request_id)
        else:
            await self._open(lead)

    async def _open(self, lead: Waiter) -> None:
        if not await self._is_as_listed(lead) or not await self._is_as_judged(lead):
            return
        if not self._waiters.living():
            return
        request = asking.request_for(
            exact.exact_call(lead.call, lead.what.mark, lead.definition, self._ways.terms.salt),
            self._needs.asked,
            digest=self.digest,
            text=lead.what.text,
            trace_id=lead.passage.trace_id,
            traceparent=record_spans.waiting(lead.passage),
        )
        if len(request.asking) > MOST_ASKING:
            self._refuse(judge.Ledger.UNAVAILABLE)
            return
        # People may see it, and decide, before the ledger has answered here.
        self._opening = request.id
        opened = await self._ways.ledger.open(request, self._ways.terms.caps)
        self._opening = ""
        match opened:
            case Opened():
                self._pend(opened.request_id)
            case Full():
                self._refuse(judge.Ledger.FULL)
            case Lost.LOST:
                self._refuse(judge.Ledger.UNAVAILABLE)
            case _ as unknown:
                assert_never(unknown)

    async def _act(
        self, lead: Waiter, observation: Observation, request_id: str, decided: decision.Decision
    ) -> None:
        """People said yes. `decided` is what the one who runs is told."""
        # Nobody is told `pending` now: who repeats an approved call runs it, however impatient.
        self.request_id, self._stage = request_id, Stage.LOOKING
        if not await self._is_as_listed(lead) or not await self._is_as_judged(lead):
            return
        if lead.is_over:
            return
        ways, self._stage = self._ways, Stage.CLAIMING
        claimed = await claiming.claim(
            ways.ledger, ways.journal, request_id, self.digest, observation.windows,
            usable_s=asked_of(self._needs.asked).use_within_ms / 1000,
            is_wanted=self._is_wanted,
        )  # fmt: skip
        self._stage = Stage.LOOKING
        match claimed:
            case Claimed.OURS:
                for window in observation.windows:
                    self._reserved.pop(window.key, None)
                await self._start(request_id, lead, decided)
            case Claimed.BEFORE:
                self._refuse(judge.Ledger.UNKNOWN_OUTCOME)
            case Claimed.REFUSED:
                await self._look_at(request_id)
            case Claimed.UNWANTED:
                pass
            case Claimed.UNAVAILABLE:
                self._refuse(judge.Ledger.UNAVAILABLE)
            case _ as unknown:
                assert_never(unknown)

    async def _start(self, request_id: str, lead: Waiter, decided: decision.Decision) -> None:
        """The approval is used: one call runs, or none ever."""
        living = self._waiters.living()
        if not living:
            self._ways.end(request_id, "gone")
            return
        self._run = run = self._ways.begin(request_id, self.digest, lead, self._needs)
        living[0].answer(decided)
        self._stage = Stage.RUNNING
        self._show()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RUN_S):
                await run.over.wait()
        self._run = None
        self._forget()
        await self._let_go()

        def resume(waiter: Waiter) -> None:
            if self._ways.needs_again(waiter, self._full, self.digest) is None:
                self._ways.again(waiter, ())
            else:
                self._ways.repeat(waiter, self._needs, self.digest, request_id)

        each(self._waiters.take(), resume, self._ways.failed)

    async def _look_at(self, request_id: str) -> None:
        """The request does not stand as it did: say so, or ask anew."""
        request = await self._ways.ledger.request(request_id)
        if isinstance(request, Lost):
            self._refuse(judge.Ledger.UNAVAILABLE)
            return
        fact = asking.refusal(request)
        if fact is not None:
            self._refuse(fact, asking.denial(request))
            return
        self._refusals += 1
        if self._refusals > MOST_REFUSALS:
            self._refuse(judge.Ledger.UNAVAILABLE)
        elif isinstance(request, Unknown) or request.state is State.WITHDRAWN:
            self._forget()
        else:
            await self._pause()

    async def _denial(self, request_id: str) -> str:
        return asking.denial(await self._ways.ledger.request(request_id))

    async def _is_as_listed(self, lead: Waiter) -> bool:
        """List the tool again; when its definition is another one everybody starts over."""
        self._is_listing = True
        try:
            fresh = await self._ways.relist(lead.call)
        finally:
            self._is_listing = False
        self._waiters.dismiss()
        if fresh is None:
            self._answer(decision.SOURCE_UNAVAILABLE)
            return False
        if fresh == lead.definition:
            return True
        for waiter in self._waiters.living():
            waiter.definition = fresh
        await self._start_over()
        return False

    async def _is_as_judged(self, lead: Waiter) -> bool:
        """Judge again; when the call asks no more, or for something else, everybody starts over."""
        needs = self._ways.needs_again(lead, self._full, self.digest)
        if needs is None:
            await self._start_over()
            return False
        self._needs = needs
        return True

    async def _pause(self) -> None:
        if self._waiters.living():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._stirred.wait()

    async def _let_go(self) -> None:
        ledger, windows = self._ways.ledger, tuple(self._reserved.values())
        self._reserved.clear()
        if windows:
            await ledger.give_back(self.digest, windows)
        if self._withdrawn:
            withdrawn, self._withdrawn = self._withdrawn, ""
            await ledger.withdraw(withdrawn)

    async def _start_over(self, full: tuple[RuleId, ...] = ()) -> None:
        """Everybody is judged from the start; nobody needs this request any more."""
        self._withdrawn = self.request_id
        self._forget()
        # First: nobody may be refused for want of a place that they have themselves.
        await self._let_go()
        each(self._waiters.take(), lambda waiter: self._ways.again(waiter, full), self._ways.failed)

    def _pend(self, request_id: str) -> None:
        self.request_id, self._stage = request_id, Stage.PENDING
        self._show()

    def _forget(self) -> None:
        self.request_id, self._stage = "", Stage.LOOKING

    def _show(self) -> None:
        """Tell who waits what for; answer those whose patience is over, and those too many."""
        if self._stage is Stage.LOOKING:
            beyond = self._waiters.living()[MOST_RACING:]
            self._tell(beyond, judge.Facts(ledger=judge.Ledger.FULL))
        else:
            self._waiters.show(self.request_id)
        self._tell(self._waiters.impatient(self._stage), self._standing())

    def _standing(self) -> judge.Facts:
        """Where the call stands, for who cannot wait any longer."""
        if not self.request_id:
            return judge.NO_LEDGER
        is_running = self._stage is Stage.RUNNING
        fact = judge.Ledger.RUNNING if is_running else judge.Ledger.PENDING
        return judge.Facts(ledger=fact, request_id=self.request_id)

    def _tell(self, waiters: list[Waiter], facts: judge.Facts) -> None:
        is_unlisted = self._is_listing and facts is judge.NO_LEDGER
        for waiter in waiters:
            waiter.answer(
                decision.SOURCE_UNAVAILABLE if is_unlisted else judge.decide(self._needs, facts)
            )

    def _is_wanted(self) -> bool:
        self._waiters.dismiss()
        return bool(self._waiters.living())

    def _refuse(self, fact: judge.Ledger, text: str = "") -> None:
        facts = judge.Facts(ledger=fact, request_id=self.request_id, text=text)
        self._answer(judge.decide(self._needs, facts))

    def _answer(self, decided: decision.Decision) -> None:
        """Everybody gets the same answer, and the next caller starts from the beginning."""
        for waiter in self._waiters.living():
            waiter.answer(decided)
        self._forget()
