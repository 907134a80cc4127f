"""A record as one line of JSON; its fields are documented in docs/reference/audit.md.

Arguments appear as a keyed digest, because plain hashes of small values can be guessed (design 11).
What many lines have in common is rendered once. Pure: no clock, no network, no logging.
"""

import json
from datetime import UTC, datetime
from hashlib import blake2b, sha256

import orjson

from mesh7_core.audit import shown
from mesh7_core.policy import calls
from mesh7_core.policy.decision import Decision
from mesh7_core.telemetry.records import Outcome, Record

DIGEST_BYTES = 16
MAXIMUM_REMEMBERED = 1024
MAXIMUM_CHARACTERS = 300
"""Of a name or session in a line: both are the agent's own, and could fill the disk (X11)."""

_Rendered = tuple[Decision, calls.Agent, bytes]


class Lines:
    """Renders records.

    Args:
        key: 16 to 64 random bytes; digests made with one key can be compared with each other.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._remembered: dict[tuple[int, int, Outcome, str, str], _Rendered] = {}
        self._second = -1
        self._date = b""

    def line(self, record: Record) -> bytes:
        """One JSON object, without the newline."""
        call = record.call
        seconds, nanoseconds = divmod(record.ended_ns, 1_000_000_000)
        if seconds != self._second:
            self._second = seconds
            self._date = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()
        microseconds = record.duration_ns // 1000
        return b'{"time":"%b.%06dZ",%b,"tool":%b,"arguments":"%b","durationMs":%d.%03d%b%b}' % (
            self._date,
            nanoseconds // 1000,
            self._common(record),
            orjson.dumps(_cut(f"{call.source}.{call.name}")),
            digest(call.arguments, self._key),
            microseconds // 1000,
            microseconds % 1000,
            _sent(record),
            _occasional(record),
        )

    def _common(self, record: Record) -> bytes:
        """What all calls of one agent with one decision and outcome have in common."""
        decision, agent = record.decision, record.call.agent
        place = (id(decision), id(agent), record.outcome, record.passage.door, record.bundle)
        found = self._remembered.get(place)
        # An id is given to another object once its owner is gone, so look who it is.
        if found is not None and found[0] is decision and found[1] is agent:
            return found[2]
        rendered = _render(record)
        if len(self._remembered) >= MAXIMUM_REMEMBERED:
            self._remembered.clear()
        self._remembered[place] = (decision, agent, rendered)
        return rendered


def digest(arguments: dict[str, object], key: bytes) -> bytes:
    """`b2:` and 32 hex digits: BLAKE2b keyed with `key` over the arguments with sorted keys.

    Two spellings of one number (`1` and `1.0`) differ; the order of keys does not matter.
    """
    try:
        content = orjson.dumps(arguments, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # orjson stops at 64-bit integers; the standard library is slower and does not.
        content = json.dumps(arguments, sort_keys=True, separators=(",", ":")).encode()
    return b"b2:" + blake2b(content, key=key, digest_size=DIGEST_BYTES).hexdigest().encode()


def _cut(text: str) -> str:
    return text if len(text) <= MAXIMUM_CHARACTERS else text[:MAXIMUM_CHARACTERS] + "…"


def _render(record: Record) -> bytes:
    decision, call = record.decision, record.call
    fields: dict[str, object] = {
        "decision": decision.verdict,
        "reason": decision.reason,
        "rules": decision.rules,
        "family": call.family,
        "agent": {
            "namespace": call.agent.namespace,
            "serviceAccount": call.agent.service_account,
            "pod": call.agent.pod,
        },
        "outcome": record.outcome,
        "door": record.passage.door,
        "bundle": record.bundle,
    }
    if decision.limit:
        fields["limit"] = decision.limit
    if decision.request_id:
        fields["requestId"] = decision.request_id
    if decision.grants:
        fields["grants"] = decision.grants
    if decision.would is not None:
        fields["would"] = {
            "decision": decision.would.verdict,
            "reason": decision.would.reason,
            "rules": decision.would.rules,
        }
    return orjson.dumps(fields)[1:-1]


def _sent(record: Record) -> bytes:
    """What went upstream and how long that took; nothing of a call that was refused."""
    passage = record.passage
    if not passage.sent_ns:
        return b""
    microseconds = max(0, passage.started_ns + record.duration_ns - passage.sent_ns) // 1000
    took = b',"upstreamMs":%d.%03d' % (microseconds // 1000, microseconds % 1000)
    if not passage.sent_body:
        return took
    # The bytes, not what they mean: whoever has them can show that these were sent.
    return b'%b,"body":"%b"' % (took, sha256(passage.sent_body).hexdigest().encode())


def _occasional(record: Record) -> bytes:
    """The fields that a line carries only when they say something."""
    call, passage = record.call, record.passage
    if not (
        record.detail
        or record.status
        or call.session
        or passage.caller is not None
        or passage.sampled is not None
        or passage.recording is not None
        or passage.wait_ns
        or passage.digest
        or call.http is not None
    ):
        return b""
    said: dict[str, object] = {
        "detail": record.detail,
        "status": record.status,
        "session": _cut(call.session),
        "traceId": passage.trace_id,
        "digest": passage.digest,
    }
    if passage.sampled is not None:
        said["spanId"] = passage.sampled.server.span_id
    if passage.wait_ns:
        said["waitMs"] = max(0, passage.judged_ns - passage.wait_ns) // 1000 / 1000
    if call.http is not None:
        # The query may carry a secret; the path is what policy judged.
        said["http"] = {"method": call.http.method, "path": _cut(call.http.path)}
    if passage.recording is not None:
        said["redacted"] = orjson.Fragment(shown.of(record))
    filled = {name: value for name, value in said.items() if value}
    return b"," + orjson.dumps(filled)[1:-1] if filled else b""
