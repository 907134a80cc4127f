"""The door `/http/<source>/…`: a plain HTTP API behind policy.

The tool is the lower-case method; `http.method`, `http.path` and `http.query` say the rest to
`when`. A request is judged when its head is complete; the body then streams through in both
directions, as fast as the slower side takes it. Where the decision hangs on the exact call (people
are asked, or repeats are counted) the body is collected first.
"""

from dataclasses import replace
from typing import Final

from mesh7_core.policy import calls
from mesh7_core.policy.decision import UNKNOWN_SOURCE, Decision, Verdict
from mesh7_core.policy.reasons import Reason
from mesh7_core.telemetry.context import Context
from mesh7_core.telemetry.records import Outcome
from mesh7_sidecar.doors import traced
from mesh7_sidecar.doors.waiting import left
from mesh7_sidecar.gate.gate import Gate
from mesh7_sidecar.gate.kept import HttpAnswer
from mesh7_sidecar.gate.waiting import Wait
from mesh7_sidecar.net import upstream
from mesh7_sidecar.net.exchange import Exchange, Headers, RequestHead
from mesh7_sidecar.sources.registry import Registry, Served
from mesh7_sidecar.wire import answers, headers, paths, propagation

DOOR: Final = "http"
ERROR_STATUS: Final = 400
MAXIMUM_EXACT_BYTES: Final = 4 * 1024 * 1024
"""Of a body that has to be collected; beyond it the listener answers 413."""
MAXIMUM_KEPT_BYTES: Final = 1024 * 1024
"""Of an answer that repeats may have."""
COMPRESSED: Final = "compressed request bodies are refused – send it plain"
_STATUSES = {
    upstream.FailureKind.BUSY: 503,
    upstream.FailureKind.RESTING: 503,
    upstream.FailureKind.TIMED_OUT: 504,
}
"""What a failure to get an answer is to an HTTP client; the others are a bad gateway, 502."""


class HttpDoor:
    """Serves all `http` sources."""

    def __init__(self, gate: Gate, registry: Registry) -> None:
        self._gate = gate
        self._registry = registry

    def prepare(self, head: RequestHead, route: paths.HttpRoute) -> "HttpPrepared":
        """What follows from the head alone."""
        return HttpPrepared(route, headers.trace_context(head.headers))

    def open(self, exchange: Exchange, prepared: "HttpPrepared") -> None:
        """Judge one request by its head, and pass it on or refuse it."""
        route = prepared.route
        served = self._registry.find(route.source, calls.SourceKind.HTTP)
        call = calls.Call(
            exchange.identity,
            calls.Family.TOOLS,
            route.source,
            exchange.method.lower(),
            {},
            calls.SourceKind.HTTP,
            served.source.host if served is not None else "",
            calls.HttpPart(method=exchange.method, path=route.path, query=route.query),
            (exchange.header(b"x-session-id") or b"").decode("latin-1"),
            source_digest=served.digest if served is not None else "",
        )
        passing = _Passing(self._gate, exchange, call, prepared)
        if served is None:
            passing.refuse(self._gate.not_served(UNKNOWN_SOURCE))
        elif self._gate.is_exact(call):
            passing.collect(served)
        else:
            passing.judge(served)


class HttpPrepared:
    """A head, understood: where it leads, and the trace that it is part of."""

    __slots__ = ("caller", "route")

    def __init__(self, route: paths.HttpRoute, caller: Context | None) -> None:
        self.route = route
        self.caller = caller


