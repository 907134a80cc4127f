"""One MCP message on its way in: read, classify, judge, pass on or refuse.

The steps of design 3 in their order, as callbacks; nothing here waits and nothing makes a task,
but for a catalog that has to be read first.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from mesh7_core.policy import calls, decision
from mesh7_core.policy.decision import Decision, Verdict
from mesh7_core.policy.reasons import Reason
from mesh7_core.telemetry.passage import Passage
from mesh7_core.telemetry.records import Outcome
from mesh7_sidecar.doors import held, traced
from mesh7_sidecar.doors.inbound import DOOR, Inbound
from mesh7_sidecar.doors.relay import Relay
from mesh7_sidecar.doors.sessions import answers_nothing, unknown_session
from mesh7_sidecar.doors.waiting import CANCELLED
from mesh7_sidecar.gate.kept import McpResult
from mesh7_sidecar.net import upstream
from mesh7_sidecar.wire import answers, jsonrpc, mcp, meta, mirrored, propagation

_KIND = mcp.Kind
_JUDGED: Final = frozenset({_KIND.READ, _KIND.PROMPT, _KIND.SUBSCRIBE, _KIND.COMPLETE})
_PASSED: Final = frozenset({_KIND.LIST, _KIND.DISCOVER, _KIND.PASS, _KIND.NOTICE})
_DEFINING: Final = frozenset({_KIND.LIST, _KIND.DISCOVER, _KIND.INITIALIZE})
"""Answered with definitions or parts of them, which pinning holds against the gateway's list."""
_TOOL_CALL = _KIND.TOOL_CALL
_BY_PEOPLE: Final = frozenset({Reason.APPROVED, Reason.GRANTED})


def read(inbound: Inbound, body: bytes) -> None:
    """Take the whole body."""
    started_ns = inbound.state.gate.monotonic_ns()
    message = jsonrpc.parse(body)
    if not isinstance(message, jsonrpc.Message):
        answers.respond_malformed(inbound.exchange.respond, message)
        return
    asked = mcp.classify(message, inbound.prepared.routing)
    if not isinstance(asked, mcp.Asked):
        answers.respond_malformed(inbound.exchange.respond, asked)
        return
    inbound.asked = asked
    inbound.passage = _passage(inbound, started_ns)
    # In either era: the id goes on to the source, whatever the source makes of it (X16).
    if inbound.prepared.session and not _find_session(inbound):
        return
    if inbound.served.problem:
        _answer_problem(inbound)
    elif asked.kind is _TOOL_CALL:
        _take_tool_call(inbound)
    elif asked.kind in _DEFINING and inbound.served.catalog.is_wanted:
        _after_reading(inbound, lambda: _take(inbound, asked.kind))
    else:
        _take(inbound, asked.kind)


def _passage(inbound: Inbound, started_ns: int) -> Passage:
    """Of what is judged and recorded; the rest goes on as it came, and is not traced."""
    gate, asked, caller = inbound.state.gate, inbound.asked, inbound.prepared.caller
    if asked.kind is not _TOOL_CALL and asked.kind not in _JUDGED:
        return Passage(DOOR, started_ns, caller)
    passage = gate.traces.begin(DOOR, started_ns, caller, asked.message.params.get("_meta"))
    if passage.sampled is not None:
        traced.describe(passage.sampled, asked, inbound.served, inbound.prepared.session)
    return passage


def _find_session(inbound: Inbound) -> bool:
    state, prepared = inbound.state, inbound.prepared
    inbound.session = state.sessions.find(
        inbound.exchange.identity,
        prepared.source,
        prepared.session,
        state.clock_s(),
        inbound.served,
    )
    if inbound.session is None:
        refusal = unknown_session(inbound.asked.message.id)
        answers.respond_malformed(inbound.exchange.respond, refusal)
        return False
    return True


