"""Answers that the gateway makes itself, as bytes.

A refused, held, throttled or unknown `tools/call` is an `isError` result at HTTP 200: that is the
one form which every client shows to its model, and which none retries or aborts on (promise M3).
`prompts/get` and `resources/read` have no `isError`: a JSON-RPC error with a code of our own,
positive because the specification reserves the negative ones. Malformed input gets the
specification's codes, plain HTTP problem+json (RFC 9457).
Pure: no clock, no network, no logging.
"""

from collections.abc import Callable
from typing import Final

import orjson

from mesh7_core.policy.calls import Family
from mesh7_core.policy.decision import Decision, Verdict
from mesh7_core.policy.reasons import Reason
from mesh7_sidecar.wire import headers, jsonrpc, mcp, meta, names, splice, wording
from mesh7_sidecar.wire.headers import HeaderList

REFUSED_CODE: Final = 403
THROTTLED_CODE: Final = 429
HELD_CODE: Final = 202

PROBLEM: Final = (b"content-type", b"application/problem+json")
PENDING: Final = "tag:mesh7.dev,2026:approval-pending"
"""The problem type of a held plain HTTP call, the one kind that repeating is right for."""
PENDING_RETRY_S: Final = 5
"""When a program should ask again for a held call that says nothing else."""
REPLAY_OF: Final = b"x-mesh7-replay-of"

Answer = tuple[int, HeaderList, bytes]
"""Status, headers, body; `content-length` is the listener's business."""

_HEAD: Final = b'{"jsonrpc":"2.0","id":'
_ERROR: Final = b',"error":{"code":%d,"message":%b%b}}'
_RESULT: Final = b',"result":'
_TEXT: Final = b'{"content":[{"type":"text","text":'
# Modern results must say that they are complete; legacy clients do not know the word.
_TAILS: Final = {
    True: b'}],"isError":true,"resultType":"complete","_meta":{"' + meta.DECISION.encode() + b'":"',
    False: b'}],"isError":true,"_meta":{"' + meta.DECISION.encode() + b'":"',
}
_FAILED_TAILS: Final = {
    True: b'}],"isError":true,"resultType":"complete"}',
    False: b'}],"isError":true}',
}
_NOUNS: Final = {Family.TOOLS: "tool", Family.PROMPTS: "prompt", Family.RESOURCES: "resource"}
_AS_UNKNOWN: Final = Decision(Verdict.DENY, Reason.UNKNOWN_TOOL)


def refusal(decision: Decision, asked: mcp.Asked, name: str) -> Answer:
    """The answer to an MCP request that `decision` does not allow.

    Args:
        decision: Deny or Hold.
        asked: the request.
        name: what the text calls it: `<source>.<name>` at a source's own door, the name as sent
            at the aggregate's. An unknown name is shown as it was sent.
    """
    identifier = jsonrpc.encode_id(asked.message.id)
    if asked.kind is mcp.Kind.TOOL_CALL:
        shown = asked.name if decision.reason in wording.UNKNOWN else name
        result = refused_result(decision, shown, is_modern=asked.is_modern)
        return 200, [headers.JSON], _HEAD + identifier + _RESULT + result + b"}"
    family = asked.family or Family.RESOURCES
    if decision.reason in wording.UNKNOWN:
        text = wording.unknown(_NOUNS[family], asked.name)
        return 200, [headers.JSON], _error(identifier, jsonrpc.INVALID_PARAMS, text, None)
    text = wording.sentence(decision, name)
    return 200, [headers.JSON], _error(identifier, _code(decision), text, _facts(decision))


def refused_result(decision: Decision, name: str, *, is_modern: bool) -> bytes:
    """The result object of a refused or held call, as `/v1/tools` answers it too.

    Whatever the reason for not knowing a tool, the bytes are the same.
    """
    if decision.reason in wording.UNKNOWN:
        decision = _AS_UNKNOWN
        text = wording.unknown("tool", name)
    else:
        text = wording.sentence(decision, name)
    fields = b'%b","%b":"%b"' % (
        decision.verdict.encode(), _REASON_KEY, decision.reason.encode(),
    )  # fmt: skip
    if decision.rules:
        fields += b',"%b":%b' % (_RULE_KEY, orjson.dumps(", ".join(decision.rules)))
    if decision.request_id:
        fields += b',"%b":%b' % (_REQUEST_ID_KEY, orjson.dumps(decision.request_id))
    if decision.retry_after_s:
        fields += b',"%b":%d' % (_RETRY_AFTER_KEY, decision.retry_after_s)
    return _TEXT + orjson.dumps(text) + _TAILS[is_modern] + fields + b"}}"


def replayed(result: bytes, asked: mcp.Asked, request_id: str) -> Answer:
    """The kept result of an approved call under the id of a repeat, in the repeat's own era.

    The call that was approved may have come by another door.
    """
    body = marked(result, request_id)
    if not asked.is_modern:
        body = splice.remove_key(body, ("resultType",))
    else:
        body = completed(body, (), asked.kind)
    identifier = jsonrpc.encode_id(asked.message.id)
    return 200, [headers.JSON], _HEAD + identifier + _RESULT + body + b"}"


