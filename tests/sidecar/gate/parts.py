"""A gate with real parts around it, a store with a clock of its own, and loop time that is told."""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mesh7_core.compiling import compiler
from mesh7_core.ledger.asked import Refused, Request, State, Verdict, Vote
from mesh7_core.ledger.memory import MemoryLedger
from mesh7_core.ledger.protocol import (
    LOST,
    Caps,
    Changed,
    Full,
    Ledger,
    Lost,
    Observation,
    Observed,
    Opened,
    Seen,
    Standing,
    Unknown,
    Window,
)
from mesh7_core.policy import calls
from mesh7_core.policy.decision import Decision
from mesh7_core.policy.reasons import Reason
from mesh7_core.telemetry.context import Context
from mesh7_core.telemetry.records import Outcome, Record
from mesh7_sidecar.bundles.current import Current
from mesh7_sidecar.clock import Clock
from mesh7_sidecar.gate import kept
from mesh7_sidecar.gate.gate import Gate
from mesh7_sidecar.gate.journal import Journal
from mesh7_sidecar.gate.terms import HoldTerms
from mesh7_sidecar.gate.waiting import Wait
from mesh7_sidecar.seeing.tracing import Untraced
from tests.core.ledger.signing import Signed
from tests.told_time import ToldTime

PATIENCE_S = 30.0
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
NOON_NS = int(NOON.timestamp()) * 10**9


class FaultyLedger:
    """A ledger that can be lost, operation by operation, and put back to an older state.

    Attributes:
        home: where it is kept; another one makes it forget.
        lost: names of operations that are lost before they are done.
        unanswered: names of operations that are done, and whose answer is lost.
        unknown: indexes of windows whose past is not known.
        is_late: observations are answered after a while, as over a network.
    """

    def __init__(self, home: MemoryLedger) -> None:
        self.home = home
        self.lost: set[str] = set()
        self.unanswered: set[str] = set()
        self.unknown: tuple[int, ...] = ()
        self.is_late = False
        self.pause: asyncio.Event | None = None

    def observe(self, observation: Observation, answer: Callable[[Observed], None]) -> None:
        if self.is_late:
            answer = _late(answer)
        if "observe" in self.lost:
            answer(Observed(Seen.LOST))
            return

        def known(observed: Observed) -> None:
            answer(
                Observed(
                    observed.seen,
                    observed.index,
                    observed.retry_after_ms,
                    observed.request_id,
                    self.unknown,
                    observed.granted,
                )
            )

        self.home.observe(observation, known if self.unknown else answer)

    async def open(self, request: Request, caps: Caps) -> Opened | Full | Lost:
        return LOST if "open" in self.lost else await self.home.open(request, caps)

    async def vote(self, request_id: str, vote: Vote) -> Request | Refused | Unknown | Lost:
        return await self.home.vote(request_id, vote)

    async def claim(
        self, request_id: str, digest: str, windows: Sequence[Window]
    ) -> Request | Refused | Lost:
        if self.pause is not None:
            await self.pause.wait()
        if "claim" in self.lost:
            return LOST
        answer = await self.home.claim(request_id, digest, windows)
        return LOST if "claim" in self.unanswered else answer

    async def finish(self, request_id: str, outcome: str) -> Lost | None:
        await self.home.finish(request_id, outcome)
        return None

    async def give_back(self, digest: str, windows: Sequence[Window]) -> Lost | None:
        await self.home.give_back(digest, windows)
        return None

    async def withdraw(self, request_id: str) -> Lost | None:
        await self.home.withdraw(request_id)
        return None

    async def requests(self) -> tuple[Request, ...] | Lost:
        return await self.home.requests()

    async def request(self, request_id: str) -> Request | Unknown | Lost:
        return LOST if "request" in self.lost else await self.home.request(request_id)

    async def used(self, keys: Sequence[str]) -> tuple[int, ...] | Lost:
        return await self.home.used(keys)

    async def standing(self) -> tuple[Standing, ...] | Lost:
        return LOST if "standing" in self.lost else await self.home.standing()

    async def stand(self, name: str, document: str, by: str) -> Standing | Refused | Lost:
        return await self.home.stand(name, document, by)

    async def fall(self, name: str) -> Standing | Unknown | Lost:
        return await self.home.fall(name)

    def subscribe(self, told: Callable[[Changed], None]) -> Callable[[], None]:
        return self.home.subscribe(told)

    async def now_ms(self) -> int | Lost:
        return await self.home.now_ms()

    def trouble(self) -> str:
        return ""

    async def close(self) -> None:
        await self.home.close()


def _late(answer: Callable[[Observed], None]) -> Callable[[Observed], None]:
    loop = asyncio.get_running_loop()

    def answer_later(observed: Observed) -> None:
        loop.call_soon(lambda: loop.call_soon(answer, observed))

    return answer_later


