"""One call by the gateway's own client: for doors behind which the agent speaks no MCP to a source.

The same steps as on the data path (`post`), as a coroutine: look the name up, judge (waiting for
people when they are asked), ask the source, record. Cancelling it is how its agent leaves.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mesh7_core import errors
from mesh7_core.policy import calls
from mesh7_core.policy.decision import SOURCE_UNAVAILABLE, Decision, Verdict
from mesh7_core.policy.reasons import Reason
from mesh7_core.telemetry.passage import Passage
from mesh7_core.telemetry.records import Outcome
from mesh7_sidecar.doors import traced
from mesh7_sidecar.doors.waiting import left
from mesh7_sidecar.gate.gate import Gate
from mesh7_sidecar.gate.kept import McpResult
from mesh7_sidecar.gate.waiting import Wait
from mesh7_sidecar.sources.client import NONE, Beside, SourceClient, ignore
from mesh7_sidecar.sources.conversation import Answer
from mesh7_sidecar.sources.registry import Served
from mesh7_sidecar.wire import headers, jsonrpc, mirrored, propagation, splice


@dataclass(frozen=True, slots=True)
class Refusal:
    """The call was not made.

    Attributes:
        decision: as the agent is told; what no list shows is told as unknown.
    """

    decision: Decision


@dataclass(frozen=True, slots=True)
class Failure:
    """The call was made and there is no answer; `message` names the source."""

    message: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """Nothing was called: this is what an identical, approved call was answered a moment ago."""

    result: bytes
    request_id: str


async def refused_by_list(served: Served, call: calls.Call) -> Decision | None:
    """What the source's own list of tools decides: None = the call may be judged."""
    if call.family is not calls.Family.TOOLS:
        return None
    if served.problem:
        return SOURCE_UNAVAILABLE
    catalog = served.catalog
    if catalog.needs_reading(call.name):
        await catalog.read()
    definition = catalog.definitions.get(call.name)
    if definition is None:
        return catalog.refusal(call.name)
    call.definition = definition.digest
    return None


async def ask(  # noqa: PLR0913 - each says another thing
    gate: Gate,
    served: Served,
    client: SourceClient,
    call: calls.Call,
    method: str,
    params: bytes,
    passage: Passage,
    on_notice: Callable[[jsonrpc.Message], None] = ignore,
    on_wait: Callable[[], None] = lambda: None,
) -> Answer | Replayed | Refusal | Failure:
    """Judge a call, make it when it is allowed, and record it.

    Args:
        params: the request's `params` as JSON, the upstream's own names in it.
        passage: of the call.
        on_notice: gets notifications that precede the answer.
        on_wait: told when people have to be asked.
    """
    call.body = b'{"params":%b}' % params

    def record(decision: Decision, outcome: Outcome, detail: str = "") -> None:
        gate.record(call, decision, outcome, passage, detail)

    if served.problem:
        record(SOURCE_UNAVAILABLE, Outcome.REFUSED)
        return Failure(served.problem)
    decision = await refused_by_list(served, call)
    if decision is None:
        decision = await _Judging(gate, served, call, record).decided(on_wait, passage)
    passage.judged_ns = gate.monotonic_ns()
    if decision.verdict is not Verdict.ALLOW:
        record(decision, Outcome.REFUSED)
        return Refusal(gate.told(call, decision))
    if decision.reason is Reason.REPLAYED:
        return _replay(gate, decision, record)
    made = _Made(gate, call, decision, passage, record)
    return await made.by(client, method, params, on_notice, _repeated(served, call))


