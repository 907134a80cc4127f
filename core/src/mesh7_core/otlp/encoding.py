"""Our values → the SDK's, which it encodes. Imported only by programs that send."""

from collections.abc import Mapping
from typing import Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

from mesh7_core import names
from mesh7_core.telemetry import conventions
from mesh7_core.telemetry.context import Context
from mesh7_core.telemetry.spans import Kind, Span

SCOPE: Final = InstrumentationScope("mesh7", names.RELEASE, conventions.SCHEMA_URL)
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_NOT_SAMPLED: Final = TraceFlags(TraceFlags.DEFAULT)
_KINDS: Final = {
    Kind.INTERNAL: SpanKind.INTERNAL,
    Kind.SERVER: SpanKind.SERVER,
    Kind.CLIENT: SpanKind.CLIENT,
    Kind.PRODUCER: SpanKind.PRODUCER,
    Kind.CONSUMER: SpanKind.CONSUMER,
}
_NOTHING_SAID: Final = Status(StatusCode.UNSET)


def resource_of(attributes: Mapping[str, str]) -> Resource:
    """Exactly these: the SDK's own detectors would read the environment once more."""
    return Resource(dict(attributes), conventions.SCHEMA_URL)


def readable(span: Span, resource: Resource) -> ReadableSpan:
    """One span, as the SDK's exporters take it."""
    return ReadableSpan(
        name=span.name,
        context=_context(span.context),
        parent=_parent(span),
        resource=resource,
        attributes=span.attributes,
        events=[Event(one.name, one.attributes, one.at_ns) for one in span.events],
        links=[Link(_context(one, is_remote=True)) for one in span.links],
        kind=_KINDS[span.kind],
        status=_NOTHING_SAID if span.error is None else Status(StatusCode.ERROR, span.error),
        start_time=span.began_ns,
        end_time=span.ended_ns,
        instrumentation_scope=SCOPE,
    )


def _parent(span: Span) -> SpanContext | None:
    if not span.parent_id:
        return None
    return SpanContext(
        int(span.context.trace_id, 16),
        int(span.parent_id, 16),
        is_remote=span.kind in {Kind.SERVER, Kind.CONSUMER},
    )


def _context(context: Context, *, is_remote: bool = False) -> SpanContext:
    return SpanContext(
        int(context.trace_id, 16),
        int(context.span_id, 16),
        is_remote=is_remote,
        trace_flags=_SAMPLED if context.is_sampled else _NOT_SAMPLED,
        trace_state=TraceState.from_header([context.state]) if context.state else None,
    )
