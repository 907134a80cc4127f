"""A line of the audit → an OTLP log record: the line as its body, and what people search by.

Imported only by programs that send.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

import orjson
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    set_span_in_context,
)

from mesh7_core.otlp import encoding

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_SEVERITIES: Final = {
    "Allow": SeverityNumber.INFO,
    "Hold": SeverityNumber.INFO2,
    "Deny": SeverityNumber.WARN,
}
_KINDS: Final = ("decision", "deed", "seal", "torn", "dropped", "bundle")
"""A record of a call names its bundle too, so decisions come first."""
_BAD: Final = frozenset({"failed", "protocol-error"})
_NO_CONTEXT: Final = Context()
"""Else the SDK would look for a span that is current in this thread."""


def log_record(line: bytes, resource: Resource) -> ReadableLogRecord:
    """One line; one that is no JSON object is sent all the same, as a warning."""
    fields = _fields(line)
    kind = next((name for name in _KINDS if name in fields), "unknown")
    at_ns = _time_ns(fields.get("time"))
    severity = _severity(kind, fields)
    found = {"mesh7.audit.id": fields.get("id"), "mesh7.audit.kind": kind}
    return ReadableLogRecord(
        LogRecord(
            timestamp=at_ns or None,
            observed_timestamp=at_ns,
            context=_context(fields.get("traceId"), fields.get("spanId")),
            severity_number=severity,
            severity_text=severity.name,
            body=line.decode(errors="replace"),
            attributes={name: value for name, value in found.items() if isinstance(value, str)},
            event_name=f"mesh7.audit.{kind}",
        ),
        resource,
        encoding.SCOPE,
    )


def _fields(line: bytes) -> dict[str, object]:
    try:
        read: object = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return read if isinstance(read, dict) else {}


def _severity(kind: str, fields: dict[str, object]) -> SeverityNumber:
    match kind:
        case "decision" if fields.get("outcome") in _BAD:
            return SeverityNumber.ERROR
        case "decision":
            return _SEVERITIES.get(str(fields["decision"]), SeverityNumber.WARN)
        case "deed":
            return SeverityNumber.WARN if fields.get("refused") else SeverityNumber.INFO
        case "bundle":
            return SeverityNumber.INFO
        case "seal":
            return SeverityNumber.DEBUG
        case _:
            return SeverityNumber.WARN


def _time_ns(written: object) -> int:
    """0 when there is none, or none that can be read."""
    try:
        at = datetime.fromisoformat(written) if isinstance(written, str) else None
    except ValueError:
        return 0
    return 0 if at is None or at.tzinfo is None else (at - _EPOCH) // _MICROSECOND * 1000


def _context(trace_id: object, span_id: object) -> Context:
    """The span that a record was made in; a trace alone is kept too."""
    trace, span = _number(trace_id), _number(span_id)
    if not trace:
        return _NO_CONTEXT
    flags = TraceFlags(TraceFlags.SAMPLED if span else TraceFlags.DEFAULT)
    return set_span_in_context(
        NonRecordingSpan(SpanContext(trace, span, is_remote=False, trace_flags=flags)), _NO_CONTEXT
    )


def _number(written: object) -> int:
    try:
        return int(written, 16) if isinstance(written, str) else 0
    except ValueError:
        return 0
