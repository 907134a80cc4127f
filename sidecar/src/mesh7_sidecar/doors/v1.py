"""The doors under `/v1`: tools for programs that do not speak MCP, and a dry run of the judge.

`GET /v1/tools` lists what the agent may call, `POST /v1/tools/<source>.<tool>` calls it and answers
the tool's result object, `POST /v1/decide` says what would be decided without doing it.
"""

from collections import deque
from typing import Final

import orjson

from mesh7_core.policy import calls
from mesh7_core.policy.decision import NO_BUNDLE, UNKNOWN_TOOL, Decision, Verdict
from mesh7_core.policy.reasons import Reason
from mesh7_core.telemetry.passage import Passage
from mesh7_core.telemetry.records import Outcome
from mesh7_sidecar.doors import asking, traced
from mesh7_sidecar.doors.state import McpState
from mesh7_sidecar.doors.work import Work
from mesh7_sidecar.net.exchange import Exchange, RequestHead
from mesh7_sidecar.sources.conversation import Answer
from mesh7_sidecar.sources.registry import Served
from mesh7_sidecar.wire import answers, headers, jsonrpc, paths, splice

METHOD: Final = "tools/call"
DRY_RUNS_PER_SECOND: Final = 100
LATE: Final = "did not list its tools in time"


class ToolsDoor:
    """`GET /v1/tools`: every tool the agent may call, by full name."""

    def __init__(self, state: McpState, work: Work) -> None:
        self._state = state
        self._work = work

    def prepare(self, _: RequestHead, __: paths.ToolsRoute) -> None:
        """Nothing follows from the head."""

    def open(self, exchange: Exchange, _: None) -> None:
        """Answer the list, or that there is no bundle yet: an empty list would be believed."""
        if exchange.method != "GET":
            exchange.respond(405, [(b"allow", b"GET")], b"")
        elif self._state.gate.current.bundle is None:
            refuse(exchange, NO_BUNDLE, "")
        else:
            self._work.run(exchange, self._answer(exchange))

    async def _answer(self, exchange: Exchange) -> None:
        state = self._state
        await state.registry.warm()
        tools: list[object] = []
        unavailable: list[object] = []
        for served in state.registry.all_of(calls.SourceKind.MCP):
            name, catalog = served.source.name, served.catalog
            problem = served.problem or ("" if catalog.was_read else catalog.error or LATE)
            if problem:
                unavailable.append({"source": name, "error": problem})
            for tool in catalog.definitions.values():
                if state.gate.may_call(exchange.identity, calls.Family.TOOLS, name, tool.name):
                    raw = splice.replace(tool.raw, ("name",), orjson.dumps(f"{name}.{tool.name}"))
                    tools.append(orjson.Fragment(raw))
        body = orjson.dumps({"tools": tools, "unavailable": unavailable})
        exchange.respond(200, [headers.JSON], body)


class CallDoor:
    """`POST /v1/tools/<source>.<tool>` with `{"arguments": {…}}`."""

    def __init__(self, state: McpState, work: Work) -> None:
        self._state = state
        self._work = work

    def prepare(self, head: RequestHead, route: paths.ToolRoute) -> "Wanted":
        """Which tool, and whether the body can be read."""
        return Wanted(head, route.source, route.tool)

    def open(self, exchange: Exchange, prepared: "Wanted") -> None:
        """Call the tool."""
        if is_json_post(exchange, prepared.is_json):
            exchange.collect(
                jsonrpc.MAXIMUM_BYTES, lambda _, body: self._read(exchange, prepared, body)
            )

    def _read(self, exchange: Exchange, wanted: "Wanted", body: bytes) -> None:
        started_ns = self._state.gate.monotonic_ns()
        fields = read_object(exchange, body, frozenset({"arguments"}))
        if fields is None:
            return
        served = self._state.registry.find(wanted.source, calls.SourceKind.MCP)
        passage = self._state.gate.traces.begin("v1", started_ns, wanted.caller)
        if passage.sampled is not None:
            passage.sampled.method = METHOD
            traced.address(passage.sampled, served)
        if served is None:
            self._refuse_unknown(exchange, wanted, object_in(fields, "arguments"), body, passage)
            return
        params = tool_params(body, wanted.tool)
        call = calls.Call(
            exchange.identity, calls.Family.TOOLS, wanted.source, wanted.tool,
            object_in(fields, "arguments"), calls.SourceKind.MCP, served.source.host, None,
            wanted.session, source_digest=served.digest,
        )  # fmt: skip
        self._work.run(exchange, self._answer(exchange, served, call, params, passage))

    def _refuse_unknown(
        self,
        exchange: Exchange,
        wanted: "Wanted",
        arguments: dict[str, object],
        body: bytes,
        passage: Passage,
    ) -> None:
        call = calls.Call(
            exchange.identity, calls.Family.TOOLS, "", f"{wanted.source}.{wanted.tool}", arguments,
            session=wanted.session, body=body,
        )  # fmt: skip
        gate = self._state.gate
        decision = gate.not_served(UNKNOWN_TOOL)
        gate.record(call, decision, Outcome.REFUSED, passage)
        refuse(exchange, decision, call.full_name)

    async def _answer(
        self, exchange: Exchange, served: Served, call: calls.Call, params: bytes, passage: Passage
    ) -> None:
        answer = await asking.ask(
            self._state.gate, served, served.client, call, METHOD, params, passage
        )
        if isinstance(answer, asking.Refusal):
            refuse(exchange, answer.decision, call.full_name)
        elif isinstance(answer, asking.Failure):
            fail(exchange, answer.message)
        elif isinstance(answer, asking.Replayed):
            result = answers.marked(answer.result, answer.request_id)
            exchange.respond(200, [headers.JSON], result)
        else:
            answer_result(exchange, answer, call.source)


