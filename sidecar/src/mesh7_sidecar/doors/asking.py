"""One call by the gateway's own client: for doors behind which the agent speaks no MCP to a source.

The same steps as on the data path (`post.Post`), as a coroutine: look the name up, judge, ask the
source, record.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from mesh7_core import errors
from mesh7_core.policy import calls
from mesh7_core.policy.decision import SOURCE_UNAVAILABLE, UNKNOWN_TOOL, Decision, Verdict
from mesh7_core.telemetry.records import Outcome
from mesh7_sidecar.gate.gate import Gate
from mesh7_sidecar.sources.client import SourceClient, ignore
from mesh7_sidecar.sources.conversation import Answer
from mesh7_sidecar.sources.registry import Served
from mesh7_sidecar.wire import headers, jsonrpc, mirrored


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


async def decide(gate: Gate, served: Served, call: calls.Call) -> Decision:
    """What is decided about a call, the source's own list of tools considered."""
    if call.family is calls.Family.TOOLS:
        if served.problem:
            return SOURCE_UNAVAILABLE
        catalog = served.catalog
        if catalog.needs_reading(call.name):
            await catalog.read()
        if not catalog.knows(call.name):
            return UNKNOWN_TOOL if catalog.was_read else SOURCE_UNAVAILABLE
    decided: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
    gate.judge(call, decided.set_result)
    return await decided


async def ask(  # noqa: PLR0913 - each says another thing
    gate: Gate,
    served: Served,
    client: SourceClient,
    call: calls.Call,
    method: str,
    params: bytes,
    door: str,
    trace_id: str = "",
    on_notice: Callable[[jsonrpc.Message], None] = ignore,
) -> Answer | Refusal | Failure:
    """Judge a call, make it when it is allowed, and record it.

    Args:
        params: the request's `params` as JSON, the upstream's own names in it.
        on_notice: gets notifications that precede the answer.
    """
    started_ns = gate.monotonic_ns()
    if served.problem:
        gate.record(call, SOURCE_UNAVAILABLE, Outcome.REFUSED, door, started_ns, trace_id)
        return Failure(served.problem)
    decision = await decide(gate, served, call)

    def record(outcome: Outcome, detail: str = "") -> None:
        gate.record(call, decision, outcome, door, started_ns, trace_id, detail)

    if decision.verdict is not Verdict.ALLOW:
        record(Outcome.REFUSED)
        return Refusal(gate.told(call, decision))
    try:
        answer = await client.request(method, params, on_notice, _repeated(served, call))
    except errors.UpstreamError as error:
        record(Outcome.FAILED, "unavailable")
        return Failure(error.message)
    except asyncio.CancelledError:
        record(Outcome.GONE)
        raise
    if _is_unfinished(answer):
        record(Outcome.FAILED, "asks-back")
        return Failure(
            f"source `{call.source}` asked for more than the call, which only"
            f" `/mcp/{call.source}` can pass on"
        )
    record(*_outcome(answer))
    return answer


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
