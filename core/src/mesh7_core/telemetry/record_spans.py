"""The spans of one record: what the agent sent, how it was judged, who was asked, what went on.

Only a call that is traced has any. Names that callers choose are bounded in length and hold no
secrets that can be told, and in a span's name there are none but those that a source lists.
Pure: no clock, no network, no logging.
"""

from typing import Final

from mesh7_core.policy.calls import Call, Family
from mesh7_core.policy.decision import Decision, Verdict
from mesh7_core.policy.reasons import Reason
from mesh7_core.telemetry import chosen, context
from mesh7_core.telemetry import conventions as names
from mesh7_core.telemetry.passage import Passage, Sampled
from mesh7_core.telemetry.records import Outcome, Record
from mesh7_core.telemetry.spans import Event, Kind, Span, Value

MOST_NAME: Final = 100
"""Characters of a tool or prompt in a span's name."""
TOOL_ERROR: Final = "tool_error"
_EXECUTE: Final = "execute_tool"
_TOOLS_CALL: Final = "tools/call"
_UNLISTED: Final = frozenset({Reason.UNKNOWN_TOOL, Reason.UNKNOWN_SOURCE, Reason.NO_BUNDLE})
"""Whatever was called, nobody has looked whether there is such a name: callers make up many."""
_THROTTLED: Final = frozenset(
    {Reason.LIMIT_EXCEEDED, Reason.LIMIT_UNAVAILABLE, Reason.LOOP_DETECTED}
)
_EFFECTS: Final = {
    Verdict.ALLOW: "allow",
    Verdict.HOLD: "require_approval",
    Verdict.DENY: "deny",
}
_WAITED: Final = {
    Reason.APPROVED: "granted",
    Reason.GRANTED: "granted",
    Reason.REPLAYED: "granted",
    Reason.DENIED_BY_PERSON: "rejected",
    Reason.VETOED: "rejected",
    Reason.APPROVAL_EXPIRED: "expired",
    Reason.APPROVAL_REQUIRED: "pending",
    Reason.RUNNING: "pending",
}
_ATTRIBUTES: Final = {
    Family.TOOLS: names.TOOL,
    Family.PROMPTS: names.PROMPT,
    Family.RESOURCES: names.RESOURCE,
}
_HTTP_CLIENT_ERROR: Final = 400
_HTTP_SERVER_ERROR: Final = 500

_Said = dict[str, Value]


def spans_of(record: Record, arguments: str = "") -> tuple[Span, ...]:
    """The SERVER span first, then what it is made of; empty when the call is not traced.

    Args:
        record: of a call that is over.
        arguments: what the policies let be recorded of its arguments, masked; empty = nothing.
    """
    sampled = record.passage.sampled
    if sampled is None:
        return ()
    name, common = _name(record, sampled), _common(record, sampled)
    found = [_server(record, sampled, name, dict(common), arguments)]
    if record.passage.judged_ns or record.passage.wait_ns:
        found.append(_policy(record, sampled))
    if record.passage.wait_ns:
        found.append(_approval(record, sampled))
    if record.passage.sent_ns and sampled.client is not None:
        found.append(_client(record, sampled, name, common))
    return tuple(found)


def approval_context(sampled: Sampled) -> context.Context:
    """The span of the wait for people, which their decision links to."""
    return context.child(sampled.server, names.APPROVAL)


def waiting(passage: Passage) -> str:
    """The `traceparent` that people's decision links to; empty when the call has no trace."""
    if passage.sampled is not None:
        return approval_context(passage.sampled).traceparent
    return passage.caller.traceparent if passage.caller is not None else ""


def client_context(sampled: Sampled) -> context.Context:
    """The span of what goes to the source."""
    return context.child(sampled.server, names.CLIENT)


def _server(record: Record, sampled: Sampled, name: str, said: _Said, arguments: str) -> Span:
    decision, call, passage = record.decision, record.call, record.passage
    said[names.DOOR] = passage.door
    said[names.AGENT] = _plain(f"{call.agent.namespace}/{call.agent.service_account}")
    said |= _judgement(decision, effect_of(decision))
    if call.http is not None:
        said[names.HTTP_PATH] = _plain(call.http.path)
    for key, value in (
        (names.SESSION, _plain(sampled.session)),
        (names.DIGEST, passage.digest),
        (names.GRANTS, decision.grants),
        (names.APPROVAL_ID, decision.request_id),
        (names.ARGUMENTS, arguments),
    ):
        if value:
            said[key] = value
    error = _error(record, least_status=_HTTP_SERVER_ERROR)
    return Span(
        name=name,
        kind=Kind.SERVER,
        context=sampled.server,
        parent_id=sampled.parent.span_id if sampled.parent is not None else "",
        began_ns=record.ended_ns - record.duration_ns,
        ended_ns=record.ended_ns,
        attributes=_failed(said, error),
        error=_description(record) if error else None,
        links=() if sampled.link is None else (sampled.link,),
    )


