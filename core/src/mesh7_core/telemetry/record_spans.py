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
MOST_REMEMBERED: Final = 512
"""Kinds of calls; there are as many as tools, decisions and outcomes come together."""
_HTTP_CLIENT_ERROR: Final = 400
_HTTP_SERVER_ERROR: Final = 500

_Said = dict[str, Value]
_Place = tuple[
    int, int, Family, str, str, bool, Outcome, int, str, str, str, str, str, str, int, bool
]


class Spans:
    """Makes them, and remembers what those of like calls have in common: most calls are alike."""

    def __init__(self) -> None:
        self._texts = chosen.Texts()
        self._alike: dict[_Place, _Alike] = {}

    def of(self, record: Record, arguments: str = "") -> tuple[Span, ...]:
        """The SERVER span first, then what it is made of; empty when the call is not traced.

        Args:
            record: of a call that is over.
            arguments: what the policies let be recorded of its arguments, masked; empty = nothing.
        """
        passage, sampled = record.passage, record.passage.sampled
        if sampled is None:
            return ()
        alike = self._common(record, sampled)
        identifier = self._identifier(sampled.request_id)
        found = [_server(record, sampled, alike, self._own(record, sampled, identifier, arguments))]
        if passage.judged_ns or passage.wait_ns:
            found.append(_policy(record, sampled, alike))
        if passage.wait_ns:
            found.append(_approval(record, sampled))
        if passage.sent_ns and sampled.client is not None:
            found.append(_client(record, sampled, sampled.client, alike, identifier))
        return tuple(found)

    def _common(self, record: Record, sampled: Sampled) -> "_Alike":
        passage, call = record.passage, record.call
        # An id is that of one object as long as it lives, and what is remembered keeps it alive.
        place = (
            id(record.decision), id(call.agent), call.family, call.source, call.name,
            call.http is None, record.outcome, record.status, record.detail, record.bundle,
            passage.door, sampled.method, sampled.protocol, sampled.server_address,
            sampled.server_port, passage.wait_ns > 0,
        )  # fmt: skip
        found = self._alike.get(place)
        if found is not None:
            return found
        made = _Alike(record, sampled)
        if max(map(len, (call.name, call.source, record.detail, sampled.protocol))) <= chosen.MOST:
            if len(self._alike) >= MOST_REMEMBERED:
                self._alike.clear()
            self._alike[place] = made
        return made

    def _own(self, record: Record, sampled: Sampled, identifier: str, arguments: str) -> _Said:
        """What the SERVER span of this call alone says."""
        said: _Said = {names.REQUEST_ID: identifier} if identifier else {}
        if record.call.http is not None:
            said[names.HTTP_PATH] = _cut(self._texts.text(record.call.http.path))
        if sampled.session:
            said[names.SESSION] = _cut(self._texts.text(sampled.session))
        if record.passage.digest:
            said[names.DIGEST] = record.passage.digest
        if arguments:
            said[names.ARGUMENTS] = arguments
        return said

    def _identifier(self, given: str) -> str:
        # Most are numbers, each another one, and there is nothing in a number to mask.
        if given.isdecimal() and len(given) <= chosen.MOST:
            return given
        return _cut(self._texts.text(given))


class _Alike:
    """What calls have in common that one agent made by one door, with one decision and outcome.

    Attributes:
        decision, agent: kept, so that no others have their ids.
        name: of the SERVER and of the CLIENT span.
        server, policy, client: attributes of the three; nobody changes them.
        would: attributes of the event that says what audit mode would do; None = there is none.
        server_error, client_error: as `Span.error`.
    """

    __slots__ = (
        "agent", "client", "client_error", "decision", "name", "policy", "server", "server_error",
        "would",
    )  # fmt: skip

    def __init__(self, record: Record, sampled: Sampled) -> None:
        decision, agent = record.decision, record.call.agent
        self.decision, self.agent = decision, agent
        self.name = _name(record, sampled)
        common = _common(record, sampled)
        error = _error(record, least_status=_HTTP_SERVER_ERROR)
        self.server = _failed(common | _serving(record), error)
        self.server_error = _description(record) if error else None
        error = _error(record, least_status=_HTTP_CLIENT_ERROR)
        transport: _Said = {names.TRANSPORT: "tcp" if sampled.server_address else "pipe"}
        self.client = _failed(common | transport, error)
        self.client_error = _description(record) if error else None
        self.policy = _judging(record)
        would = decision.would
        self.would = None if would is None else _judgement(would, effect_of(would))


def spans_of(record: Record, arguments: str = "") -> tuple[Span, ...]:
    """Those of one record; `Spans.of` for many."""
    return Spans().of(record, arguments)


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


def _server(record: Record, sampled: Sampled, alike: _Alike, own: _Said) -> Span:
    return Span(
        name=alike.name,
        kind=Kind.SERVER,
        context=sampled.server,
        parent_id=sampled.parent.span_id if sampled.parent is not None else "",
        began_ns=record.ended_ns - record.duration_ns,
        ended_ns=record.ended_ns,
        attributes=alike.server | own,
        error=alike.server_error,
        links=() if sampled.link is None else (sampled.link,),
    )


def _policy(record: Record, sampled: Sampled, alike: _Alike) -> Span:
    ended_ns = _wall(record, record.passage.wait_ns or record.passage.judged_ns)
    would = alike.would
    return Span(
        name=names.POLICY,
        kind=Kind.INTERNAL,
        context=context.child(sampled.server, names.POLICY),
        parent_id=sampled.server.span_id,
        began_ns=record.ended_ns - record.duration_ns,
        ended_ns=ended_ns,
        attributes=alike.policy,
        events=()
        if would is None
        else (Event(name=names.WOULD, at_ns=ended_ns, attributes=would),),
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


def _client(
    record: Record, sampled: Sampled, own: context.Context, alike: _Alike, identifier: str
) -> Span:
    said = alike.client
    return Span(
        name=alike.name,
        kind=Kind.CLIENT,
        context=own,
        parent_id=sampled.server.span_id,
        began_ns=_wall(record, record.passage.sent_ns),
        ended_ns=record.ended_ns,
        attributes=said | {names.REQUEST_ID: identifier} if identifier else said,
        error=alike.client_error,
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
    said |= _set({
        names.PROTOCOL: _plain(sampled.protocol),
        names.ADDRESS: sampled.server_address,
        names.PORT: sampled.server_port,
        names.HTTP_STATUS: record.status,
    })  # fmt: skip
    return said


def _serving(record: Record) -> _Said:
    decision, agent = record.decision, record.call.agent
    said = _judgement(decision, effect_of(decision))
    said[names.DOOR] = record.passage.door
    said[names.AGENT] = _plain(f"{agent.namespace}/{agent.service_account}")
    return said | _set({names.GRANTS: decision.grants, names.APPROVAL_ID: decision.request_id})


def _judging(record: Record) -> _Said:
    decision = record.decision
    # What people said later is no part of it: the rules asked for them.
    effect = _EFFECTS[Verdict.HOLD] if record.passage.wait_ns else effect_of(decision)
    said = _judgement(decision, effect)
    said[names.MODE] = "enforce" if decision.would is None else "audit"
    return said | _set({names.BUNDLE: record.bundle})


def _judgement(decision: Decision, effect: str) -> _Said:
    said: _Said = {names.EFFECT: effect, names.REASON: decision.reason.value}
    return said | _set({names.RULES: decision.rules, names.LIMIT: decision.limit})


def _set(said: _Said) -> _Said:
    """Without what is empty or 0: that is not said."""
    return {name: value for name, value in said.items() if value}


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
