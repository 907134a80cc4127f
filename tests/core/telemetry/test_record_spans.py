"""The spans of a record: docs/reference/telemetry.md; promises T2 and T6."""

import tracemalloc
from collections.abc import Mapping

import pytest

from mesh7_core.policy import calls
from mesh7_core.policy.decision import NO_BUNDLE, UNKNOWN_TOOL, Decision, Verdict
from mesh7_core.policy.reasons import Reason
from mesh7_core.policy.rules import RuleId
from mesh7_core.telemetry import conventions, record_spans
from mesh7_core.telemetry.context import Context
from mesh7_core.telemetry.passage import Passage, Sampled
from mesh7_core.telemetry.record_spans import spans_of
from mesh7_core.telemetry.records import Outcome, Record
from mesh7_core.telemetry.spans import Kind, Span

PARENT = Context("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", is_sampled=True)
LINK = Context("1af7651916cd43dd8448eb211c80319c", "c7ad6b7169203331", is_sampled=False)
SERVER = Context(PARENT.trace_id, "a" * 16, is_sampled=True)
AGENT = calls.Agent(namespace="shop", service_account="support", pod="p-1", labels={})
ALLOWED = Decision(Verdict.ALLOW, Reason.ALLOWED_BY_RULE, (RuleId("shop/p/r"),))
DENIED = Decision(Verdict.DENY, Reason.DENIED_BY_RULE, (RuleId("shop/p/no"),))
PENDING = Decision(
    Verdict.HOLD, Reason.APPROVAL_REQUIRED, (RuleId("shop/p/ask"),), request_id="r-1"
)
BEGAN_NS = 1_800_000_000_000_000_000
MS = 1_000_000


def passage(
    *,
    wait_ms: int = 0,
    judged_ms: int = 2,
    sent_ms: int = 3,
    parent: Context | None = PARENT,
    link: Context | None = None,
) -> Passage:
    """Of a traced call that was read at 1000 ms of the monotonic clock."""
    sampled = Sampled(SERVER, parent, link)
    sampled.method, sampled.request_id, sampled.protocol = "tools/call", "7", "2026-07-28"
    sampled.server_address, sampled.server_port = "billing.internal", 8080
    found = Passage("mcp", 1000 * MS, parent, sampled)
    found.wait_ns = (1000 + wait_ms) * MS if wait_ms else 0
    found.judged_ns = (1000 + judged_ms) * MS if judged_ms else 0
    if sent_ms:
        found.sent_ns = (1000 + sent_ms) * MS
        sampled.client = record_spans.client_context(sampled)
    return found


def record(  # noqa: PLR0913 - what a record is made of
    through: Passage,
    decision: Decision = ALLOWED,
    outcome: Outcome = Outcome.OK,
    *,
    name: str = "refund",
    family: calls.Family = calls.Family.TOOLS,
    http: calls.HttpPart | None = None,
    detail: str = "",
    status: int = 0,
) -> Record:
    """That ended 10 ms after it was read."""
    call = calls.Call(AGENT, family, "billing", name, {"card": "4111"}, http=http)
    return Record(
        call, decision, outcome, through,
        ended_ns=BEGAN_NS + 10 * MS, duration_ns=10 * MS, bundle="sha256:b", detail=detail,
        status=status,
    )  # fmt: skip


def times(span: Span) -> tuple[int, int]:
    """In milliseconds since the request."""
    return (span.began_ns - BEGAN_NS) // MS, (span.ended_ns - BEGAN_NS) // MS


def by_name(spans: tuple[Span, ...]) -> Mapping[str, Span]:
    return {
        "client"
        if span.kind is Kind.CLIENT
        else "server"
        if span.kind is Kind.SERVER
        else span.name: span
        for span in spans
    }


def test_an_allowed_call_is_what_came_how_it_was_judged_and_what_went_on() -> None:
    """reference/protocols.md 4."""
    server, policy, client = spans_of(record(passage(link=LINK)))

    assert server == Span(
        name="tools/call refund",
        kind=Kind.SERVER,
        context=SERVER,
        parent_id=PARENT.span_id,
        began_ns=BEGAN_NS,
        ended_ns=BEGAN_NS + 10 * MS,
        links=(LINK,),
        attributes={
            "mesh7.source": "billing",
            "mesh7.outcome": "ok",
            "mcp.method.name": "tools/call",
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "refund",
            "jsonrpc.request.id": "7",
            "mcp.protocol.version": "2026-07-28",
            "server.address": "billing.internal",
            "server.port": 8080,
            "mesh7.door": "mcp",
            "gen_ai.agent.id": "shop/support",
            "mesh7.policy.effect": "allow",
            "mesh7.policy.reason": "allowed-by-rule",
            "mesh7.policy.rule.id": ("shop/p/r",),
        },
    )
    assert (policy.name, policy.kind, policy.parent_id) == (
        "policy.evaluate", Kind.INTERNAL, SERVER.span_id,
    )  # fmt: skip
    assert times(policy) == (0, 2)
    assert policy.attributes == {
        "mesh7.policy.effect": "allow",
        "mesh7.policy.reason": "allowed-by-rule",
        "mesh7.policy.rule.id": ("shop/p/r",),
        "mesh7.policy.mode": "enforce",
        "mesh7.policy.bundle.version": "sha256:b",
    }
    assert (client.name, client.kind, client.parent_id) == (
        "tools/call refund", Kind.CLIENT, SERVER.span_id,
    )  # fmt: skip
    assert times(client) == (3, 10)
    assert client.attributes["network.transport"] == "tcp"
    assert len({server.context.span_id, policy.context.span_id, client.context.span_id}) == 3


