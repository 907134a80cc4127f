"""The gateway's own calls for agents that leave at the worst moment."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

import pytest
from typing_extensions import override

from mesh7_core.ledger.asked import Refused, Request
from mesh7_core.ledger.protocol import Caps, Full, Lost, Observation, Observed, Opened, Window
from mesh7_core.policy import calls
from mesh7_core.policy.decision import Verdict
from mesh7_core.policy.reasons import Reason
from mesh7_core.telemetry.passage import Passage
from mesh7_core.telemetry.records import Outcome
from mesh7_sidecar.doors import asking
from mesh7_sidecar.gate.gate import Gate
from mesh7_sidecar.sources.conversation import Answer
from mesh7_sidecar.sources.registry import Served
from tests.sidecar.doors.scripted_source import Script, serving, tool
from tests.sidecar.gate.parts import FaultyLedger, World, in_told_time, policy
from tests.sidecar.sources.test_client import registered, served, source_of

PARAMS = b'{"name":"create_refund","arguments":{"amount":500}}'
LIMITED = """
  - {name: refunds, tools: ["*"], action: Allow, limits: [few]}
"""
FEW = """
  limits:
  - {name: few, per: Agent, max: 5, window: 1h}
"""


class AtOurWord(FaultyLedger):
    """Answers observations when it is told to, and says when it has taken a claim.

    Attributes:
        answers: of observations, oldest first; None = answered at once.
        opened: how many requests were.
    """

    def __init__(self, world: World) -> None:
        super().__init__(world.home)
        self.answers: list[Callable[[], None]] | None = None
        self.on_claim: Callable[[], object] = list
        self.opened = 0

    @override
    def observe(self, observation: Observation, answer: Callable[[Observed], None]) -> None:
        if self.answers is None:
            super().observe(observation, answer)
        else:
            observe = super().observe
            self.answers.append(lambda: observe(observation, answer))

    @override
    async def open(self, request: Request, caps: Caps) -> Opened | Full | Lost:
        opened = await super().open(request, caps)
        self.opened += 1
        return opened

    @override
    async def claim(
        self, request_id: str, digest: str, windows: Sequence[Window]
    ) -> Request | Refused | Lost:
        claimed = await super().claim(request_id, digest, windows)
        self.on_claim()
        return claimed


@contextlib.asynccontextmanager
async def billing() -> AsyncIterator[tuple[Served, Script]]:
    """A source whose tools were listed."""
    script = Script(tools=[tool("create_refund")])
    async with (
        serving(script) as source,
        registered(source_of(source.url, name="billing")) as registry,
    ):
        found = served(registry, "billing")
        await found.catalog.read()
        yield found, script


def refunding(
    gate: Gate, one: Served
) -> "asyncio.Task[Answer | asking.Replayed | asking.Refusal | asking.Failure]":
    """An agent's call, as `/v1/tools` and `/mcp` make it."""
    call = calls.Call(
        calls.Agent(namespace="default", service_account="support", pod="pod-1", labels={}),
        calls.Family.TOOLS, "billing", "create_refund", {"amount": 500},
        calls.SourceKind.MCP, one.source.host,
    )  # fmt: skip
    passage = Passage("v1", 0)
    return asyncio.create_task(
        asking.ask(gate, one, one.client, call, "tools/call", PARAMS, passage)
    )


@pytest.mark.promise("A7")
@in_told_time
async def test_an_answer_that_comes_in_the_turn_its_caller_leaves_breaks_nothing(
    world: World,
) -> None:
    """It ended the connection to Redis, by which everybody's answers come."""
    world.apply(policy(LIMITED, FEW))
    ledger = AtOurWord(world)
    ledger.answers = []
    async with billing() as (one, script):
        task = refunding(world.gate(ledger=ledger), one)
        await world.until(lambda: bool(ledger.answers))
        task.cancel()
        ledger.answers[0]()
        await asyncio.wait([task])
    assert task.cancelled()
    assert [(each.decision.verdict, each.outcome) for each in world.records] == [
        (Verdict.ALLOW, Outcome.GONE)
    ]
    assert script.asked("tools/call") == []


@pytest.mark.promise("A7", "D1")
@in_told_time
async def test_a_caller_that_leaves_as_its_approval_is_claimed_keeps_nobody_waiting(
    world: World,
) -> None:
    """Racing repeats waited 900 s for a run that nobody had begun."""
    ledger = AtOurWord(world)
    gate = world.gate(ledger=ledger)
    async with billing() as (one, script):
        world.definition = one.catalog.definitions["create_refund"].digest
        first, second = refunding(gate, one), refunding(gate, one)
        await world.until(lambda: ledger.opened == 1)
        await world.quiet()
        (request,) = await world.requests()
        assert gate.waiting(request.id) == 2
        ledger.on_claim = first.cancel
        await world.vote(request.id)
        await asyncio.wait([first, second])
    assert first.cancelled()
    refused = second.result()
    assert isinstance(refused, asking.Refusal)
    assert refused.decision.reason is Reason.OUTCOME_UNKNOWN
    assert [(each.decision.reason, each.outcome) for each in world.records] == [
        (Reason.APPROVED, Outcome.GONE), (Reason.OUTCOME_UNKNOWN, Outcome.REFUSED),
    ]  # fmt: skip
    assert script.asked("tools/call") == []
