"""The gate's edge: what cannot be judged is denied, and seen."""

import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typing_extensions import override

from mesh7_core.compiling import compiler
from mesh7_core.ledger.memory import MemoryLedger
from mesh7_core.policy import calls, view
from mesh7_core.policy.decision import Decision, Verdict
from mesh7_core.policy.reasons import Reason
from mesh7_core.telemetry.passage import Passage
from mesh7_core.telemetry.records import Outcome, Record
from mesh7_sidecar.bundles.current import MAXIMUM_VIEWS, Current
from mesh7_sidecar.clock import Clock
from mesh7_sidecar.gate.gate import Consumer, Gate
from mesh7_sidecar.gate.journal import Journal
from mesh7_sidecar.gate.terms import HoldTerms
from mesh7_sidecar.seeing.tracing import Untraced
from tests.sidecar.lifecycle.parts import policy

AT_NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
CLOCK = Clock(
    wall_ns=lambda: int(AT_NOON.timestamp()) * 10**9,
    monotonic_ns=lambda: 5_000,
    monotonic_s=lambda: 5.0,
)
RULES = policy(
    "p",
    'name: morning, tools: ["*.early"], when: "now < timestamp(\'2026-11-21T12:00:00Z\')",'
    " action: Allow",
    'name: rest, tools: ["*.echo"], action: Allow',
)


class Broken(Current):
    """A bundle in force that has a defect of ours."""

    @override
    def view(self, agent: calls.Agent) -> view.AgentView | None:
        raise RuntimeError("a defect")


def agent(name: str = "tester") -> calls.Agent:
    return calls.Agent(namespace="default", service_account=name, pod="here", labels={})


def call(name: str = "echo", who: str = "tester") -> calls.Call:
    return calls.Call(
        agent(who), calls.Family.TOOLS, "s", name, {}, calls.SourceKind.MCP, "", None, ""
    )


def in_force() -> Current:
    """A set that is in force."""
    compiled = compiler.compile_files({"p.yaml": RULES.encode()}).bundle
    assert compiled is not None
    current = Current()
    current.swap(compiled)
    return current


class Build:
    """Gates with nothing in their ledger, whose records are kept."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def __call__(self, current: Current, *consumers: Consumer) -> Gate:
        return Gate(
            current,
            clock=CLOCK,
            consumers=consumers,
            traces=Untraced(),
            ledger=MemoryLedger(lambda: 0),
            journal=self._journal,
            definition_of=_as_it_was,
            terms=HoldTerms(),
        )


async def _as_it_was(call: calls.Call) -> str | None:
    return call.definition


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Build]:
    journal = Journal(tmp_path / "claims.db", lambda: 0.0)
    yield Build(journal)
    await journal.close()


@pytest.mark.promise("P2")
def test_an_error_in_judging_denies_and_is_seen(
    gate: Build, caplog: pytest.LogCaptureFixture
) -> None:
    """The house style: blanket only at the gate's edge, where it denies and logs."""
    decided = gate(Broken()).decide(call())

    assert decided.verdict is Verdict.DENY
    [line] = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert line.exc_info is not None


@pytest.mark.promise("P2")
def test_before_the_first_bundle_everything_is_denied(gate: Build) -> None:
    empty = gate(Current())

    assert empty.decide(call()) == Decision(Verdict.DENY, Reason.NO_BUNDLE)
    assert not empty.may_call(agent(), calls.Family.TOOLS, "s", "echo")


def test_the_answer_comes_once_and_is_the_decision(gate: Build) -> None:
    told: list[Decision] = []
    judge = gate(in_force())
    judge.judge(call(), Passage("v1", 0), told.append)

    assert told == [judge.decide(call())]
    assert told[0].verdict is Verdict.ALLOW


@pytest.mark.promise("P5")
def test_policies_see_the_time_of_the_clock_that_was_handed_in(gate: Build) -> None:
    """Noon is not before noon."""
    assert gate(in_force()).decide(call("early")).verdict is Verdict.DENY


def test_every_consumer_gets_every_record(gate: Build) -> None:
    """Design 3: one record feeds span, metrics and audit line."""
    first: list[Record] = []
    second: list[Record] = []
    judge = gate(in_force(), first.append, second.append)
    for name in ("echo", "other"):
        judge.record(call(name), judge.decide(call(name)), Outcome.OK, Passage("v1", 0))

    assert first == second
    assert [each.decision.verdict for each in first] == [Verdict.ALLOW, Verdict.DENY]
    assert (judge.counts.allowed, judge.counts.denied) == (1, 1)


@pytest.mark.promise("T3")
def test_a_consumer_with_a_defect_fails_no_call_and_keeps_nothing_from_others(
    gate: Build, caplog: pytest.LogCaptureFixture
) -> None:
    """Design 11: telemetry never blocks a call; a defect is seen in the log."""

    def fail(_: Record) -> None:
        raise ZeroDivisionError

    records: list[Record] = []
    judge = gate(in_force(), fail, records.append)
    judge.record(call(), judge.decide(call()), Outcome.OK, Passage("v1", 0))

    assert len(records) == 1
    assert [each.message for each in caplog.records] == ["a record was not taken"]


@pytest.mark.promise("X11")
def test_made_up_agents_do_not_fill_the_memory(gate: Build) -> None:
    """What is remembered of each agent is bounded."""
    current = in_force()
    judge = gate(current)
    for number in range(2 * MAXIMUM_VIEWS + 1):
        judge.decide(call(who=f"agent-{number}"))

    assert current.remembered <= MAXIMUM_VIEWS