REFUNDS = """
  - name: refunds
    tools: ["billing.create_refund"]
    action: RequireApproval
    approval: {count: 1, timeout: 10m, useWithin: 5m, hold: 50s,
               grantable: {maxDuration: 1h, maxUses: 2}}
    reason: refunds need finance
  - {name: rest, tools: ["*"], action: Allow}
"""


def policy(rules: str = REFUNDS, more: str = "", name: str = "shop") -> str:
    """An AgentPolicy for everybody."""
    return (
        f"apiVersion: mesh7.dev/v1alpha1\nkind: AgentPolicy\nmetadata: {{name: {name}}}\n"
        f"spec:\n  selector: {{}}\n  defaultAction: Deny\n  rules:{rules}{more}"
    )


def refund(  # noqa: PLR0913 - what may be changed of it
    amount: str = "500",
    *,
    pod: str = "pod-1",
    tool: str = "create_refund",
    definition: str = "sha256:one",
    meta: str = "{}",
    session: str = "",
    more: str = "",
) -> calls.Call:
    """A call as an MCP door brings it; `amount` and `more` are JSON."""
    arguments = f'{{"amount":{amount},"to":"ann"}}'
    body = f'{{"params":{{"name":"{tool}","arguments":{arguments},"_meta":{meta}{more}}}}}'
    return calls.Call(
        calls.Agent(namespace="default", service_account="support", pod=pod, labels={}),
        calls.Family.TOOLS,
        "billing",
        tool,
        json.loads(arguments),
        session=session,
        body=body.encode(),
        definition=definition,
    )


class World:
    """What stands around the gates of a test.

    Attributes:
        store_ms: the ledger's clock.
        wall_ns: the gateways' wall clock.
        ran: the calls that went to the source, in order.
        definition: what listing a tool again answers; None = it cannot be listed.
        listing: when set, listing a tool again takes until it happens.
        signed: what an operator signs of people's decisions; None on a laptop, where a vote is one.
        records: of all gates.
    """

    def __init__(self, folder: Path, loop: ToldTime) -> None:
        self.folder = folder
        self.loop = loop
        self.store_ms = 1_000_000
        self.wall_ns = NOON_NS
        self.home = self.fresh_home()
        self.ledger = FaultyLedger(self.home)
        self.current = Current()
        self.ran: list[calls.Call] = []
        self.records: list[Record] = []
        self.definition: str | None = "sha256:one"
        self.relisted = 0
        self.listing: asyncio.Event | None = None
        self.gates: list[tuple[Gate, Journal]] = []
        self.signed: Signed | None = None
        self.apply(policy())

    def fresh_home(self) -> MemoryLedger:
        return MemoryLedger(lambda: self.store_ms)

    def apply(self, *documents: str) -> None:
        """Put other policies in force."""
        compiled = compiler.compile_files(
            {f"{number}.yaml": text.encode() for number, text in enumerate(documents)}
        )
        assert compiled.bundle is not None, compiled.diagnostics
        self.current.swap(compiled.bundle)

    def gate(self, terms: HoldTerms | None = None, *, ledger: Ledger | None = None) -> Gate:
        """Another gateway on the same ledger, with a journal of its own."""
        journal = self.journal()
        ledger = ledger or self.ledger
        gate = Gate(
            self.current,
            clock=Clock(
                wall_ns=lambda: self.wall_ns,
                monotonic_ns=lambda: int(self.loop.time() * 1e9),
                monotonic_s=self.loop.time,
            ),
            consumers=(self.records.append,),
            traces=Untraced(),
            ledger=ledger if self.signed is None else self.signed.over(ledger),
            journal=journal,
            definition_of=self._definition_of,
            terms=terms or HoldTerms(),
        )
        self.gates.append((gate, journal))
        return gate

    def journal(self) -> Journal:
        path = self.folder / f"claims-{len(self.gates)}.db"
        return Journal(path, lambda: self.wall_ns / 1e9)

    async def _definition_of(self, _: calls.Call) -> str | None:
        self.relisted += 1
        await asyncio.sleep(0)
        if self.listing is not None:
            await self.listing.wait()
        return self.definition

    def pass_by(self, seconds: float) -> None:
        """All clocks go on."""
        self.store_ms += int(seconds * 1000)
        self.wall_ns += int(seconds * 1e9)
        self.loop.pass_by(seconds)

    async def until(self, claim: Callable[[], bool]) -> None:
        """Let everybody work until a claim holds; the clocks stand still meanwhile."""
        deadline = time.monotonic() + PATIENCE_S
        while not claim():
            assert time.monotonic() < deadline, "it did not come true"
            await asyncio.sleep(0)

    async def quiet(self) -> None:
        """Let everybody work, threads too, until nobody has anything to do at this time."""
        for _ in range(3):
            for _ in range(50):
                await asyncio.sleep(0)
            for _, journal in self.gates:
                await journal.outcome("nothing")

    async def requests(self) -> tuple[Request, ...]:
        """All requests, oldest first."""
        return await self.home.requests()

    async def vote(
        self, request_id: str, verdict: Verdict = Verdict.APPROVE, reason: str = "", who: str = "1"
    ) -> Request:
        """One person says yes or no."""
        voted = await self.home.vote(
            request_id,
            Vote(person=who, name=f"person {who}", groups=(), verdict=verdict, reason=reason),
        )
        assert isinstance(voted, Request), voted
        if self.signed is not None and voted.state is not State.PENDING:
            self.signed.sign(voted)
        return voted

    async def request(self, request_id: str) -> Request:
        found = await self.home.request(request_id)
        assert isinstance(found, Request)
        return found

    async def close(self) -> None:
        for gate, journal in self.gates:
            await gate.close()
            await journal.close()


