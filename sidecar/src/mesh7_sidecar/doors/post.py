"""One MCP message on its way in: read, classify, judge, pass on or refuse.

The steps of design 3 in their order, as callbacks; nothing here waits and nothing makes a task,
but for a catalog that has to be read first.
"""

import asyncio
from typing import Final

from mesh7_core.policy import calls
from mesh7_core.policy.decision import Decision, Verdict
from mesh7_core.policy.reasons import Reason
from mesh7_core.telemetry.records import Outcome
from mesh7_sidecar.doors.prepared import Prepared
from mesh7_sidecar.doors.relay import Relay
from mesh7_sidecar.doors.sessions import Session, unknown_session
from mesh7_sidecar.doors.state import McpState
from mesh7_sidecar.net import upstream
from mesh7_sidecar.net.exchange import Exchange
from mesh7_sidecar.sources.registry import Served
from mesh7_sidecar.wire import answers, jsonrpc, mcp, meta, mirrored

DOOR: Final = "mcp"
UNKNOWN_TOOL: Final = Decision(Verdict.DENY, Reason.UNKNOWN_TOOL)
UNAVAILABLE: Final = Decision(Verdict.DENY, Reason.SOURCE_UNAVAILABLE)
_KIND = mcp.Kind
_JUDGED: Final = frozenset({_KIND.READ, _KIND.PROMPT, _KIND.SUBSCRIBE, _KIND.COMPLETE})
_PASSED: Final = frozenset({_KIND.LIST, _KIND.DISCOVER, _KIND.PASS, _KIND.NOTICE})
_TOOL_CALL = _KIND.TOOL_CALL