def marked(result: bytes, request_id: str) -> bytes:
    """A kept result object that says which request it is the result of."""
    mark = orjson.dumps(request_id)
    place = splice.span(result, ("_meta",))
    if place is not None and result[place[0] : place[0] + 1] == b"{":
        return splice.set_key(result, ("_meta", meta.REPLAY_OF), mark)
    return splice.set_key(result, ("_meta",), b'{"%b":%b}' % (meta.REPLAY_OF.encode(), mark))


def completed(body: bytes, path: splice.Path, kind: mcp.Kind) -> bytes:
    """`body` whose result at `path` has the keys that modern clients require.

    A legacy source does not know them.
    """
    if splice.span(body, (*path, "resultType")) is not None:
        return body
    body = splice.insert_key(body, path, "resultType", b'"complete"')
    if kind is mcp.Kind.READ:
        body = splice.insert_key(body, path, "cacheScope", b'"private"')
        body = splice.insert_key(body, path, "ttlMs", b"0")
    return body


def malformed(refused: jsonrpc.Malformed) -> Answer:
    """The JSON-RPC error for input that goes nowhere."""
    body = _error(jsonrpc.encode_id(refused.id), refused.code, refused.message, refused.data)
    return refused.status, [headers.JSON], body


def respond_malformed(
    respond: Callable[[int, HeaderList, bytes], None], refused: jsonrpc.Malformed
) -> None:
    """Answer with `malformed`."""
    respond(*malformed(refused))


def source_failure(asked: mcp.Asked, message: str) -> Answer:
    """The answer in the stead of a source that gave none.

    Args:
        asked: what was passed on; a notification or response gets a bare 502.
        message: names the source and never its address.
    """
    if asked.message.kind is not jsonrpc.Kind.REQUEST:
        return 502, [], b""
    identifier = jsonrpc.encode_id(asked.message.id)
    if asked.kind is mcp.Kind.TOOL_CALL:
        result = failed_result(message, is_modern=asked.is_modern)
        return 200, [headers.JSON], _HEAD + identifier + _RESULT + result + b"}"
    return 200, [headers.JSON], _error(identifier, jsonrpc.INTERNAL_ERROR, message, None)


def failed_result(message: str, *, is_modern: bool) -> bytes:
    """The result object of a call whose source failed; whether it ran is not known."""
    return _TEXT + orjson.dumps(names.shown(message, 1000)) + _FAILED_TAILS[is_modern]


def problem(decision: Decision, name: str) -> Answer:
    """The answer to a plain HTTP request that `decision` does not allow: 403, 404 or 429."""
    if decision.reason in wording.UNKNOWN:
        fields, body = plain_problem(404, Reason.UNKNOWN_TOOL, wording.unknown("tool", name))
        return 404, fields, body
    status = 429 if decision.reason in wording.THROTTLED else 403
    if decision.reason is Reason.UNKNOWN_SOURCE:
        status = 404
    text = wording.sentence(decision, name)
    facts, retry_after_s = _facts(decision), decision.retry_after_s
    if decision.verdict is Verdict.HOLD:
        retry_after_s = retry_after_s or PENDING_RETRY_S
        facts |= {"type": PENDING, "retryAfter": retry_after_s}
    fields, body = _problem(status, text, facts)
    if retry_after_s:
        fields.append((b"retry-after", b"%d" % retry_after_s))
    return status, fields, body


def plain_problem(status: int, reason: Reason, message: str) -> tuple[HeaderList, bytes]:
    """Headers and problem+json body of a refusal that no policy made."""
    return _problem(status, message, {"reason": reason.value})


def decided(decision: Decision) -> bytes:
    """The answer of `POST /v1/decide`; `rule` is null when none spoke."""
    return orjson.dumps({
        "decision": decision.verdict.value,
        "rule": ", ".join(decision.rules) or None,
        "reason": decision.reason.value,
    })  # fmt: skip


_REASON_KEY: Final = meta.REASON.encode()
_RULE_KEY: Final = meta.RULE.encode()
_REQUEST_ID_KEY: Final = meta.REQUEST_ID.encode()
_RETRY_AFTER_KEY: Final = meta.RETRY_AFTER.encode()


def _code(decision: Decision) -> int:
    if decision.verdict is Verdict.HOLD:
        return HELD_CODE
    return THROTTLED_CODE if decision.reason in wording.THROTTLED else REFUSED_CODE


def _facts(decision: Decision) -> dict[str, object]:
    """What machines read beside the text; keys without a value are left out."""
    facts: dict[str, object] = {
        "decision": decision.verdict.value,
        "rule": ", ".join(decision.rules),
        "reason": decision.reason.value,
        "requestId": decision.request_id,
        "retryAfter": decision.retry_after_s,
    }
    return {key: value for key, value in facts.items() if value}


def _error(identifier: bytes, code: int, message: str, data: dict[str, object] | None) -> bytes:
    extra = b"" if data is None else b',"data":' + orjson.dumps(data)
    return _HEAD + identifier + _ERROR % (code, orjson.dumps(message), extra)


def _problem(status: int, detail: str, facts: dict[str, object]) -> tuple[HeaderList, bytes]:
    body = {"type": "about:blank", "status": status, "detail": detail} | facts
    return [PROBLEM], orjson.dumps(body)
