"""Whatever order callers, people, policies and clocks act in: an approval runs once at most."""

import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh7_core.ledger.asked import Refused, State, Verdict, Vote
from mesh7_core.policy.reasons import Reason
from mesh7_sidecar.gate.terms import HoldTerms
from tests.sidecar.gate.parts import REFUNDS, Caller, World, in_told_time, policy, refund

LIMITED = policy(
    "\n  - {name: r, tools: ['*'], action: RequireApproval, limits: [few],"
    " approval: {timeout: 30s, useWithin: 20s}}\n",
    "  limits:\n  - {name: few, per: Pod, max: 3, window: 1m}\n",
)
POLICIES = [policy(), policy(REFUNDS.replace("count: 1", "count: 2")), LIMITED]
COMMON = [("call", 1), ("call", 2), ("approve", 0), ("approve", 1), ("finish", 0), ("finish", 1)]
RARE = [
    ("leave", 0), ("leave", 1), ("leave", 2), ("deny", 0), ("deny", 1), ("pass", 1), ("pass", 6),
    ("pass", 25), ("pass", 61), ("edit", 0), ("edit", 1), ("edit", 2), ("redefine", 0),
    ("redefine", 1), ("lose", 0), ("lose", 1), ("lose", 2),
]  # fmt: skip
STEPS = st.lists(
    st.tuples(st.one_of(st.sampled_from(COMMON), st.sampled_from(RARE)), st.booleans()),
    min_size=5,
    max_size=30,
)
"""What happens, and whether everybody comes to rest before the next."""


class Play:
    """One course of events."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.gate = world.gate(HoldTerms(hold_s=5.0))
        self.callers: list[Caller] = []
        self.left: set[int] = set()
        self.finished: set[int] = set()

    async def step(self, what: str, which: int) -> None:
        world = self.world
        match what:
            case "call":
                self.callers.append(Caller(world, self.gate, refund(str(which)), is_slow=True))
            case "leave" if which < len(self.callers) and self.callers[which].decision is None:
                self.callers[which].leave()
                self.left.add(which)
            case "approve" | "deny":
                await self._vote(which, Verdict(what))
            case "finish":
                self._finish(which)
            case "pass":
                world.pass_by(which)
            case "edit":
                world.apply(POLICIES[which])
            case "redefine":
                world.definition = ("sha256:one", "sha256:two")[which]
            case "lose":
                world.ledger.lost = [set[str](), {"claim"}, {"observe"}][which]
            case _:
                pass

    def _finish(self, which: int) -> None:
        running = [
            number
            for number, one in enumerate(self.callers)
            if one.decision is not None
            and one.reason is Reason.APPROVED
            and number not in self.finished
        ]
        if running:
            number = running[which % len(running)]
            self.finished.add(number)
            self.callers[number].finish(keeps=which % 2 == 0)

    async def _vote(self, which: int, verdict: Verdict) -> None:
        requests = await self.world.requests()
        if requests:
            vote = Vote(person=str(which), name="ann", groups=(), verdict=verdict)
            voted = await self.world.home.vote(requests[which % len(requests)].id, vote)
            assert not isinstance(voted, Refused) or voted.why

    async def end(self) -> None:
        """Everybody's patience ends, and every call that runs comes to an end."""
        self.world.ledger.lost = set()
        for _ in range(3):
            await self.world.quiet()
            for _ in range(len(self.callers)):
                self._finish(0)
            self.world.pass_by(6)
        await self.world.quiet()


@pytest.mark.promise("A1", "A2", "A7", "D1")
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_in_any_order_an_approval_runs_once_and_everybody_is_answered_once(
    steps: list[tuple[tuple[str, int], bool]],
) -> None:
    """Issue 4: approved → used (once); nobody gets two answers, and only who left gets none."""

    @in_told_time
    async def scenario(world: World) -> None:
        play = Play(world)
        for (what, which), comes_to_rest in steps:
            await play.step(what, which)
            if comes_to_rest:
                await world.quiet()
        await play.end()
        runs = Counter(one.request_id for one in play.callers if one.reason is Reason.APPROVED)
        assert all(times == 1 for times in runs.values())
        for request_id in runs:
            request = await world.request(request_id)
            assert request.state is State.USED
            assert any(vote.verdict is Verdict.APPROVE for vote in request.votes)
        answers = [one.answers for one in play.callers]
        assert answers == [0 if number in play.left else 1 for number in range(len(answers))]

    with tempfile.TemporaryDirectory() as folder:
        scenario(Path(folder))