class _Passing:
    """One request on its way; it receives the source's answer."""

    def __init__(
        self, gate: Gate, exchange: Exchange, call: calls.Call, prepared: HttpPrepared
    ) -> None:
        self._gate = gate
        self._exchange = exchange
        self._call = call
        self._route = prepared.route
        self._passage = gate.traces.begin(DOOR, gate.monotonic_ns(), prepared.caller)
        if self._passage.sampled is not None:
            self._passage.sampled.method = exchange.method
        self._decision: Decision | None = None
        self._sending: upstream.Sending | None = None
        self._status = 0
        self._is_collected = False
        self._wait: Wait | None = None
        self._kept: Keeping | None = None

    def collect(self, served: Served) -> None:
        """Judge the request once its whole body is here."""
        if self._is_compressed():
            # Before anybody is asked: people could not read it either.
            self._answer_failure(415, COMPRESSED)
        else:
            self._exchange.collect(
                MAXIMUM_EXACT_BYTES, lambda _, body: self._collected(served, body)
            )

    def _collected(self, served: Served, body: bytes) -> None:
        self._call.body = body
        if self._call.http is not None:
            fields = headers.bearing(self._exchange.headers)
            self._call.http = replace(self._call.http, headers=fields)
        self._is_collected = True
        self.judge(served)

    def judge(self, served: Served) -> None:
        """Ask the gate; nobody waits for people about a request whose body is not here."""
        self._gate.judge(
            self._call,
            self._passage,
            lambda decision: self.decided(served, decision),
            self._hold,
            served.is_open,
        )

    def _hold(self, wait: Wait) -> None:
        """Keep the agent without a byte: nobody knows what it would make of an early head."""
        self._wait = wait
        if self._exchange.is_gone:
            self._left()
        else:
            self._exchange.on_gone = self._left

    def _left(self) -> None:
        """The agent left before anybody decided."""
        if self._wait is not None:
            self._wait.leave()
            self._decision = left(self._wait)
            self._record(Outcome.GONE)

    def decided(self, served: Served, decision: Decision) -> None:
        """Pass the request on when it is allowed, else answer the refusal."""
        self._decision = decision
        self._passage.judged_ns = self._gate.monotonic_ns()
        self._exchange.on_gone = None
        if self._exchange.is_gone:
            self._record(Outcome.GONE)
        elif decision.verdict is not Verdict.ALLOW:
            self.refuse(decision)
        elif decision.reason is Reason.REPLAYED:
            self._replay(decision)
        elif served.problem:
            self._answer_failure(503, served.problem)
        elif self._is_compressed():
            # A body that nobody here can read could carry what a later rule looks for (X10).
            self._answer_failure(415, COMPRESSED)
        else:
            self._pass_on(served)

    def _is_compressed(self) -> bool:
        return self._exchange.header(b"content-encoding") not in (None, b"identity")

    def _replay(self, decision: Decision) -> None:
        """Answer what an identical call was answered a moment ago; nothing goes to the source."""
        kept = self._gate.replay(decision)
        if isinstance(kept, HttpAnswer):
            mark = (answers.REPLAY_OF, decision.request_id.encode())
            self._exchange.respond(kept.status, [*kept.headers, mark], kept.body)
            self._record(Outcome.OK, detail=Reason.REPLAYED, status=kept.status)
        else:
            self.refuse(
                Decision(Verdict.DENY, Reason.OUTCOME_UNKNOWN, request_id=decision.request_id)
            )

    def refuse(self, decision: Decision) -> None:
        """Answer 403, 404 or 429 and record it; nothing was sent to the source."""
        self._decision = decision
        status, fields, body = answers.problem(decision, self._call.full_name)
        self._exchange.respond(status, fields, body)
        self._record(Outcome.REFUSED, status=status)

    def head(self, status: int, fields: Headers) -> None:
        """The source's answer begins."""
        self._status = status
        passed = headers.http_response_headers(fields)
        if self._decision is not None and self._decision.request_id:
            self._kept = Keeping(status, passed)
        self._exchange.start(status, passed + _length(fields))
        self._exchange.on_drain = self._resume

    def data(self, chunk: bytes) -> None:
        """Some of the source's body."""
        self._exchange.write(chunk)
        if self._kept is not None:
            self._kept.add(chunk)
        if self._exchange.is_full and self._sending is not None:
            self._sending.pause()

    def end(self) -> None:
        """The source's answer is complete."""
        self._exchange.on_gone = None
        self._exchange.finish()
        kept = self._kept.answer() if self._kept is not None else None
        if kept is not None and self._decision is not None:
            self._gate.keep(self._decision, kept)
        outcome = Outcome.TOOL_ERROR if self._status >= ERROR_STATUS else Outcome.OK
        self._record(outcome, status=self._status)

    def fail(self, failure: upstream.Failure) -> None:
        """The source's answer will not come, or not to its end."""
        self._exchange.on_gone = None
        if self._status:
            self._exchange.abort()
            self._record(Outcome.FAILED, detail=failure.kind, status=self._status)
        else:
            source = self._call.source
            status = _STATUSES.get(failure.kind, 502)
            self._answer_failure(status, f"source `{source}` {failure.message}", failure.kind)

    def _pass_on(self, served: Served) -> None:
        has_body = not self._is_collected and self._has_body()
        request = upstream.Request(
            self._exchange.method,
            served.target(self._route.target),
            self._sent_headers(served)
            + _length(self._exchange.headers if has_body else [])
            + served.fixed,
            None if has_body else self._call.body,
        )
        self._passage.sent_ns = self._passage.judged_ns
        self._passage.sent_body = request.body or b""
        self._exchange.on_gone = self._gone
        self._sending = served.way.send(request, self)
        if has_body:
            self._exchange.stream(_AgentBody(self._exchange, self._sending))

    def _sent_headers(self, served: Served) -> Headers:
        fields, sampled = (
            headers.http_request_headers(self._exchange.headers),
            self._passage.sampled,
        )
        if sampled is None:
            return fields
        traced.address(sampled, served)
        return propagation.headers(fields, traced.client(sampled))

    def _has_body(self) -> bool:
        return not self._exchange.is_received or self._exchange.head.length != 0

    def _resume(self) -> None:
        if self._sending is not None:
            self._sending.resume()

    def _gone(self) -> None:
        """The agent left: whatever is under way upstream is ended."""
        if self._sending is not None:
            self._sending.abort()
        self._record(Outcome.GONE, status=self._status)

    def _answer_failure(self, status: int, message: str, detail: str = "") -> None:
        fields, body = answers.plain_problem(status, Reason.SOURCE_UNAVAILABLE, message)
        self._exchange.respond(status, fields, body)
        self._record(Outcome.FAILED, detail=detail or Reason.SOURCE_UNAVAILABLE, status=status)

    def _record(self, outcome: Outcome, *, detail: str = "", status: int = 0) -> None:
        if self._decision is not None:
            self._gate.record(self._call, self._decision, outcome, self._passage, detail, status)
            self._decision = None


