"""W3C trace context: which trace something belongs to, read from and written as its two headers.

Source: https://www.w3.org/TR/trace-context/. Pure: no clock, no network, no logging.
"""

import re
from dataclasses import dataclass
from typing import Final

_TRACEPARENT: Final = re.compile(
    r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_SAMPLED: Final = 1
_VERSION: Final = "00"
MOST_STATE: Final = 512
"""Characters of a `tracestate`; a longer one is left out, as the specification allows."""


@dataclass(frozen=True, slots=True)
class Context:
    """One span, as others refer to it.

    Attributes:
        trace_id: 32 hex digits in lower case, not all zero.
        span_id: 16, likewise.
        is_sampled: whether whoever made it records it.
        state: the `tracestate` that came with it; empty when there was none.
    """

    trace_id: str
    span_id: str
    is_sampled: bool
    state: str = ""

    @property
    def traceparent(self) -> str:
        """As the header is written."""
        return f"{_VERSION}-{self.trace_id}-{self.span_id}-{'01' if self.is_sampled else '00'}"


def read(traceparent: str | None, tracestate: str | None = None) -> Context | None:
    """What a caller says of itself; None when it says nothing, or nothing valid."""
    if traceparent is None:
        return None
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None or not match[2].strip("0") or not match[3].strip("0"):
        return None
    if match[1] == _VERSION and match[5]:
        return None
    state = tracestate if tracestate is not None and len(tracestate) <= MOST_STATE else ""
    return Context(match[2], match[3], bool(int(match[4], 16) & _SAMPLED), state)
