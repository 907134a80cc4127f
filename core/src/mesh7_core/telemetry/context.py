"""W3C trace context: which trace something belongs to, read from and written as its two headers.

Source: https://www.w3.org/TR/trace-context/. Pure: no clock, no network, no logging.
"""

import re
from hashlib import blake2b
from typing import Final, NamedTuple

# Ids of zeros are none, `ff` is no version, and only later ones than `00` may have more fields.
_IDS: Final = r"-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]([0-9a-f])"
_TRACEPARENT: Final = re.compile(f"00{_IDS}")
_LATER: Final = re.compile(rf"(?!00|ff)[0-9a-f]{{2}}{_IDS}(?:-.*)?")
# Also for us: a state goes out as a header, and what comes in `_meta` could hold anything.
_MEMBER: Final = re.compile(
    r"[a-z0-9][a-z0-9_\-*/@]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
_SAMPLED: Final = "13579bdf"
"""Last digits of flags whose first bit is set."""
TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
"""As both headers and both keys of `_meta` are called."""
MOST_STATE: Final = 512
"""Characters of a `tracestate`; a longer one is left out, as the specification allows."""
MOST_MEMBERS: Final = 32
_SPAN_BYTES: Final = 8


class Context(NamedTuple):
    """One span, as others refer to it. A named tuple: made on many calls (design 13).

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
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.is_sampled else '00'}"


def read(traceparent: str | None, tracestate: str | None = None) -> Context | None:
    """What a caller says of itself; None when it says nothing, or nothing valid.

    A `tracestate` that is too long or not spelled as it should be is left out, and nothing else.
    """
    if traceparent is None:
        return None
    match = _TRACEPARENT.fullmatch(traceparent) or _LATER.fullmatch(traceparent)
    if match is None:
        return None
    trace_id, span_id, flags = match.groups()
    state = tracestate if tracestate and _is_state(tracestate) else ""
    return Context(trace_id, span_id, flags in _SAMPLED, state)


def child(parent: Context, name: str) -> Context:
    """The span `name` within a span of ours; the same two always make the same one."""
    said = f"{parent.trace_id}{parent.span_id}{name}".encode()
    identifier = blake2b(said, digest_size=_SPAN_BYTES).hexdigest()
    return Context(parent.trace_id, identifier, parent.is_sampled, parent.state)


def _is_state(text: str) -> bool:
    if len(text) > MOST_STATE:
        return False
    members = [member.strip(" \t") for member in text.split(",")]
    named = [member for member in members if member]
    return len(named) <= MOST_MEMBERS and all(_MEMBER.fullmatch(member) for member in named)
