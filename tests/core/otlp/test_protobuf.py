"""Spans as we write them are spans as OpenTelemetry's own encoder writes them."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event as TheirEvent
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

from mesh7_core import names
from mesh7_core.otlp import protobuf
from mesh7_core.telemetry import conventions
from mesh7_core.telemetry.context import Context
from mesh7_core.telemetry.spans import Event, Kind, Span
from tests.core.otlp import parts

_SCOPE = InstrumentationScope("mesh7", names.RELEASE, conventions.SCHEMA_URL)

# Of each, some that are longer than a length of one byte can say.
texts = st.one_of(
    st.text(max_size=20),
    st.integers(110, 300).map(lambda size: "x" * size),
    st.integers(40, 70).map(lambda size: "ü€" * size),
)
values = st.one_of(
    texts,
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.lists(texts, max_size=4).map(tuple),
)
attributes = st.dictionaries(texts, values, max_size=12)
times = st.one_of(st.integers(0, 2**64 - 1), st.just(1_795_291_200_000_001_000))
trace_ids = st.integers(1, 2**128 - 1).map(lambda number: f"{number:032x}")
span_ids = st.integers(1, 2**64 - 1).map(lambda number: f"{number:016x}")
states = st.sampled_from(["", "v=1", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", f"k={'v' * 200}"])
contexts = st.builds(Context, trace_ids, span_ids, st.booleans(), states)
events = st.builds(Event, name=texts, at_ns=times, attributes=attributes)
spans = st.builds(
    Span,
    name=texts,
    kind=st.sampled_from(Kind),
    context=contexts,
    parent_id=st.one_of(st.just(""), span_ids),
    began_ns=times,
    ended_ns=times,
    attributes=attributes,
    error=st.one_of(st.none(), texts),
    events=st.lists(events, max_size=3).map(tuple),
    links=st.lists(contexts, max_size=3).map(tuple),
)


@given(st.lists(spans, min_size=1, max_size=3), st.dictionaries(texts.filter(bool), texts))
def test_what_we_write_reads_as_what_the_sdk_writes(
    ours: list[Span], resource: dict[str, str]
) -> None:
    """The whole request, with all that a span can hold: nothing more, nothing less."""
    written = protobuf.request(map(protobuf.span, ours), resource)
    theirs = Resource(dict(resource), conventions.SCHEMA_URL)
    expected = encode_spans([_readable(one, theirs) for one in ours])
    assert ExportTraceServiceRequest.FromString(written) == expected


def test_an_attribute_that_equals_one_of_another_type_is_written_as_its_own_type() -> None:
    """What is remembered of attributes is found by equality, and `True == 1 == 1.0`."""
    for value in (1, True, 1.0, True, 1, "1", ("1",), ["1"], ("1",)):
        one = dataclasses.replace(parts.span(), attributes={"of.all.types": value})
        found = ExportTraceServiceRequest.FromString(protobuf.request([protobuf.span(one)], {}))
        theirs = encode_spans([_readable(one, Resource({}, conventions.SCHEMA_URL))])
        assert found == theirs


@pytest.mark.promise("T3")
def test_half_a_character_in_a_name_costs_neither_its_span_nor_its_batch() -> None:
    """A caller may name a tool so, and UTF-8 has no such text."""
    half = Span(
        name="tools/call \ud800",
        kind=Kind.SERVER,
        context=Context(parts.TRACE, "00f067aa0ba902b7", is_sampled=True),
        parent_id="",
        began_ns=1,
        ended_ns=2,
        attributes={"gen_ai.tool.name": "\ud800", "mesh7.rules": ["\udfff"]},
        error="no tool \ud800",
    )
    written = protobuf.request([protobuf.span(half)], parts.RESOURCE)
    (resource,) = ExportTraceServiceRequest.FromString(written).resource_spans
    assert [one.name for one in resource.scope_spans[0].spans] == ["tools/call ?"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"began_ns": -1},
        {"ended_ns": 2**64},
        {"parent_id": "12"},
        {"parent_id": "no hexadecimal!!"},
        {"attributes": {"n": 2**63}},
    ],
)
def test_what_has_no_place_in_a_span_is_refused(wrong: dict[str, object]) -> None:
    said = {
        "name": "x",
        "kind": Kind.CLIENT,
        "context": Context(parts.TRACE, "00f067aa0ba902b7", is_sampled=True),
        "parent_id": "",
        "began_ns": 1,
        "ended_ns": 2,
        "attributes": {},
    }
    with pytest.raises(ValueError, match=r"an id|a time|a number|hexadecimal"):
        protobuf.span(Span(**(said | wrong)))  # type: ignore[arg-type]  # chosen above


def _readable(span: Span, resource: Resource) -> ReadableSpan:
    failed = span.error is not None
    return ReadableSpan(
        name=span.name,
        context=_context(span.context),
        parent=_parent(span),
        resource=resource,
        attributes=span.attributes,
        events=[TheirEvent(one.name, one.attributes, one.at_ns) for one in span.events],
        links=[Link(_context(one, is_remote=True)) for one in span.links],
        kind=SpanKind[span.kind.name],
        status=Status(StatusCode.ERROR, span.error) if failed else Status(StatusCode.UNSET),
        start_time=span.began_ns,
        end_time=span.ended_ns,
        instrumentation_scope=_SCOPE,
    )


def _parent(span: Span) -> SpanContext | None:
    if not span.parent_id:
        return None
    is_remote = span.kind in {Kind.SERVER, Kind.CONSUMER}
    return SpanContext(int(span.context.trace_id, 16), int(span.parent_id, 16), is_remote)


def _context(context: Context, *, is_remote: bool = False) -> SpanContext:
    return SpanContext(
        int(context.trace_id, 16),
        int(context.span_id, 16),
        is_remote=is_remote,
        trace_flags=TraceFlags(int(context.is_sampled)),
        trace_state=TraceState.from_header([context.state]) if context.state else None,
    )
