"""A record as one line of JSON; its fields are documented in docs/reference/audit.md.

Arguments, and what was forwarded, appear as keyed digests, because plain hashes of small values can
be guessed (design 11).
What many lines have in common is rendered once. Pure: no clock, no network, no logging.
"""

import json
from datetime import UTC, datetime
from hashlib import blake2b

import orjson

from mesh7_core.audit import shown
from mesh7_core.policy import calls
from mesh7_core.policy.decision import Decision
from mesh7_core.telemetry import chosen
from mesh7_core.telemetry.records import Outcome, Record

DIGEST_BYTES = 16
MAXIMUM_REMEMBERED = 1024

_Rendered = tuple[Decision, calls.Agent, bytes]


class Lines:
    """Renders records.

    Args:
        key: 16 to 64 random bytes; digests made with one key can be compared with each other.
    """

    def __init__(self, key: bytes) -> None:
        # Begun once: a copy of it is cheaper than the key again.
        self._begun = blake2b(key=key, digest_size=DIGEST_BYTES)
        self._texts = chosen.Texts()
        self._tools: dict[tuple[calls.Family, str, str], bytes] = {}
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
        return b'{"time":"%b.%06dZ",%b,"tool":%b,"arguments":"b2:%b","durationMs":%d.%03d%b%b}' % (
            self._date,
            nanoseconds // 1000,
            self._common(record),
            self._tools.get((call.family, call.source, call.name)) or self._tool(call),
            self._keyed(_content(call.arguments)),
            microseconds // 1000,
            microseconds % 1000,
            self._sent(record),
            self._occasional(record),
        )

    def _keyed(self, content: bytes) -> bytes:
        """The digits of `keyed`."""
        begun = self._begun.copy()
        begun.update(content)
        return begun.hexdigest().encode()

    def _tool(self, call: calls.Call) -> bytes:
        """Remembered, for most calls name what calls before them named."""
        name = chosen.text(call.name, is_uri=call.family is calls.Family.RESOURCES)
        rendered = orjson.dumps(f"{call.source}.{name}" if call.source else name)
        if len(call.source) + len(call.name) <= chosen.MOST:
            if len(self._tools) >= MAXIMUM_REMEMBERED:
                self._tools.clear()
            self._tools[call.family, call.source, call.name] = rendered
        return rendered

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

    def _sent(self, record: Record) -> bytes:
        """What went upstream and how long that took; nothing of a call that was refused."""
        passage = record.passage
        if not passage.sent_ns:
            return b""
        microseconds = max(0, passage.started_ns + record.duration_ns - passage.sent_ns) // 1000
        took = b',"upstreamMs":%d.%03d' % (microseconds // 1000, microseconds % 1000)
        if not passage.sent_body:
            return took
        # The bytes, not what they mean: whoever has them can show that these were sent.
        return b'%b,"body":"b2:%b"' % (took, self._keyed(passage.sent_body))

    def _occasional(self, record: Record) -> bytes:
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
            "detail": self._texts.text(record.detail),
            "status": record.status,
            "session": self._texts.text(call.session),
            "traceId": passage.trace_id,
            "digest": passage.digest,
        }
        if passage.sampled is not None:
            said["spanId"] = passage.sampled.server.span_id
        if passage.wait_ns:
            said["waitMs"] = max(0, passage.judged_ns - passage.wait_ns) // 1000 / 1000
        if call.http is not None:
            # The query may carry a secret; the path is what policy judged.
            said["http"] = {"method": call.http.method, "path": self._texts.text(call.http.path)}
        if passage.recording is not None:
            said["redacted"] = orjson.Fragment(shown.of(record))
        filled = {name: value for name, value in said.items() if value}
        return b"," + orjson.dumps(filled)[1:-1] if filled else b""


def digest(arguments: dict[str, object], key: bytes) -> bytes:
    """`b2:` and 32 hex digits: BLAKE2b keyed with `key` over the arguments with sorted keys.

    Two spellings of one number (`1` and `1.0`) differ; the order of keys does not matter.
    """
    return keyed(_content(arguments), key)


def keyed(content: bytes, key: bytes) -> bytes:
    """`b2:` and 32 hex digits, which tell nothing of `content` without the key."""
    return b"b2:" + blake2b(content, key=key, digest_size=DIGEST_BYTES).hexdigest().encode()


def _content(arguments: dict[str, object]) -> bytes:
    try:
        return orjson.dumps(arguments, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # orjson stops at 64-bit integers; the standard library is slower and does not.
        return json.dumps(arguments, sort_keys=True, separators=(",", ":")).encode()


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
    if decision.retry_after_s:
        fields["retryAfter"] = decision.retry_after_s
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
