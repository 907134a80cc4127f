"""A source's one answer to one request: checked, filtered where it is a list, else as it came.

An answer must carry the id that was asked and an object as its result. Lists lose what the agent
may not call; `input_required` results lose nothing but are refused when they ask for what the
ToolSource does not let through.
"""

from typing import Final

from mesh7_core.policy import calls
from mesh7_core.policy.decision import Decision
from mesh7_core.telemetry.records import Outcome
from mesh7_sidecar.doors import server_messages
from mesh7_sidecar.doors.inbound import Inbound
from mesh7_sidecar.gate.kept import McpResult
from mesh7_sidecar.net.exchange import Headers
from mesh7_sidecar.wire import answers, headers, jsonrpc, lists, mcp, results, splice

OK: Final = 200
NOT_FOUND: Final = 404
_INSTRUCTING: Final = frozenset({mcp.Kind.INITIALIZE, mcp.Kind.DISCOVER})
_INSTRUCTIONS: Final = "instructions"
PASSED_STATUSES: Final = frozenset({400, NOT_FOUND})
"""Statuses that have a meaning in MCP and reach the agent as they are."""


class Ending:
    """What the agent gets, and what the record says. A plain slotted class: one a call.

    Attributes:
        body: the very object the source sent when nothing had to change.
    """

    __slots__ = ("body", "detail", "outcome", "status")

    def __init__(self, body: bytes, outcome: Outcome, detail: str = "", status: int = OK) -> None:
        self.body = body
        self.outcome = outcome
        self.detail = detail
        self.status = status


def judge(inbound: Inbound, body: bytes, fields: Headers) -> Ending:
    """Check one answer and make it what the agent gets.

    Args:
        inbound: of a request, so that it has an id.
    """
    asked = inbound.asked
    if asked.message.id is None:
        return _instead(inbound, "answered a message that was no request")
    if asked.kind is mcp.Kind.LIST:
        return _list(inbound, body, asked.message.id)
    fit = results.check(body, asked.message.id)
    if isinstance(fit, results.Unfit):
        return _instead(inbound, fit.what)
    if fit.is_protocol_error:
        return Ending(fit.body, Outcome.PROTOCOL_ERROR, fit.code)
    if fit.input_methods and not _may_ask(inbound, fit.input_methods):
        return _instead(inbound, "asked for input that its ToolSource does not let through")
    if fit.result_type == "task":
        _note_task(inbound, fit.result)
    if inbound.decision is not None and inbound.decision.request_id:
        _keep(inbound, inbound.decision, fit)
    if asked.kind in _INSTRUCTING:
        note_session(inbound, fields)
        return Ending(_instructed(inbound, fit), Outcome.OK)
    return Ending(fit.body, Outcome.TOOL_ERROR if fit.is_tool_error else Outcome.OK)


def _instructed(inbound: Inbound, fit: results.Fit) -> bytes:
    """The answer, without instructions that pinning does not let through.

    Those of an answer too large to be parsed cannot be judged, and neither can those under a key
    that only some clients read as `instructions`.
    """
    catalog, result = inbound.served.catalog, fit.result
    if not catalog.pins.is_on:
        return fit.body
    found = result.get(_INSTRUCTIONS, "") if result is not None else None
    is_clear = isinstance(found, str) and not any(_is_twin(key) for key in result or ())
    may_pass = catalog.may_instruct(found if isinstance(found, str) else "")
    if may_pass and (is_clear or not catalog.pins.is_enforced):
        return fit.body
    return splice.remove_keys(
        fit.body, ("result",), lambda key: key == _INSTRUCTIONS or _is_twin(key)
    )


def _is_twin(key: str) -> bool:
    return key != _INSTRUCTIONS and key.casefold() == _INSTRUCTIONS


def note_session(inbound: Inbound, fields: Headers) -> None:
    """Bind the session id that an `initialize` was answered with to the agent that asked."""
    if inbound.asked.kind is not mcp.Kind.INITIALIZE:
        return
    for name, value in fields:
        if name == headers.SESSION_ID:
            identifier = value.decode("latin-1")
            state, agent = inbound.state, inbound.exchange.identity
            state.sessions.open(
                agent, inbound.prepared.source, identifier, state.clock_s(), inbound.served
            )


def _note_task(inbound: Inbound, result: dict[str, object] | None) -> None:
    """Bind a task's id to the agent that the source gave it to."""
    if result is None:
        return
    task = result.get("task")
    identifier = task.get("taskId") if isinstance(task, dict) else result.get("taskId")
    if isinstance(identifier, str):
        inbound.state.tasks.remember(inbound.exchange.identity, inbound.prepared.source, identifier)


def _may_ask(inbound: Inbound, methods: tuple[str, ...]) -> bool:
    source = inbound.served.source
    return all(server_messages.is_allowed(source, method) for method in methods)


def _keep(inbound: Inbound, decision: Decision, fit: results.Fit) -> None:
    """Whoever repeats an approved call gets its result; one that asks back may go on."""
    gate = inbound.state.gate
    if fit.result_type != "input_required":
        place = splice.span(fit.body, ("result",))
        if place is not None:
            gate.keep(decision, McpResult(fit.body[place[0] : place[1]]))
    elif inbound.call is not None and fit.result is not None:
        asked_with = fit.result.get("requestState")
        if isinstance(asked_with, str):
            gate.continues(decision, asked_with)


def _list(inbound: Inbound, body: bytes, wanted: int | str) -> Ending:
    agent, source = inbound.exchange.identity, inbound.prepared.source
    family = inbound.asked.family or calls.Family.TOOLS
    showing, may_call = inbound.served.catalog.showing(), inbound.state.gate.may_call

    def keep(entry: lists.Entry) -> bool:
        if family is calls.Family.TOOLS and not showing.may_show(entry):
            return False
        return may_call(agent, family, source, entry.judged)

    # Lists are read strictly, whatever their size: what cannot be read cannot be filtered.
    message = jsonrpc.parse(body)
    if isinstance(message, jsonrpc.Malformed) or message.kind is not jsonrpc.Kind.RESPONSE:
        return _instead(inbound, "sent a list that cannot be read")
    if message.id != wanted or type(message.id) is not type(wanted):
        return _instead(inbound, "answered another request than the one it was asked")
    filtered = lists.filter_list(body, inbound.asked.message.method, keep)
    showing.end()
    if isinstance(filtered, jsonrpc.Malformed):
        return _instead(inbound, "sent a list that cannot be read")
    inbound.served.tell_dropped(inbound.asked.message.method, filtered.dropped)
    return Ending(filtered.body, Outcome.OK)


def _instead(inbound: Inbound, what: str) -> Ending:
    message = f"source `{inbound.served.source.name}` {what}"
    status, _, body = answers.source_failure(inbound.asked, message)
    return Ending(body, Outcome.FAILED, "malformed", status)
