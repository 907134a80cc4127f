"""A record's line: always one JSON object, whatever arguments and names the call had."""

import hashlib
import json
import tracemalloc

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.audit import deeds, lines
from mesh7_core.policy import calls, canonical, exact
from mesh7_core.policy.decision import Decision, Verdict
from mesh7_core.policy.reasons import Reason
from mesh7_core.telemetry import record_spans
from mesh7_core.telemetry.context import Context
from mesh7_core.telemetry.passage import Passage, Sampled
from mesh7_core.telemetry.records import Outcome, Record

KEY = b"k" * 32
AGENT = calls.Agent(namespace="default", service_account="tester", pod="here", labels={})
ALLOWED = Decision(Verdict.ALLOW, Reason.ALLOWED_BY_RULE)
# What strict JSON can hold; lone surrogates are refused before anything is judged.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | TEXT
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
ARGUMENTS = st.dictionaries(TEXT, VALUES, max_size=5)


def record(
    arguments: dict[str, object] | None = None, name: str = "echo", agent: calls.Agent = AGENT
) -> Record:
    call = calls.Call(
        agent, calls.Family.TOOLS, "s", name, arguments or {}, calls.SourceKind.MCP, "", None, ""
    )
    return Record(
        call, ALLOWED, Outcome.OK, Passage("v1", 0), ended_ns=1_795_219_200_123_456_789,
        duration_ns=1_234_567, bundle="sha256:0",
    )  # fmt: skip


def reversed_keys(value: object) -> object:
    """The same value with the keys of every object in the other order."""
    if isinstance(value, dict):
        return {key: reversed_keys(each) for key, each in reversed(value.items())}
    return [reversed_keys(each) for each in value] if isinstance(value, list) else value


@given(ARGUMENTS, TEXT)
def test_every_call_has_a_line_that_is_one_json_object(
    arguments: dict[str, object], name: str
) -> None:
    """A record that cannot be written would be a call without a trace."""
    line = lines.Lines(KEY).line(record(arguments, name))

    assert b"\n" not in line
    found = json.loads(line)
    assert found["tool"] == f"s.{name}"
    assert found["time"] == "2026-11-21T00:00:00.123456Z"
    assert found["durationMs"] == 1.234


@given(ARGUMENTS)
def test_a_digest_does_not_depend_on_the_order_of_keys(arguments: dict[str, object]) -> None:
    """docs/reference/audit.md."""
    turned = reversed_keys(arguments)
    assert isinstance(turned, dict)

    assert lines.digest(turned, KEY) == lines.digest(arguments, KEY)
    assert lines.digest(arguments, b"another key, 16+") != lines.digest(arguments, KEY)


@pytest.mark.promise("AG17")
def test_numbers_that_a_float_would_make_equal_have_other_digests() -> None:
    numbers: list[object] = [2**53, 2**53 + 1, 2**64, 2**64 + 1, 10**30, 10**30 + 1, 1, 1.0, "1"]

    assert len({lines.digest({"n": number}, KEY) for number in numbers}) == len(numbers)


def test_what_lines_share_is_rendered_anew_for_another_agent() -> None:
    """The rendered part is remembered by identity; another agent must never get it."""
    rendering = lines.Lines(KEY)
    for number in range(2 * lines.MAXIMUM_REMEMBERED + 1):
        name = f"agent-{number}"
        agent = calls.Agent(namespace="default", service_account=name, pod="here", labels={})
        assert json.loads(rendering.line(record(agent=agent)))["agent"]["serviceAccount"] == name


def test_an_agent_that_makes_up_names_and_sources_fills_no_memory() -> None:
    """However long they are: a caller of `/v1/decide` chooses both parts of `<source>.<tool>`."""
    rendering = lines.Lines(KEY)
    tracemalloc.start()
    try:
        for number in range(50):
            one = record()
            one.call.source, one.call.name = f"{number}" * 500_000, "x"
            rendering.line(one)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert kept < 5_000_000


