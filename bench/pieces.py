"""What the parts of one call cost, each alone, in this process: `python -m bench pieces`.

The sum is not the cost of a call: sockets, HTTP and the loop come on top. A piece that grows is a
piece to look at.
"""

import random
import timeit
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import cycle

from bench import calls, catalog, report, stored
from mesh7_core.audit import chain, lines
from mesh7_core.otlp import protobuf
from mesh7_core.policy import judge
from mesh7_core.policy.bundle import Bundle
from mesh7_core.policy.calls import Agent, Call, Family
from mesh7_core.policy.conditions import compile_condition
from mesh7_core.policy.decision import Decision, Verdict
from mesh7_core.policy.globs import NameGlob
from mesh7_core.policy.reasons import Reason
from mesh7_core.policy.rules import (
    Action,
    Approval,
    ArgumentRecord,
    Layer,
    Mode,
    Policy,
    Rule,
    RuleId,
    Selector,
)
from mesh7_core.policy.view import AgentView, view_of
from mesh7_core.telemetry import record_spans
from mesh7_core.telemetry.records import Outcome, Record
from mesh7_sidecar.seeing.tracing import Tracer
from mesh7_sidecar.wire import answers, jsonrpc, mcp, splice

_REPEATS = 7
_ABOUT_S = 0.1
_NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
_AGENT = Agent(namespace="default", service_account="default", pod="bench")
_ARGUMENTS: dict[str, object] = {"amount": 123, "currency": "EUR", "customer": "cus_8f3k2m"}
_TEN_MINUTES = timedelta(minutes=10)
_SLOW_WHEN = "args.currency.matches('^[A-Z]+$') && args.amount * 2 < 1000"

Piece = tuple[str, Callable[[], object]]


def markdown() -> str:
    """The table: microseconds a call of each piece, the best of seven series."""
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    lines = [
        f"Measured by `python -m bench pieces` on {today}, {report.machine()}.",
        "",
        "| piece | µs |",
        "| --- | ---: |",
    ]
    lines += [f"| {name} | {_microseconds(piece):.2f} |" for name, piece in _pieces()]
    lines += [
        f"| {name} | {_microseconds(piece) / count:.2f} |" for name, piece, count in stored.pieces()
    ]
    return "\n".join(lines)


def _microseconds(piece: Callable[[], object]) -> float:
    timer = timeit.Timer(piece)
    number, _ = timer.autorange()
    number = max(1, int(number * _ABOUT_S / 0.2))
    return min(timer.repeat(_REPEATS, number)) / number * 1e6