def _length(fields: Headers) -> Headers:
    """The announced length of a body that passes unchanged; servers without chunks want it."""
    return [pair for pair in fields if pair[0] == b"content-length"]


class Keeping:
    """An answer on its way that repeats may have, unless it grows too large."""

    __slots__ = ("_chunks", "_headers", "_room", "_status")

    def __init__(self, status: int, fields: Headers) -> None:
        self._status = status
        self._headers = fields
        self._room = MAXIMUM_KEPT_BYTES
        self._chunks: list[bytes] = []

    def add(self, chunk: bytes) -> None:
        """Some of its body."""
        self._room -= len(chunk)
        if self._room >= 0:
            self._chunks.append(chunk)
        else:
            self._chunks.clear()

    def answer(self) -> HttpAnswer | None:
        """All of it; None when it is too large."""
        if self._room < 0:
            return None
        return HttpAnswer(self._status, self._headers, b"".join(self._chunks))


class _AgentBody:
    """The agent's body on its way to the source."""

    __slots__ = ("_exchange", "_sending")

    def __init__(self, exchange: Exchange, sending: upstream.Sending) -> None:
        self._exchange = exchange
        self._sending = sending
        sending.on_drain = exchange.resume_body

    def data(self, chunk: bytes) -> None:
        """One piece."""
        self._sending.write(chunk)
        if self._sending.is_full:
            self._exchange.pause_body()

    def end(self) -> None:
        """All of it."""
        self._sending.end()