def test_a_secret_in_the_name_of_what_belongs_to_no_source_is_masked_as_a_whole() -> None:
    """X11: split into a source and a tool, neither half looked like a token."""
    one = record()
    one.call.source, one.call.name = "", "ghp_" + "a1B2" * 9

    assert json.loads(lines.Lines(KEY).line(one))["tool"] == "***"


@pytest.mark.promise("AG16")
def test_a_line_names_the_request_and_the_grants_of_a_call() -> None:
    """docs/reference/audit.md."""
    held = Decision(Verdict.ALLOW, Reason.APPROVED, request_id="r-1")
    granted = Decision(Verdict.ALLOW, Reason.GRANTED, grants=("shop/g",))
    said = []
    for decided in (held, granted, ALLOWED):
        one = record()
        one.decision = decided
        found = json.loads(lines.Lines(KEY).line(one))
        said.append((found.get("requestId"), found.get("grants")))

    assert said == [("r-1", None), (None, ["shop/g"]), (None, None)]


def test_a_line_says_what_went_upstream_and_how_long_each_step_took() -> None:
    """docs/reference/audit.md: `body`, `upstreamMs`, `waitMs`, `digest`, `spanId`."""
    passed = Passage("mcp", started_ns=1_000_000_000)
    passed.wait_ns, passed.judged_ns, passed.sent_ns = 1_000_100_000, 1_000_600_000, 1_001_000_000
    passed.sent_body, passed.digest = b'{"id":1}', "sha256:1"
    server = Context("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", is_sampled=True)
    passed.sampled = Sampled(server, None, None)
    one = record()
    one.passage = passed

    found = json.loads(lines.Lines(KEY).line(one))

    assert {name: found[name] for name in ("body", "upstreamMs", "waitMs", "digest")} == {
        "body": lines.keyed(b'{"id":1}', KEY).decode(), "upstreamMs": 0.234, "waitMs": 0.5,
        "digest": "sha256:1",
    }  # fmt: skip
    assert (found["traceId"], found["spanId"]) == (server.trace_id, server.span_id)


def test_a_refused_call_has_no_body_and_waited_for_nobody() -> None:
    found = json.loads(lines.Lines(KEY).line(record()))

    assert not {"body", "upstreamMs", "waitMs", "digest", "spanId", "redacted"} & set(found)


def digests_of(content: bytes) -> set[str]:
    """What anybody can compute of it."""
    makers = (hashlib.sha256, hashlib.sha1, hashlib.md5, hashlib.blake2b, hashlib.sha512)
    found = {make(content).hexdigest() for make in makers}
    return found | {hashlib.blake2b(content, digest_size=size).hexdigest() for size in (16, 32)}


@pytest.mark.promise("T6")
def test_small_arguments_cannot_be_guessed_from_a_record_or_span() -> None:
    """THREAT_MODEL.md: four digits are found in no digest, not in that of what was forwarded."""

    def body(pin: str) -> bytes:
        return b'{"jsonrpc":"2.0","id":3,"params":{"name":"unlock","arguments":{"pin":"%b"}}}' % (
            pin.encode()
        )

    def exactly(pin: str, salt: str) -> str:
        return exact.digest(
            exact.ExactCall(
                namespace="default", service_account="tester", pod="here", uid="",
                family="tools", tool="s.echo", source_kind="mcp", source_host="", source="",
                mark=exact.mark_of("arguments", canonical.written({"pin": pin})), definition="",
                salt=salt,
            ),
            (),
        )  # fmt: skip

    one = record({"pin": "4711"})
    one.passage.sent_ns, one.passage.judged_ns, one.passage.sent_body = 1, 1, body("4711")
    one.passage.digest = exactly("4711", "a salt that nobody is shown")
    context = Context("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", is_sampled=True)
    one.passage.sampled = Sampled(context, None, None)
    said = lines.Lines(KEY).line(one).decode() + repr(record_spans.spans_of(one))
    assert one.passage.digest in said
    assert lines.keyed(body("4711"), KEY).decode() in said

    for pin in ("4711", "4712"):
        arguments = orjson.dumps({"pin": pin})
        guesses = {exactly(pin, "").partition(":")[2], exactly(pin, KEY.hex()).partition(":")[2]}
        for content in (pin.encode(), f'"{pin}"'.encode(), arguments, body(pin)):
            guesses |= digests_of(content)
        assert not [guess for guess in guesses if guess in said]
    assert "4711" not in said