def _policy(record: Record, sampled: Sampled) -> Span:
    passage, decision = record.passage, record.decision
    ended_ns = _wall(record, passage.wait_ns or passage.judged_ns)
    # What people said later is no part of it: the rules asked for them.
    effect = _EFFECTS[Verdict.HOLD] if passage.wait_ns else effect_of(decision)
    said = _judgement(decision, effect)
    said[names.MODE] = "enforce" if decision.would is None else "audit"
    if record.bundle:
        said[names.BUNDLE] = record.bundle
    would = decision.would
    events = () if would is None else (
        Event(name=names.WOULD, at_ns=ended_ns, attributes=_judgement(would, effect_of(would))),
    )  # fmt: skip
    return Span(
        name=names.POLICY,
        kind=Kind.INTERNAL,
        context=context.child(sampled.server, names.POLICY),
        parent_id=sampled.server.span_id,
        began_ns=record.ended_ns - record.duration_ns,
        ended_ns=ended_ns,
        attributes=said,
        events=events,
    )


def _approval(record: Record, sampled: Sampled) -> Span:
    passage, decision = record.passage, record.decision
    began_ns = _wall(record, passage.wait_ns)
    ended_ns = _wall(record, passage.judged_ns) if passage.judged_ns else record.ended_ns
    said: _Said = {names.APPROVAL_WAIT: (ended_ns - began_ns) // 1_000_000}
    if decision.request_id:
        said[names.APPROVAL_ID] = decision.request_id
    outcome = _WAITED.get(decision.reason)
    if record.outcome is Outcome.GONE and decision.verdict is Verdict.HOLD:
        outcome = "abandoned"
    if outcome is not None:
        said[names.APPROVAL_OUTCOME] = outcome
    return Span(
        name=names.APPROVAL,
        kind=Kind.INTERNAL,
        context=approval_context(sampled),
        parent_id=sampled.server.span_id,
        began_ns=began_ns,
        ended_ns=ended_ns,
        attributes=said,
    )


def _client(record: Record, sampled: Sampled, name: str, said: _Said) -> Span:
    said[names.TRANSPORT] = "tcp" if sampled.server_address else "pipe"
    error = _error(record, least_status=_HTTP_CLIENT_ERROR)
    return Span(
        name=name,
        kind=Kind.CLIENT,
        context=client_context(sampled),
        parent_id=sampled.server.span_id,
        began_ns=_wall(record, record.passage.sent_ns),
        ended_ns=record.ended_ns,
        attributes=_failed(said, error),
        error=_description(record) if error else None,
    )


def _name(record: Record, sampled: Sampled) -> str:
    call = record.call
    if call.family is Family.RESOURCES or record.decision.reason in _UNLISTED:
        return sampled.method
    name = call.source if call.http is not None else call.name
    return f"{sampled.method} {_plain(name, MOST_NAME)}" if name else sampled.method


def _common(record: Record, sampled: Sampled) -> _Said:
    """What both ends of the call say."""
    call = record.call
    said: _Said = {names.SOURCE: _plain(call.source), names.OUTCOME: record.outcome.value}
    if call.http is not None:
        said[names.HTTP_METHOD] = sampled.method
    elif record.outcome is not Outcome.DRY_RUN:
        said[names.MCP_METHOD] = sampled.method
    if sampled.method == _TOOLS_CALL:
        said[names.OPERATION] = _EXECUTE
    if call.http is None:
        said[_ATTRIBUTES[call.family]] = _shown(call)
    for key, value in (
        (names.REQUEST_ID, _plain(sampled.request_id)),
        (names.PROTOCOL, _plain(sampled.protocol)),
        (names.ADDRESS, sampled.server_address),
        (names.PORT, sampled.server_port),
        (names.HTTP_STATUS, record.status),
    ):
        if value:
            said[key] = value
    return said


def _judgement(decision: Decision, effect: str) -> _Said:
    said: _Said = {names.EFFECT: effect, names.REASON: decision.reason.value}
    if decision.rules:
        said[names.RULES] = decision.rules
    if decision.limit:
        said[names.LIMIT] = decision.limit
    return said


def effect_of(decision: Decision) -> str:
    """What was decided, in the one word that spans and metrics share."""
    return "throttle" if decision.reason in _THROTTLED else _EFFECTS[decision.verdict]


def _error(record: Record, *, least_status: int) -> str:
    """The value of `error.type`; empty when nothing is wrong."""
    match record.outcome:
        case Outcome.OK | Outcome.MOVED | Outcome.DRY_RUN:
            return ""
        case Outcome.TOOL_ERROR if record.status:
            return str(record.status) if record.status >= least_status else ""
        case Outcome.TOOL_ERROR | Outcome.REFUSED:
            return TOOL_ERROR
        case Outcome.GONE:
            return record.outcome.value
        case Outcome.FAILED | Outcome.PROTOCOL_ERROR:
            return _plain(record.detail) or record.outcome.value


def _failed(said: _Said, error: str) -> _Said:
    if error:
        said[names.ERROR] = error
        if error.startswith("-"):
            said[names.RPC_STATUS] = error
    return said


def _description(record: Record) -> str:
    if record.outcome is Outcome.REFUSED:
        return f"{record.decision.verdict.value}: {record.decision.reason.value}"
    return _plain(record.detail) or record.outcome.value


def _wall(record: Record, at_ns: int) -> int:
    """Unix time of a moment of the passage, which is monotonic."""
    return record.ended_ns - record.duration_ns + at_ns - record.passage.started_ns


def _shown(call: Call) -> str:
    return _cut(chosen.text(call.name, is_uri=call.family is Family.RESOURCES))


def _plain(text: str, most: int = chosen.MOST) -> str:
    return _cut(chosen.text(text, most=most))


def _cut(text: str) -> str:
    """Nothing in it but what can be shown."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
