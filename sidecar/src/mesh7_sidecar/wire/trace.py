"""W3C trace context: which trace a call belongs to. Pure: no clock, no network, no logging."""

import re

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
_INVALID = "0" * 32


def trace_id(traceparent: str | bytes | None) -> str:
    """The 32 hex digits of a `traceparent`; empty when there is none or it is not one."""
    if traceparent is None:
        return ""
    text = traceparent.decode("latin-1") if isinstance(traceparent, bytes) else traceparent
    match = _TRACEPARENT.fullmatch(text)
    if match is None or match[1] == _INVALID:
        return ""
    return match[1]