def _take_tool_call(inbound: Inbound) -> None:
    catalog = inbound.served.catalog
    if catalog.needs_reading(inbound.asked.name):
        _after_reading(inbound, lambda: _look_up(inbound))
    else:
        _look_up(inbound)


def _after_reading(inbound: Inbound, go_on: Callable[[], None]) -> None:
    reading = asyncio.ensure_future(inbound.served.catalog.read())
    reading.add_done_callback(lambda _: go_on())


def _look_up(inbound: Inbound) -> None:
    """Unlisted names go nowhere: the source's own answer would tell hidden from unknown."""
    catalog, asked = inbound.served.catalog, inbound.asked
    definition = catalog.definitions.get(asked.name)
    if definition is not None:
        inbound.definition = definition.digest
        if definition.mirrored:
            inbound.mirrored = definition.mirrored
            received = inbound.prepared.routing.params
            wanted = inbound.mirrored
            if not asked.is_modern:
                wanted = mirrored.sent(wanted, received)
            fault = mirrored.mismatch(wanted, asked.arguments, received)
            if fault is not None:
                _refuse(inbound, fault, jsonrpc.HEADER_MISMATCH)
                return
        _judge(inbound)
    else:
        _judged(inbound, catalog.refusal(asked.name))


def _take(inbound: Inbound, kind: mcp.Kind) -> None:
    if kind in _JUDGED:
        _judge(inbound)
    elif kind is _KIND.NOTICE and _cancels(inbound):
        inbound.exchange.respond(202, [], b"")
    elif kind in _PASSED or (kind is _KIND.INITIALIZE and inbound.session is None):
        _pass_on(inbound)
    elif kind is _KIND.IGNORED:
        inbound.exchange.respond(202, [], b"")
    elif kind is _KIND.ANSWER:
        _take_answer(inbound)
    elif kind is _KIND.LISTEN:
        _take_listen(inbound)
    elif kind is _KIND.TASK:
        _take_task(inbound)
    else:
        _refuse(inbound, "a session is initialized once")


def _cancels(inbound: Inbound) -> bool:
    """Whether it ended a held call, of which the source has never heard."""
    message = inbound.asked.message
    if message.method != CANCELLED:
        return False
    key = inbound.key(message.params.get("requestId"))
    return key is not None and inbound.state.held.cancel(key)


def _take_answer(inbound: Inbound) -> None:
    if inbound.session is not None and inbound.session.may_answer(inbound.asked.message.id):
        _pass_on(inbound)
    else:
        refusal = answers_nothing(inbound.asked.message.id)
        answers.respond_malformed(inbound.exchange.respond, refusal)


def _take_listen(inbound: Inbound) -> None:
    wanted = mcp.listened_resources(inbound.asked.message)
    if isinstance(wanted, jsonrpc.Malformed):
        answers.respond_malformed(inbound.exchange.respond, wanted)
        return
    for uri in wanted:
        verdict = inbound.state.gate.decide(inbound.call_to(calls.Family.RESOURCES, uri))
        if verdict.verdict is not Verdict.ALLOW:
            inbound.asked.name = uri
            _judged(inbound, verdict)
            return
    # Reading what one may subscribe to is judged again; the subscription itself is no call.
    inbound.call = None
    _pass_on(inbound)


def _take_task(inbound: Inbound) -> None:
    agent, source = inbound.exchange.identity, inbound.prepared.source
    if inbound.state.tasks.belongs(agent, source, inbound.asked.name):
        _pass_on(inbound)
    else:
        _refuse(inbound, "there is no such task")


def _judge(inbound: Inbound) -> None:
    asked = inbound.asked
    call = inbound.call_to(asked.family or calls.Family.TOOLS, asked.name)
    inbound.state.gate.judge(
        call,
        inbound.passage,
        lambda found: _judged(inbound, found),
        lambda wait: held.hold(inbound, wait),
        inbound.served.is_open,
    )


