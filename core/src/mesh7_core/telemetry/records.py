"""One call, one record: who asked for what, what was decided, what came of it.

Pure: no clock, no network, no logging. `lines` makes the record a line of the audit file.
"""

from enum import StrEnum

from mesh7_core.policy.calls import Call
from mesh7_core.policy.decision import Decision


class Outcome(StrEnum):
    """What became of a call."""

    OK = "ok"
    TOOL_ERROR = "tool-error"
    PROTOCOL_ERROR = "protocol-error"
    FAILED = "failed"
    GONE = "gone"
    MOVED = "moved"
    REFUSED = "refused"
    DRY_RUN = "dry-run"


class Record:
    """What is known of one call when it is over. A plain slotted class: one a call.

    Attributes:
        ended_ns: Unix time in nanoseconds.
        duration_ns: from the parsed request to the end of the answer.
        door: which way in: `mcp`, `aggregate`, `v1`, `decide`, `http`.
        detail: for FAILED and PROTOCOL_ERROR, a short code; else empty.
        status: the HTTP status of a plain HTTP answer; 0 elsewhere.
        trace_id: 32 hex digits of the caller's trace, empty when it sent none.
        bundle: the digest of the bundle that judged, empty before the first.
    """

    __slots__ = (
        "bundle", "call", "decision", "detail", "door", "duration_ns", "ended_ns", "outcome",
        "status", "trace_id",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - one field each; a dataclass would cost five times as much
        self,
        call: Call,
        decision: Decision,
        outcome: Outcome,
        *,
        ended_ns: int,
        duration_ns: int,
        door: str,
        bundle: str,
        trace_id: str = "",
        detail: str = "",
        status: int = 0,
    ) -> None:
        self.call = call
        self.decision = decision
        self.outcome = outcome
        self.ended_ns = ended_ns
        self.duration_ns = duration_ns
        self.door = door
        self.bundle = bundle
        self.trace_id = trace_id
        self.detail = detail
        self.status = status