def test_a_call_that_is_not_traced_has_no_spans() -> None:
    assert spans_of(record(Passage("mcp", 0, PARENT))) == ()


@pytest.mark.promise("T2")
@pytest.mark.parametrize(
    ("decision", "effect"),
    [
        (DENIED, "deny"),
        (PENDING, "require_approval"),
        (Decision(Verdict.DENY, Reason.LIMIT_EXCEEDED, limit="shop/p/l"), "throttle"),
        (Decision(Verdict.DENY, Reason.LOOP_DETECTED, limit="shop/p/loops"), "throttle"),
    ],
)
def test_a_refusal_is_an_error_with_its_effect_and_nothing_went_on(
    decision: Decision, effect: str
) -> None:
    """D15, and reference/protocols.md 4: `tool_error`, and no CLIENT span."""
    server, policy = spans_of(record(passage(sent_ms=0), decision, Outcome.REFUSED))

    assert server.attributes["error.type"] == "tool_error"
    assert server.attributes["mesh7.policy.effect"] == effect
    assert server.error == f"{decision.verdict.value}: {decision.reason.value}"
    assert policy.attributes["mesh7.policy.effect"] == effect
    assert policy.error is None


@pytest.mark.promise("T2")
@pytest.mark.parametrize(
    ("reason", "verdict", "outcome", "said"),
    [
        (Reason.APPROVED, Verdict.ALLOW, Outcome.OK, "granted"),
        (Reason.GRANTED, Verdict.ALLOW, Outcome.OK, "granted"),
        (Reason.REPLAYED, Verdict.ALLOW, Outcome.OK, "granted"),
        (Reason.DENIED_BY_PERSON, Verdict.DENY, Outcome.REFUSED, "rejected"),
        (Reason.APPROVAL_EXPIRED, Verdict.DENY, Outcome.REFUSED, "expired"),
        (Reason.APPROVAL_REQUIRED, Verdict.HOLD, Outcome.REFUSED, "pending"),
        (Reason.APPROVAL_REQUIRED, Verdict.HOLD, Outcome.GONE, "abandoned"),
        (Reason.TOO_MANY_PENDING, Verdict.DENY, Outcome.REFUSED, None),
    ],
)
def test_the_wait_for_people_is_a_span_that_says_what_came_of_it(
    reason: Reason, verdict: Verdict, outcome: Outcome, said: str | None
) -> None:
    """A held call would distort durations, so the wait stands by itself."""
    through = passage(wait_ms=1, judged_ms=8, sent_ms=9 if verdict is Verdict.ALLOW else 0)
    decided = Decision(verdict, reason, (RuleId("shop/p/ask"),), request_id="r-1")
    found = by_name(spans_of(record(through, decided, outcome)))

    wait = found["approval.wait"]
    assert times(wait) == (1, 8)
    assert wait.parent_id == SERVER.span_id
    assert wait.attributes.get("mesh7.approval.outcome") == said
    assert wait.attributes["mesh7.approval.id"] == "r-1"
    assert wait.attributes["mesh7.approval.wait_ms"] == 7
    assert times(found["policy.evaluate"]) == (0, 1)
    assert found["policy.evaluate"].attributes["mesh7.policy.effect"] == "require_approval"
    assert ("client" in found) == (verdict is Verdict.ALLOW)
    assert wait.context == Context(*_ids(record_spans.waiting(through)), is_sampled=True)


def test_a_caller_that_left_while_people_were_asked_waited_until_then() -> None:
    through = passage(wait_ms=1, judged_ms=0, sent_ms=0)
    found = by_name(spans_of(record(through, PENDING, Outcome.GONE)))

    assert times(found["approval.wait"]) == (1, 10)
    assert found["server"].attributes["error.type"] == "gone"