class Caller:
    """A door with one caller: runs what it is allowed to run, and says what came of it.

    Args:
        is_slow: the source answers when `finish` is called, not at once.

    Attributes:
        decision: the answer, None until there is one.
        shown: what the door saw of the wait.
        is_served: whether its source is still in force.
        replayed: the result of somebody else's run.
    """

    def __init__(
        self,
        world: World,
        gate: Gate,
        call: calls.Call | None = None,
        *,
        result: bytes = b'{"n":1}',
        is_slow: bool = False,
        caller: Context | None = None,
    ) -> None:
        self.world = world
        self.gate = gate
        self.call = call or refund()
        self.result = result
        self.is_slow = is_slow
        self.decision: Decision | None = None
        self.shown: Wait | None = None
        self.replayed: kept.Kept | None = None
        self.answers = 0
        self.is_served = True
        self.passage = gate.traces.begin("mcp", gate.monotonic_ns(), caller)
        gate.judge(self.call, self.passage, self._answered, self._waits, lambda: self.is_served)

    @property
    def reason(self) -> Reason | None:
        return None if self.decision is None else self.decision.reason

    @property
    def request_id(self) -> str:
        if self.decision is not None:
            return self.decision.request_id
        return "" if self.shown is None else self.shown.request_id

    def leave(self) -> None:
        assert self.shown is not None
        self.shown.leave()

    def finish(self, outcome: Outcome = Outcome.OK, *, keeps: bool = True) -> None:
        """The source has answered."""
        assert self.decision is not None
        if keeps:
            self.gate.keep(self.decision, kept.McpResult(self.result))
        self.gate.record(self.call, self.decision, outcome, self.passage)

    def _waits(self, wait: Wait) -> None:
        assert self.shown is None
        self.shown = wait

    def _answered(self, decision: Decision) -> None:
        self.answers += 1
        self.decision = decision
        if decision.reason is Reason.REPLAYED:
            self.replayed = self.gate.replay(decision)
            self.gate.record(self.call, decision, Outcome.OK, self.passage)
        elif decision.verdict.value == "Allow":
            self.world.ran.append(self.call)
            if not self.is_slow:
                self.finish()
        else:
            self.gate.record(self.call, decision, Outcome.REFUSED, self.passage)


def in_told_time(
    test: Callable[[World], Coroutine[None, None, None]],
) -> Callable[[Path], None]:
    """Run a test in a world of its own whose time is told."""
    return _in_world(test, _laptop)


def in_a_pod_too(test: Callable[[World], Coroutine[None, None, None]]) -> Callable[..., None]:
    """Run it twice: on a laptop, and where an operator has to sign what people decide."""
    both = pytest.mark.parametrize("place", [_laptop, _pod], ids=["laptop", "pod"])

    def run(tmp_path: Path, place: Callable[[World], None]) -> None:
        _in_world(test, place)(tmp_path)

    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    run.__dict__.update(test.__dict__)
    return both(run)


def _laptop(_: World) -> None:
    """Whoever votes decides."""


def _pod(world: World) -> None:
    world.signed = Signed()


def _in_world(
    test: Callable[[World], Coroutine[None, None, None]], place: Callable[[World], None]
) -> Callable[[Path], None]:
    async def scenario(folder: Path) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, ToldTime)
        world = World(folder, loop)
        place(world)
        try:
            await test(world)
        finally:
            await world.close()

    def run(tmp_path: Path) -> None:
        with asyncio.Runner(loop_factory=ToldTime) as runner:
            runner.run(scenario(tmp_path))

    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    run.__dict__.update(test.__dict__)
    return run


async def held(world: World, gate: Gate, call: calls.Call | None = None) -> Caller:
    """A caller whose request is open."""
    caller = Caller(world, gate, call)
    await world.until(lambda: caller.request_id != "")
    return caller