def _pieces() -> Iterator[Piece]:
    head, body = calls.request("/mcp/billing", calls.Names.KNOWN, 123).split(b"\r\n\r\n")
    received = [
        (name.lower(), value)
        for name, value in (line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    ]
    routing = mcp.read_routing(received)
    asked = _asked(body, routing)
    yield f"parse {len(body)} bytes", lambda: jsonrpc.parse(body)
    yield "read the routing headers", lambda: mcp.read_routing(received)
    yield "classify", lambda: mcp.classify(asked.message, routing)
    for count in (10, 1_000, 10_000):
        yield from _judged(count)
    yield "judge, a `when` that needs the CEL runtime", _judging(_view(10, _SLOW_WHEN), calls.TOOL)
    refused = judge.decide(judge.needs(_view(10), _call("nothing"), _NOW), judge.NO_LEDGER)
    yield "answer a refusal", lambda: answers.refusal(refused, asked, "billing")
    yield from _spliced(body)
    yield from _seen(body)


def _judged(count: int) -> Iterator[Piece]:
    view = _view(count)
    yield f"judge, {count:,} rules, `when`", _judging(view, calls.TOOL)
    yield f"judge, {count:,} rules, no `when`", _judging(view, catalog.TOOLS[1])
    names = cycle([f"made_up_{number:08d}" for number in range(20_000)])
    yield (
        f"judge, {count:,} rules, made-up names",
        lambda: judge.decide(judge.needs(view, _call(next(names)), _NOW), judge.NO_LEDGER),
    )


def _judging(view: AgentView, name: str) -> Callable[[], object]:
    return lambda: judge.decide(judge.needs(view, _call(name), _NOW), judge.NO_LEDGER)


def _spliced(body: bytes) -> Iterator[Piece]:
    yield (
        "splice: rename the tool",
        lambda: splice.replace(body, ("params", "name"), b'"billing_create_refund"'),
    )
    yield "splice: no own `_meta` to remove", lambda: splice.remove_own_meta(body, ("params",))


def _seen(body: bytes) -> Iterator[Piece]:
    """What is written down and sent of a call that is over."""
    record, traced = _record(body, _tracer(0)), _record(body, _tracer(1))
    making = record_spans.Spans()
    spans = making.of(traced)
    untraced, rendering = _tracer(0.01), lines.Lines(b"k" * 32)
    yield "choose whether it is traced, 1 %", lambda: untraced.begin("mcp", 0, None, {})
    yield "render its audit line", lambda: rendering.line(record)
    yield "seal 64 audit lines", _sealing(rendering.line(record))
    yield f"make its {len(spans)} spans", lambda: making.of(traced)
    yield f"encode its {len(spans)} spans", lambda: [protobuf.span(one) for one in spans]


def _tracer(share: float) -> Tracer:
    return Tracer(share, now_s=lambda: 0.0, random=random.random, fresh=random.randbytes)


def _sealing(line: bytes) -> Callable[[], object]:
    fresh, many = chain.new("a" * 12), [line] * 64
    return lambda: fresh.seal(many, "2026-11-21T10:00:00.000000Z")


def _record(body: bytes, tracer: Tracer) -> Record:
    passage = tracer.begin("mcp", 1_000, None, {})
    passage.judged_ns, passage.sent_ns, passage.sent_body = 50_000, 60_000, body
    sampled = passage.sampled
    if sampled is not None:
        sampled.method, sampled.request_id, sampled.protocol = "tools/call", "17", "2026-07-28"
        sampled.server_address, sampled.server_port = "billing.internal", 8080
        sampled.client = record_spans.client_context(sampled)
    decided = Decision(Verdict.ALLOW, Reason.ALLOWED_BY_RULE, (RuleId("default/bench/refunds"),))
    return Record(
        _call(calls.TOOL), decided, Outcome.OK, passage,
        ended_ns=1_795_219_200_000_000_000, duration_ns=1_000_000, bundle="sha256:" + "0" * 64,
    )  # fmt: skip


def _asked(body: bytes, routing: mcp.Routing) -> mcp.Asked:
    message = jsonrpc.parse(body)
    if isinstance(message, jsonrpc.Malformed):
        raise SystemExit(f"bench: the bench's own call is refused: {message.message}")
    asked = mcp.classify(message, routing)
    if isinstance(asked, jsonrpc.Malformed):
        raise SystemExit(f"bench: the bench's own call is refused: {asked.message}")
    return asked


def _call(name: str) -> Call:
    return Call(_AGENT, Family.TOOLS, "billing", name, _ARGUMENTS)


def _view(count: int, when: str = "args.amount < 500") -> AgentView:
    """So many rules, each for one tool, the one with the `when` the last (as `bench.gateway`)."""
    listed = catalog.TOOLS[1:]
    others = [*listed, *(f"other_{number:05d}" for number in range(count - 1 - len(listed)))]
    compiled = [*(_rule(name, "") for name in others), _rule(calls.TOOL, when)]
    approval = Approval(
        groups=(),
        count=1,
        timeout=_TEN_MINUTES,
        use_within=_TEN_MINUTES,
        hold=None,
        grantable=None,
    )
    policy = Policy(
        id="default/bench",
        layer=Layer.NAMESPACE,
        selector=Selector(match_labels=(), match_expressions=(), service_accounts=()),
        mode=Mode.ENFORCE,
        default_action=Action.DENY,
        default_approval=approval,
        rules=tuple(compiled),
        limits=(),
        loop=None,
        arguments=ArgumentRecord.DIGEST,
        redact=(),
    )
    bundle = Bundle(namespace="default", digest="", policies=(policy,), sources={}, grants=())
    return view_of(bundle, _AGENT)


def _rule(tool: str, when: str) -> Rule:
    return Rule(
        id=RuleId(f"default/bench/{tool}"),
        family=Family.TOOLS,
        patterns=(NameGlob.parse(f"billing.{tool}"),),
        condition=compile_condition(when) if when else None,
        action=Action.ALLOW,
        mode=Mode.ENFORCE,
        limits=(),
        approval=None,
        text="",
    )