class Post:
    """One POST.

    Attributes:
        asked: what the message asks for.
        call: what is judged; None for what needs no judging.
        decision: what was decided; None before.
        session: the legacy session it belongs to, if any.
    """

    __slots__ = (
        "asked", "call", "decision", "exchange", "prepared", "served", "session", "started_ns",
        "state",
    )  # fmt: skip

    asked: mcp.Asked

    def __init__(
        self, state: McpState, exchange: Exchange, prepared: Prepared, served: Served
    ) -> None:
        self.state = state
        self.exchange = exchange
        self.prepared = prepared
        self.served = served
        self.call: calls.Call | None = None
        self.decision: Decision | None = None
        self.session: Session | None = None
        self.started_ns = 0

    def read(self, _: Exchange, body: bytes) -> None:
        """Take the whole body."""
        self.started_ns = self.state.gate.monotonic_ns()
        message = jsonrpc.parse(body)
        if not isinstance(message, jsonrpc.Message):
            answers.respond_malformed(self.exchange.respond, message)
            return
        asked = mcp.classify(message, self.prepared.routing)
        if not isinstance(asked, mcp.Asked):
            answers.respond_malformed(self.exchange.respond, asked)
            return
        self.asked = asked
        # In either era: the id goes on to the source, whatever the source makes of it (X16).
        if self.prepared.session and not self._find_session():
            return
        if self.served.problem:
            self._answer_problem()
        elif asked.kind is _TOOL_CALL:
            self._take_tool_call()
        else:
            self._take(asked.kind)

    def record(self, outcome: Outcome, detail: str = "") -> None:
        """Write the call's one record; what was not judged has none."""
        if self.call is not None and self.decision is not None:
            self.state.gate.record(
                self.call, self.decision, outcome, DOOR, self.started_ns,
                self.prepared.trace_id, detail,
            )  # fmt: skip

    def _find_session(self) -> bool:
        state, prepared = self.state, self.prepared
        self.session = state.sessions.find(
            self.exchange.identity, prepared.source, prepared.session, state.clock_s()
        )
        if self.session is None:
            refusal = unknown_session(self.asked.message.id)
            answers.respond_malformed(self.exchange.respond, refusal)
            return False
        return True

    def _take_tool_call(self) -> None:
        catalog = self.served.catalog
        if catalog.needs_reading(self.asked.name):
            reading = asyncio.ensure_future(catalog.read())
            reading.add_done_callback(lambda _: self._look_up())
        else:
            self._look_up()

    def _look_up(self) -> None:
        """Unlisted names go nowhere: the source's own answer would tell hidden from unknown."""
        catalog, asked = self.served.catalog, self.asked
        definition = catalog.definitions.get(asked.name)
        if definition is not None:
            if definition.mirrored and asked.is_modern:
                fault = mirrored.mismatch(
                    definition.mirrored, asked.arguments, self.prepared.routing.params
                )
                if fault is not None:
                    self._refuse(fault, jsonrpc.HEADER_MISMATCH)
                    return
            self.state.gate.judge(self._call(), self._judged)
        elif catalog.was_read:
            self._judged(UNKNOWN_TOOL)
        else:
            self._judged(UNAVAILABLE)

    def _take(self, kind: mcp.Kind) -> None:
        if kind in _JUDGED:
            self.state.gate.judge(self._call(), self._judged)
        elif kind in _PASSED or (kind is _KIND.INITIALIZE and self.session is None):
            self._pass_on()
        elif kind is _KIND.IGNORED:
            self.exchange.respond(202, [], b"")
        elif kind is _KIND.ANSWER:
            self._take_answer()
        elif kind is _KIND.LISTEN:
            self._take_listen()
        elif kind is _KIND.TASK:
            self._take_task()
        else:
            self._refuse("a session is initialized once")

    def _take_answer(self) -> None:
        if self.session is not None and self.session.may_answer(self.asked.message.id):
            self._pass_on()
        else:
            self._refuse("this answers no request that was let through in this session")

    def _take_listen(self) -> None:
        wanted = mcp.listened_resources(self.asked.message)
        if isinstance(wanted, jsonrpc.Malformed):
            answers.respond_malformed(self.exchange.respond, wanted)
            return
        for uri in wanted:
            call = self._call(calls.Family.RESOURCES, uri)
            decision = self.state.gate.decide(call)
            if decision.verdict is not Verdict.ALLOW:
                self.call = call
                self._judged(decision)
                return
        self._pass_on()

    def _take_task(self) -> None:
        agent, source = self.exchange.identity, self.prepared.source
        if self.state.tasks.belongs(agent, source, self.asked.name):
            self._pass_on()
        else:
            self._refuse("there is no such task")

    def _call(self, family: calls.Family | None = None, name: str = "") -> calls.Call:
        asked, source = self.asked, self.served.source
        call = self.call = calls.Call(
            self.exchange.identity,
            family or asked.family or calls.Family.TOOLS,
            source.name,
            name or asked.name,
            asked.arguments,
            calls.SourceKind.MCP,
            source.host,
            None,
            self.prepared.counted_session,
        )
        return call

    def _judged(self, decision: Decision) -> None:
        self.decision = decision
        if self.call is None:
            self._call()
        if self.exchange.is_gone:
            self.record(Outcome.GONE)
        elif decision.verdict is Verdict.ALLOW:
            self._pass_on()
        else:
            self._answer_refusal(decision)

    def _answer_refusal(self, decision: Decision) -> None:
        call = self.call
        if call is None:
            return
        shown = decision
        if decision.verdict is Verdict.DENY and not self.state.gate.may_call(
            call.agent, call.family, call.source, call.name
        ):
            # What no list shows must answer like what does not exist (design 4).
            shown = UNKNOWN_TOOL if decision.reason is not Reason.NO_BUNDLE else decision
        status, fields, body = answers.refusal(shown, self.asked, call.full_name)
        self.exchange.respond(status, fields, body)
        self.record(Outcome.REFUSED)

    def _answer_problem(self) -> None:
        """Nothing goes to a source whose credential is missing; the answer says which."""
        asked = self.asked
        self.exchange.respond(*answers.source_failure(asked, self.served.problem))
        if asked.kind is _TOOL_CALL:
            self._call()
            self.decision = UNAVAILABLE
            self.record(Outcome.REFUSED)

    def _refuse(self, text: str, code: int = jsonrpc.INVALID_REQUEST) -> None:
        refusal = jsonrpc.Malformed(400, code, text, self.asked.message.id)
        answers.respond_malformed(self.exchange.respond, refusal)

    def _pass_on(self) -> None:
        message = self.asked.message
        body = meta.without_ours(message)
        relay = Relay(self)
        request = upstream.Request(
            "POST", self.served.base, self.served.fixed, body, None, self.prepared.block
        )
        if self.asked.kind is _KIND.LISTEN:
            request.terms = self.served.endless
            self.state.streams.add(self.exchange)
        self.exchange.on_gone = relay.gone
        relay.sending = self.served.way.send(request, relay)