class _Judging:
    """One call before the judge, which may take as long as people do."""

    def __init__(self, gate: Gate, served: Served, call: calls.Call, record: "_Record") -> None:
        self._gate = gate
        self._is_served = served.is_open
        self._call = call
        self._record = record
        self._wait: Wait | None = None
        self._is_over = False
        self._decided: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()

    async def decided(self, on_wait: Callable[[], None], passage: Passage) -> Decision:
        """The decision. Whoever stops waiting for it leaves: nothing runs for them."""

        def waits(wait: Wait) -> None:
            self._wait = wait
            if self._is_left:
                self._leave(wait)
            else:
                on_wait()

        self._gate.judge(self._call, passage, self._answer, waits, self._is_served)
        try:
            return await self._decided
        except asyncio.CancelledError:
            if not self._decided.cancelled():
                self._end(self._decided.result())
            elif self._wait is not None:
                self._leave(self._wait)
            raise

    @property
    def _is_left(self) -> bool:
        # Whoever cancels the task cancels this at once; the task itself hears of it a turn later.
        return self._decided.cancelled()

    def _answer(self, decision: Decision) -> None:
        if self._is_left:
            # To be recorded: what people approved is over only then, and others wait for that.
            self._end(decision)
        else:
            self._decided.set_result(decision)

    def _leave(self, wait: Wait) -> None:
        wait.leave()
        self._end(left(wait))

    def _end(self, decision: Decision) -> None:
        if not self._is_over:
            self._is_over = True
            self._record(decision, Outcome.GONE)


class _Record(Protocol):
    def __call__(self, decision: Decision, outcome: Outcome, detail: str = "") -> None: ...


def _replay(gate: Gate, decision: Decision, record: _Record) -> Replayed | Refusal:
    kept = gate.replay(decision)
    if isinstance(kept, McpResult):
        record(decision, Outcome.OK, Reason.REPLAYED)
        return Replayed(kept.result, decision.request_id)
    refusal = Decision(Verdict.DENY, Reason.OUTCOME_UNKNOWN, request_id=decision.request_id)
    record(refusal, Outcome.REFUSED)
    return Refusal(refusal)


class _Made:
    """One call that is made."""

    def __init__(
        self,
        gate: Gate,
        call: calls.Call,
        decision: Decision,
        passage: Passage,
        record: _Record,
    ) -> None:
        self._gate = gate
        self._call = call
        self._decision = decision
        self._passage = passage
        self._record = record

    async def by(
        self,
        client: SourceClient,
        method: str,
        params: bytes,
        on_notice: Callable[[jsonrpc.Message], None],
        repeated: headers.HeaderList,
    ) -> Answer | Failure:
        """What the source answers."""
        decision, sampled = self._decision, self._passage.sampled
        fields = NONE
        if sampled is not None:
            span = traced.client(sampled)
            fields, params = propagation.named(span), propagation.params(params, span)
        beside = Beside(repeated, fields, self._sent)
        try:
            answer = await client.request(method, params, on_notice, beside)
        except errors.UpstreamError as error:
            self._record(decision, Outcome.FAILED, "unavailable")
            return Failure(error.message)
        except asyncio.CancelledError:
            self._record(decision, Outcome.GONE)
            raise
        if _is_unfinished(answer):
            self._record(decision, Outcome.FAILED, "asks-back")
            return Failure(
                f"source `{self._call.source}` asked for more than the call, which only"
                f" `/mcp/{self._call.source}` can pass on"
            )
        if decision.request_id:
            self._keep(answer)
        self._record(decision, *_outcome(answer))
        return answer

    def _sent(self, body: bytes) -> None:
        self._passage.sent_ns = self._gate.monotonic_ns()
        self._passage.sent_body = body

    def _keep(self, answer: Answer) -> None:
        body = splice.remove_own_meta(answer.body, ("result", "_meta"))
        place = splice.span(body, ("result",))
        if place is not None:
            self._gate.keep(self._decision, McpResult(body[place[0] : place[1]]))


def _repeated(served: Served, call: calls.Call) -> headers.HeaderList:
    """The arguments that the tool wants repeated as headers; prompts have nothing like that."""
    if call.family is not calls.Family.TOOLS:
        return []
    definition = served.catalog.definitions.get(call.name)
    return mirrored.repeated(definition.mirrored, call.arguments) if definition is not None else []


def _is_unfinished(answer: Answer) -> bool:
    """`input_required`, `task` and their like: the gateway's client declares none of them."""
    result = answer.message.result if answer.message is not None else None
    return result is not None and result.get("resultType", "complete") != "complete"


def _outcome(answer: Answer) -> tuple[Outcome, str]:
    message = answer.message
    if message is None or message.error is not None:
        error = message.error if message is not None else None
        return Outcome.PROTOCOL_ERROR, str(error["code"]) if error is not None else ""
    is_error = message.result is not None and message.result.get("isError") is True
    return (Outcome.TOOL_ERROR if is_error else Outcome.OK), ""