class DecideDoor:
    """`POST /v1/decide` with `{"tool", "arguments"}`: the same path, reserving nothing."""

    def __init__(self, state: McpState, work: Work) -> None:
        self._state = state
        self._work = work
        self._lately: deque[float] = deque(maxlen=DRY_RUNS_PER_SECOND)

    def prepare(self, head: RequestHead, _: paths.DecideRoute) -> "Wanted":
        """Whether the body can be read."""
        return Wanted(head, "", "")

    def open(self, exchange: Exchange, prepared: "Wanted") -> None:
        """Answer what would be decided."""
        now_s = self._state.clock_s()
        is_full = len(self._lately) == DRY_RUNS_PER_SECOND
        if is_full and now_s - self._lately[0] < 1.0:
            refuse(exchange, Decision(Verdict.DENY, Reason.TOO_MANY, retry_after_s=1), "decide")
        elif is_json_post(exchange, prepared.is_json):
            self._lately.append(now_s)
            exchange.collect(
                jsonrpc.MAXIMUM_BYTES, lambda _, body: self._read(exchange, prepared, body)
            )

    def _read(self, exchange: Exchange, wanted: "Wanted", body: bytes) -> None:
        started_ns = self._state.gate.monotonic_ns()
        fields = read_object(exchange, body, frozenset({"tool", "arguments", "http"}))
        if fields is None:
            return
        tool = fields.get("tool")
        source, dot, name = tool.partition(".") if isinstance(tool, str) else ("", "", "")
        if not dot or not source or not name:
            malformed(exchange, "`tool` must be `<source>.<tool>`")
            return
        part = http_part(fields)
        if isinstance(part, calls.HttpPart) and name != part.method.lower():
            part = "`tool` must be `<source>.` and the lower-case method of `http`"
        if isinstance(part, str):
            malformed(exchange, part)
            return
        kind = calls.SourceKind.HTTP if part is not None else calls.SourceKind.MCP
        served = self._state.registry.find(source, kind)
        if served is None:
            source, name = "", f"{source}.{name}"
        call = calls.Call(
            exchange.identity, calls.Family.TOOLS, source, name, object_in(fields, "arguments"),
            kind, served.source.host if served is not None else "", part, wanted.session,
            b"" if part is not None else b'{"params":%b}' % tool_params(body, name),
            source_digest=served.digest if served is not None else "",
        )  # fmt: skip
        passage = self._state.gate.traces.begin("decide", started_ns, wanted.caller)
        if passage.sampled is not None:
            passage.sampled.method = "decide"
        self._work.run(exchange, self._answer(exchange, served, call, passage))

    async def _answer(
        self, exchange: Exchange, served: Served | None, call: calls.Call, passage: Passage
    ) -> None:
        gate = self._state.gate
        if served is None:
            decision = gate.not_served(UNKNOWN_TOOL)
        elif call.http is not None:
            decision = await gate.dry_run(call)
        else:
            refused = await asking.refused_by_list(served, call)
            decision = refused or await gate.dry_run(call)
        passage.judged_ns = gate.monotonic_ns()
        gate.record(call, decision, Outcome.DRY_RUN, passage)
        exchange.respond(200, [headers.JSON], answers.decided(decision))