@pytest.mark.promise("T2")
@pytest.mark.parametrize(
    ("outcome", "detail", "error", "code"),
    [
        (Outcome.OK, "", None, None),
        (Outcome.MOVED, "", None, None),
        (Outcome.TOOL_ERROR, "", "tool_error", None),
        (Outcome.PROTOCOL_ERROR, "-32602", "-32602", "-32602"),
        (Outcome.PROTOCOL_ERROR, "404", "404", None),
        (Outcome.PROTOCOL_ERROR, "", "protocol-error", None),
        (Outcome.FAILED, "timed-out", "timed-out", None),
        (Outcome.GONE, "", "gone", None),
    ],
)
def test_what_came_of_a_call_is_on_both_ends(
    outcome: Outcome, detail: str, error: str | None, code: str | None
) -> None:
    """Status is an error whenever `error.type` is set."""
    found = by_name(spans_of(record(passage(), outcome=outcome, detail=detail)))

    for span in (found["server"], found["client"]):
        assert span.attributes.get("error.type") == error
        assert span.attributes.get("rpc.response.status_code") == code
        assert (span.error is None) == (error is None)
        assert span.attributes["mesh7.outcome"] == outcome.value


@pytest.mark.parametrize(
    ("status", "server_error", "client_error"),
    [(200, None, None), (404, None, "404"), (503, "503", "503")],
)
def test_plain_http_is_named_by_method_and_source(
    status: int, server_error: str | None, client_error: str | None
) -> None:
    """HTTP's own conventions: what a caller did wrong is no error of the server."""
    through = passage()
    assert through.sampled is not None
    through.sampled.method, through.sampled.request_id = "POST", ""
    part = calls.HttpPart(method="POST", path="/v1/charges", query="key=secret")
    outcome = Outcome.OK if status < 400 else Outcome.TOOL_ERROR
    spans = spans_of(record(through, outcome=outcome, name="post", http=part, status=status))
    found = by_name(spans)

    server, client = found["server"], found["client"]
    assert server.name == client.name == "POST billing"
    assert server.attributes["url.path"] == "/v1/charges"
    assert server.attributes["http.request.method"] == "POST"
    assert server.attributes["http.response.status_code"] == status
    assert server.attributes.get("error.type") == server_error
    assert client.attributes.get("error.type") == client_error
    assert "mcp.method.name" not in server.attributes
    assert "secret" not in repr(spans)


def test_what_audit_mode_would_decide_is_an_event() -> None:
    decided = Decision(Verdict.ALLOW, Reason.ALLOWED_BY_RULE, would=DENIED)
    policy = by_name(spans_of(record(passage(), decided)))["policy.evaluate"]

    assert policy.attributes["mesh7.policy.mode"] == "audit"
    assert [(one.name, one.attributes) for one in policy.events] == [
        (
            "mesh7.policy.would",
            {
                "mesh7.policy.effect": "deny",
                "mesh7.policy.reason": "denied-by-rule",
                "mesh7.policy.rule.id": ("shop/p/no",),
            },
        )
    ]


@pytest.mark.promise("X11")
def test_a_hostile_tool_name_fills_no_backend() -> None:
    """The attack: names without number and without end, control characters among them."""
    hostile = "x" * 100_000 + "\x1b[2J\u202e"
    listed = by_name(spans_of(record(passage(), name="\x1b[2J" + "y" * 100_000)))["server"]
    made_up = spans_of(record(passage(sent_ms=0), UNKNOWN_TOOL, Outcome.REFUSED, name=hostile))[0]
    before = spans_of(record(passage(sent_ms=0), NO_BUNDLE, Outcome.REFUSED, name=hostile))[0]

    assert listed.name == "tools/call \N{REPLACEMENT CHARACTER}[2J" + "y" * 96 + "…"
    assert (made_up.name, before.name) == ("tools/call", "tools/call")
    for span in (listed, made_up):
        assert len(str(span.attributes["gen_ai.tool.name"])) <= 301
        assert str(span.attributes["gen_ai.tool.name"]).isprintable()


@pytest.mark.promise("T6")
def test_a_resource_is_shown_without_what_may_be_a_secret_and_never_in_the_name() -> None:
    """reference/protocols.md 4: never the URI in the name."""
    through = passage()
    assert through.sampled is not None
    through.sampled.method = "resources/read"
    uri = "https://jane:hunter2@files.example/a@b?token=hunter3#hunter4"
    spans = spans_of(record(through, name=uri, family=calls.Family.RESOURCES))

    assert [span.name for span in spans if span.kind is not Kind.INTERNAL] == ["resources/read"] * 2
    assert spans[0].attributes["mcp.resource.uri"] == "https://***@files.example/a@b?***"
    assert "hunter" not in repr(spans)


