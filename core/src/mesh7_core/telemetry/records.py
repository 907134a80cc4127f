"""One call, one record, one JSON line: who asked for what, what was decided, what came of it.

Pure: no clock, no network, no logging. The line's fields are documented in
docs/reference/audit.md. Arguments appear as a keyed digest, because plain hashes of small values
can be guessed (design 11).
"""

import json
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import blake2b

import orjson

from mesh7_core.policy.calls import Call
from mesh7_core.policy.decision import Decision, Verdict

DIGEST_BYTES = 16


class Outcome(StrEnum):
    """What became of a call."""

    OK = "ok"
    TOOL_ERROR = "tool-error"
    PROTOCOL_ERROR = "protocol-error"
    FAILED = "failed"
    GONE = "gone"
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


def line(record: Record, key: bytes) -> bytes:
    """The record as one line of JSON, without the newline.

    Args:
        record: of a call that is over.
        key: at least 16 random bytes, at most 64; digests of one key can be compared.
    """
    call, decision = record.call, record.decision
    fields: dict[str, object] = {
        "time": _rfc3339(record.ended_ns),
        "decision": decision.verdict,
        "reason": decision.reason,
        "rules": decision.rules,
        "family": call.family,
        "tool": call.full_name,
        "agent": {
            "namespace": call.agent.namespace,
            "serviceAccount": call.agent.service_account,
            "pod": call.agent.pod,
        },
        "arguments": arguments_digest(call.arguments, key),
        "outcome": record.outcome,
        "durationMs": round(record.duration_ns / 1e6, 3),
        "door": record.door,
        "bundle": record.bundle,
    }
    fields.update(_occasional(record))
    return orjson.dumps(fields)


def arguments_digest(arguments: dict[str, object], key: bytes) -> str:
    """`b2:` and 32 hex digits: BLAKE2b keyed with `key` over the arguments with sorted keys.

    Two spellings of one number (`1` and `1.0`) differ; the order of keys does not matter.
    """
    try:
        content = orjson.dumps(arguments, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # orjson stops at 64-bit integers; the standard library is slower and does not.
        content = json.dumps(arguments, sort_keys=True, separators=(",", ":")).encode()
    return "b2:" + blake2b(content, key=key, digest_size=DIGEST_BYTES).hexdigest()


def _occasional(record: Record) -> dict[str, object]:
    """The fields that a line carries only when they say something."""
    call, decision = record.call, record.decision
    fields: dict[str, object] = {}
    if decision.would is not None:
        fields["would"] = {
            "decision": decision.would.verdict,
            "reason": decision.would.reason,
            "rules": decision.would.rules,
        }
    if decision.verdict is not Verdict.ALLOW and decision.limit:
        fields["limit"] = decision.limit
    if call.http is not None:
        # The query may carry a secret; the path is what policy judged.
        fields["http"] = {"method": call.http.method, "path": call.http.path}
    said = {
        "detail": record.detail,
        "status": record.status,
        "session": call.session,
        "traceId": record.trace_id,
    }
    return fields | {name: value for name, value in said.items() if value}


def _rfc3339(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"
