"""A line of the audit → an OTLP log record: the line as its body, and what people search by.

Imported only by programs that send.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

import orjson
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber

from mesh7_core.otlp import scopes

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_SEVERITIES: Final = {
    "Allow": SeverityNumber.SEVERITY_NUMBER_INFO,
    "Hold": SeverityNumber.SEVERITY_NUMBER_INFO2,
    "Deny": SeverityNumber.SEVERITY_NUMBER_WARN,
}
_KINDS: Final = ("decision", "deed", "seal", "torn", "dropped", "bundle")
"""A record of a call names its bundle too, so decisions come first."""
_BAD: Final = frozenset({"failed", "protocol-error"})
_NAME_OF: Final = len("SEVERITY_NUMBER_")
_TRACE_BYTES: Final = 16
_SPAN_BYTES: Final = 8
_SAMPLED: Final = 1


def log_record(line: bytes) -> LogRecord:
    """One line; one that is no JSON object is sent all the same, as a warning."""
    fields = _fields(line)
    kind = next((name for name in _KINDS if name in fields), "unknown")
    at_ns = _time_ns(fields.get("time"))
    severity = _severity(kind, fields)
    trace_id = _identifier(fields.get("traceId"), _TRACE_BYTES)
    span_id = _identifier(fields.get("spanId"), _SPAN_BYTES) if trace_id else b""
    found = {"mesh7.audit.id": fields.get("id"), "mesh7.audit.kind": kind}
    said = {name: value for name, value in found.items() if isinstance(value, str)}
    return LogRecord(
        time_unix_nano=at_ns,
        observed_time_unix_nano=at_ns,
        trace_id=trace_id,
        span_id=span_id,
        flags=_SAMPLED if span_id else 0,
        severity_number=severity,
        severity_text=SeverityNumber.Name(severity)[_NAME_OF:],
        body=AnyValue(string_value=line.decode(errors="replace")),
        attributes=scopes.attributes(said),
        event_name=f"mesh7.audit.{kind}",
    )


def _fields(line: bytes) -> dict[str, object]:
    try:
        read: object = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return read if isinstance(read, dict) else {}


def _severity(kind: str, fields: dict[str, object]) -> SeverityNumber.ValueType:
    match kind:
        case "decision" if fields.get("outcome") in _BAD:
            return SeverityNumber.SEVERITY_NUMBER_ERROR
        case "decision":
            return _SEVERITIES.get(str(fields["decision"]), SeverityNumber.SEVERITY_NUMBER_WARN)
        case "deed":
            return (
                SeverityNumber.SEVERITY_NUMBER_WARN
                if fields.get("refused")
                else SeverityNumber.SEVERITY_NUMBER_INFO
            )
        case "bundle":
            return SeverityNumber.SEVERITY_NUMBER_INFO
        case "seal":
            return SeverityNumber.SEVERITY_NUMBER_DEBUG
        case _:
            return SeverityNumber.SEVERITY_NUMBER_WARN


def _time_ns(written: object) -> int:
    """0 when there is none, or none that can be read."""
    try:
        at = datetime.fromisoformat(written) if isinstance(written, str) else None
    except ValueError:
        return 0
    return 0 if at is None or at.tzinfo is None else (at - _EPOCH) // _MICROSECOND * 1000


def _identifier(written: object, size: int) -> bytes:
    """The span that a record was made in, or its trace; empty when it says none."""
    try:
        read = bytes.fromhex(written) if isinstance(written, str) else b""
    except ValueError:
        return b""
    return read if len(read) == size and any(read) else b""
