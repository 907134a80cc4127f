"""One call, one record: who asked for what, what was decided, what came of it.

Pure: no clock, no network, no logging. `lines` makes the record a line of the audit file.
"""

from enum import StrEnum

from mesh7_core.policy.calls import Call
from mesh7_core.policy.decision import Decision
from mesh7_core.telemetry.passage import Passage


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
        passage: by which door it came, when each step began, its trace.
        ended_ns: Unix time in nanoseconds.
        duration_ns: from the parsed request to the end of the answer.
        detail: for FAILED and PROTOCOL_ERROR, a short code; else empty.
        status: the HTTP status of a plain HTTP answer; 0 elsewhere.
        bundle: the digest of the bundle that judged, empty before the first.
        shown: what `shown.of` made of the arguments; empty before it was asked.
    """

    __slots__ = (
        "bundle", "call", "decision", "detail", "duration_ns", "ended_ns", "outcome", "passage",
        "shown", "status",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - one field each; a dataclass would cost five times as much
        self,
        call: Call,
        decision: Decision,
        outcome: Outcome,
        passage: Passage,
        *,
        ended_ns: int,
        duration_ns: int,
        bundle: str,
        detail: str = "",
        status: int = 0,
    ) -> None:
        self.call = call
        self.decision = decision
        self.outcome = outcome
        self.passage = passage
        self.ended_ns = ended_ns
        self.duration_ns = duration_ns
        self.bundle = bundle
        self.detail = detail
        self.status = status
        self.shown = b""