@pytest.mark.promise("T6")
def test_arguments_are_in_no_span_unless_they_are_handed_in() -> None:
    """T6; what is handed in is masked already."""
    assert "4111" not in repr(spans_of(record(passage())))
    server, *others = spans_of(record(passage()), '{"card":"***"}')

    assert server.attributes["gen_ai.tool.call.arguments"] == '{"card":"***"}'
    assert all("gen_ai.tool.call.arguments" not in span.attributes for span in others)


def test_a_root_has_no_parent_and_a_child_process_no_address() -> None:
    through = passage(parent=None)
    assert through.sampled is not None
    through.sampled.server_address, through.sampled.server_port = "", 0
    found = by_name(spans_of(record(through)))

    assert found["server"].parent_id == ""
    assert found["client"].attributes["network.transport"] == "pipe"
    assert "server.address" not in found["client"].attributes


def test_people_are_told_of_the_callers_span_when_the_call_is_not_traced() -> None:
    assert record_spans.waiting(Passage("mcp", 0, PARENT)) == PARENT.traceparent
    assert record_spans.waiting(Passage("mcp", 0)) == ""


def test_the_table_has_every_attribute_that_spans_have_and_says_where() -> None:
    """docs/reference/telemetry.md is generated from it."""
    rows = {(row.name, span) for row in conventions.ATTRIBUTES for span in row.spans}
    would = Decision(Verdict.ALLOW, Reason.ALLOWED_BY_RULE, would=DENIED)
    part = calls.HttpPart(method="POST", path="/", query="")
    families = [record(passage(), name="x", family=each) for each in calls.Family]
    waited = passage(wait_ms=1, judged_ms=2)
    waited.digest = "sha256:d"
    made = [
        *families,
        record(passage(), would, http=part, status=503, outcome=Outcome.TOOL_ERROR),
        record(waited, Decision(Verdict.ALLOW, Reason.GRANTED, request_id="r", grants=("g",))),
        record(passage(), outcome=Outcome.PROTOCOL_ERROR, detail="-1"),
        record(passage(sent_ms=0), Decision(Verdict.DENY, Reason.LIMIT_EXCEEDED, limit="l")),
    ]
    seen = set()
    for one in made:
        assert one.passage.sampled is not None
        one.passage.sampled.session = "s"
        for key, span in by_name(spans_of(one, "{}")).items():
            seen |= {(name, key) for name in span.attributes}
            seen |= {(name, event.name) for event in span.events for name in event.attributes}

    assert seen == rows
    assert {span for _, span in rows} - {"mesh7.policy.would"} == {
        row.key for row in conventions.SPANS
    }


def _ids(traceparent: str) -> tuple[str, str]:
    _, trace_id, span_id, _ = traceparent.split("-")
    return trace_id, span_id


def test_what_is_remembered_of_like_calls_holds_nothing_of_one_call() -> None:
    """The danger of remembering: one call's id, path or arguments told of another."""
    part = calls.HttpPart(method="POST", path="/v1/charges", query="")
    other = calls.HttpPart(method="POST", path="/v1/refunds", query="")
    made = [
        (record(passage()), '{"card":"***"}'),
        (record(passage()), ""),
        (record(passage(wait_ms=1, judged_ms=8)), ""),
        (record(passage(), ALLOWED, Outcome.PROTOCOL_ERROR, detail="-1"), ""),
        (record(passage(), ALLOWED, Outcome.PROTOCOL_ERROR, detail="-2"), ""),
        (record(passage(sent_ms=0), DENIED, Outcome.REFUSED), ""),
        (record(passage(), http=part, status=200), ""),
        (record(passage(), http=other, status=200), ""),
        (record(passage(), name="refund", family=calls.Family.PROMPTS), ""),
        (record(passage(), name="x" * 100_000), ""),
    ]
    for number, (one, _) in enumerate(made):
        assert one.passage.sampled is not None
        one.passage.sampled.request_id = ("", "7", "e7b1-8", "password=hunter2")[number % 4]
        one.passage.sampled.session = ("", "s-1")[number % 2]
        one.passage.digest = ("", "sha256:d")[number % 2]
    remembering = record_spans.Spans()

    for one, arguments in (*made, *reversed(made)):
        assert remembering.of(one, arguments) == spans_of(one, arguments)
        assert "hunter2" not in repr(remembering.of(one, arguments))


@pytest.mark.promise("X11")
def test_calls_that_are_all_different_do_not_fill_the_memory() -> None:
    """The attack: a decision, a name or an address for each call."""
    remembering = record_spans.Spans()
    most = record_spans.MOST_REMEMBERED
    kept = []
    tracemalloc.start()
    for times in (1, 4):
        for number in range(times * most):
            remembering.of(record(passage(), name=f"{times}{number:0250d}"))
        kept.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()

    assert kept[1] < 2 * kept[0]