TOKEN = "ghp_" + "a1B2" * 9
NAMES = [
    (calls.Family.RESOURCES, f"https://u:hunter2@h/x?token={TOKEN}#hunter2", "https://***@h/x?***"),
    (calls.Family.RESOURCES, "postgres://u:hunter2/b@h/x", "postgres://u:***@h/x"),
    (calls.Family.RESOURCES, "note:1?q=hunter2", "note:1?***"),
    (calls.Family.RESOURCES, f"file:///{TOKEN}/a.txt", "file:///***/a.txt"),
    (calls.Family.RESOURCES, "file:///a.txt", "file:///a.txt"),
    (calls.Family.TOOLS, f"get_{TOKEN}", "get_***"),
    (calls.Family.TOOLS, f"get/{TOKEN}", "get/***"),
    (calls.Family.PROMPTS, "password=hunter2", "password=***"),
    (calls.Family.TOOLS, "C# tool?", "C# tool?"),
]


@pytest.mark.promise("T6")
@pytest.mark.parametrize(("family", "name", "shown"), NAMES)
def test_secrets_by_shape_are_masked_in_uris_and_paths(
    family: calls.Family, name: str, shown: str
) -> None:
    """In lines, deeds and spans; twice, for what is remembered must be masked, too."""
    rendering = lines.Lines(KEY)
    http = calls.HttpPart(method="GET", path=f"/bot/{TOKEN}/send", query=f"token={TOKEN}")
    call = calls.Call(AGENT, family, "s", name, {}, http=http, session=TOKEN)
    context = Context("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", is_sampled=True)
    passed = Passage("mcp", 0)
    passed.sampled = Sampled(context, None, None)
    passed.sampled.method, passed.sampled.request_id = "resources/read", TOKEN
    one = Record(
        call, ALLOWED, Outcome.FAILED, passed, ended_ns=1, duration_ns=1, bundle="", detail=TOKEN
    )
    found = json.loads(rendering.line(one))
    assert json.loads(rendering.line(one)) == found
    assert found["tool"] == f"s.{shown}"
    assert found["http"] == {"method": "GET", "path": "/bot/***/send"}
    assert (found["session"], found["detail"]) == ("***", "***")

    deed = deeds.Deed(
        at_ns=0, act=deeds.Act.APPROVE, person="uid:1", name="ann", evidence="",
        tool=f"s.{name}", reason=f"with {TOKEN}", refused="password=hunter2",
    )  # fmt: skip
    said = json.loads(deeds.line(deed))
    assert said["tool"] == f"s.{shown}"
    assert (said["reason"], said["refused"]) == ("with ***", "password=***")
    call.http = None
    spans = repr(record_spans.spans_of(one))
    call.http = http
    for text in (json.dumps(found), json.dumps(said), spans, repr(record_spans.spans_of(one))):
        assert "hunter2" not in text
        assert TOKEN not in text


def test_a_secret_across_the_end_of_a_long_name_is_not_shown_in_part() -> None:
    """What is cut is masked before."""
    for gap in range(40):
        one = record(name="x" * (300 - gap) + "/" + TOKEN)
        found = json.loads(lines.Lines(KEY).line(one))
        assert "ghp_" not in found["tool"]
        assert len(found["tool"]) <= 303


def test_a_line_says_when_asking_again_can_help() -> None:
    """docs/reference/audit.md: `retryAfter`."""
    one = record()
    one.decision = Decision(Verdict.DENY, Reason.LIMIT_EXCEEDED, limit="a/b/c", retry_after_s=17)

    assert json.loads(lines.Lines(KEY).line(one))["retryAfter"] == 17
    assert "retryAfter" not in json.loads(lines.Lines(KEY).line(record()))