class Wanted:
    """What the head of a `/v1` request says."""

    __slots__ = ("caller", "is_json", "session", "source", "tool")

    def __init__(self, head: RequestHead, source: str, tool: str) -> None:
        fields = dict(head.headers)
        self.source = source
        self.tool = tool
        self.is_json = headers.is_json(fields.get(b"content-type"))
        self.session = fields.get(b"x-session-id", b"").decode("latin-1")
        self.caller = headers.trace_context(head.headers)


def is_json_post(exchange: Exchange, is_json: bool) -> bool:  # noqa: FBT001 - what the head says
    """Whether to read the body; answers 405 or 415 when not."""
    if exchange.method != "POST":
        exchange.respond(405, [(b"allow", b"POST")], b"")
        return False
    if not is_json:
        fields, body = answers.plain_problem(
            415, Reason.MALFORMED, "the body must be `Content-Type: application/json`"
        )
        exchange.respond(415, fields, body)
        return False
    return True


def read_object(exchange: Exchange, body: bytes, known: frozenset[str]) -> dict[str, object] | None:
    """The body as an object with known keys alone; answers 400 and gives None when it is not.

    `agent` is no known key: who asks is decided by the listener, never by the body (D8).
    """
    fields = jsonrpc.parse_json(body)
    if isinstance(fields, jsonrpc.Malformed):
        malformed(exchange, fields.message)
        return None
    if not isinstance(fields, dict):
        malformed(exchange, "the body must be a JSON object")
        return None
    unknown = sorted(key for key in fields if key not in known)
    if unknown:
        wanted = ", ".join(f"`{key}`" for key in sorted(known))
        malformed(exchange, f"the body has a key that is not known here – use {wanted}")
        return None
    if "arguments" in fields and not isinstance(fields["arguments"], dict):
        malformed(exchange, "`arguments` must be an object")
        return None
    return fields


def tool_params(body: bytes, tool: str) -> bytes:
    """The `params` of a call to `tool` with the body's `arguments` as they are spelled."""
    place = splice.span(body, ("arguments",))
    arguments = body[place[0] : place[1]] if place is not None else b"{}"
    return b'{"name":%b,"arguments":%b}' % (orjson.dumps(tool), arguments)


def object_in(fields: dict[str, object], key: str) -> dict[str, object]:
    """The object under `key`; empty when there is none."""
    value = fields.get(key)
    return value if isinstance(value, dict) else {}


def http_part(fields: dict[str, object]) -> calls.HttpPart | str | None:
    """The request line that a dry run asks about; a text when it is not one."""
    if "http" not in fields:
        return None
    part = object_in(fields, "http")
    method, target = part.get("method"), part.get("path")
    if set(part) != {"method", "path"} or not isinstance(method, str):
        return '`http` must be {"method": …, "path": …}'
    written, _, query = target.partition("?") if isinstance(target, str) else ("", "", "")
    path = paths.canonical_path(written)
    if path is None or not path.startswith("/"):
        return "`http.path` must be a path in its one canonical spelling, starting with `/`"
    return calls.HttpPart(method=method.upper(), path=path, query=query)


def answer_result(exchange: Exchange, answer: Answer, source: str) -> None:
    """Answer a source's result object, or its JSON-RPC error as a problem."""
    message = answer.message
    place = splice.span(answer.body, ("result",)) if message is not None else None
    if message is None or message.error is not None or place is None:
        text = message.error.get("message") if message is not None and message.error else ""
        fail(exchange, f"source `{source}` answered with an error: {text}")
        return
    body = splice.remove_own_meta(answer.body[place[0] : place[1]], ("_meta",))
    exchange.respond(200, [headers.JSON], body)


def refuse(exchange: Exchange, decision: Decision, name: str) -> None:
    """Answer a refusal as a problem."""
    status, fields, body = answers.problem(decision, name)
    exchange.respond(status, fields, body)


def fail(exchange: Exchange, message: str) -> None:
    """Answer that the source failed."""
    fields, body = answers.plain_problem(502, Reason.SOURCE_UNAVAILABLE, message)
    exchange.respond(502, fields, body)


def malformed(exchange: Exchange, message: str) -> None:
    """Answer what is wrong with the body."""
    fields, body = answers.plain_problem(400, Reason.MALFORMED, message)
    exchange.respond(400, fields, body)