def _judged(inbound: Inbound, found: Decision) -> None:
    inbound.decision = found
    inbound.passage.judged_ns = inbound.state.gate.monotonic_ns()
    if inbound.end_wait is not None:
        inbound.end_wait()
    call = inbound.call or inbound.call_to(calls.Family.TOOLS, inbound.asked.name)
    if inbound.exchange.is_gone:
        inbound.record(Outcome.GONE)
    elif found.verdict is Verdict.ALLOW:
        if found.reason is Reason.REPLAYED:
            _replay(inbound, found)
        else:
            _pass_on(inbound)
    else:
        shown = inbound.state.gate.told(call, found)
        inbound.respond(*answers.refusal(shown, inbound.asked, call.full_name))
        inbound.record(Outcome.REFUSED)


def _replay(inbound: Inbound, found: Decision) -> None:
    """Answer what an identical call was answered a moment ago; nothing goes to the source."""
    kept = inbound.state.gate.replay(found)
    if isinstance(kept, McpResult):
        inbound.respond(*answers.replayed(kept.result, inbound.asked, found.request_id))
        inbound.record(Outcome.OK, Reason.REPLAYED)
    else:
        # Another kind of tool under this name a moment ago: what it answered fits nobody here.
        refusal = Decision(Verdict.DENY, Reason.OUTCOME_UNKNOWN, request_id=found.request_id)
        inbound.decision = refusal
        inbound.respond(*answers.refusal(refusal, inbound.asked, inbound.asked.name))
        inbound.record(Outcome.REFUSED)


def _answer_problem(inbound: Inbound) -> None:
    """Nothing goes to a source whose credential is missing; the answer says which."""
    asked = inbound.asked
    inbound.exchange.respond(*answers.source_failure(asked, inbound.served.problem))
    if asked.kind is _TOOL_CALL:
        inbound.call_to(calls.Family.TOOLS, asked.name)
        inbound.decision = decision.SOURCE_UNAVAILABLE
        inbound.record(Outcome.REFUSED)


def _refuse(inbound: Inbound, text: str, code: int = jsonrpc.INVALID_REQUEST) -> None:
    refusal = jsonrpc.Malformed(400, code, text, inbound.asked.message.id)
    answers.respond_malformed(inbound.exchange.respond, refusal)


def _pass_on(inbound: Inbound) -> None:
    served, asked = inbound.served, inbound.asked
    body = meta.without_ours(asked.message)
    relay = Relay(inbound)
    block = _block(inbound)
    if inbound.call is not None:
        passage = inbound.passage
        if passage.sampled is not None:
            span = traced.client(passage.sampled)
            block = propagation.block(block, span)
            body = propagation.message(body, span)
        # Nothing is done between the two, and reading the clock is not for nothing.
        passage.sent_ns = passage.judged_ns
        passage.sent_body = body
    request = upstream.Request("POST", served.base, served.fixed, body, None, block)
    way = served.way
    if asked.kind is _KIND.LISTEN:
        request.terms = served.endless
        way = served.streams
        inbound.state.streams[inbound.exchange] = lambda: _may_listen(inbound)
    inbound.exchange.on_gone = relay.gone
    relay.sending = way.send(request, relay)


def _block(inbound: Inbound) -> bytes:
    if inbound.decision is not None and inbound.decision.reason in _BY_PEOPLE:
        return inbound.prepared.exact_block(inbound.mirrored)
    return inbound.prepared.block


def _may_listen(inbound: Inbound) -> bool:
    """Whether sources and policy in force would open this subscription."""
    if not inbound.state.serves(inbound.served):
        return False
    wanted = mcp.listened_resources(inbound.asked.message)
    agent, source = inbound.exchange.identity, inbound.prepared.source
    return not isinstance(wanted, jsonrpc.Malformed) and all(
        inbound.state.gate.may_call(agent, calls.Family.RESOURCES, source, uri) for uri in wanted
    )
