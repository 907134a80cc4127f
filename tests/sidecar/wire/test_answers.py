"""What the gateway says itself: shape, words and codes."""

import json

import pytest
from mcp_types import CallToolResult

from mesh7_core.policy.decision import Decision, Verdict
from mesh7_core.policy.reasons import Reason
from mesh7_core.policy.rules import RuleId
from mesh7_sidecar.wire import answers, jsonrpc, mcp
from tests.sidecar.wire import messages

RULE = RuleId("shop/support/no-refunds")
DENIED = Decision(Verdict.DENY, Reason.DENIED_BY_RULE, (RULE,), "ask finance")
THROTTLED = Decision(
    Verdict.DENY, Reason.LIMIT_EXCEEDED, limit="shop/support/writes", retry_after_s=12
)
HELD = Decision(
    Verdict.HOLD, Reason.APPROVAL_REQUIRED, (RULE,), request_id="0192f3c4-aaaa", open_for_s=600
)
RUNNING = Decision(Verdict.HOLD, Reason.RUNNING, (RULE,), request_id="r-abc")
PENDING = Decision(Verdict.HOLD, Reason.APPROVAL_REQUIRED, (RULE,), request_id="r-abc")
UNKNOWN = Decision(Verdict.DENY, Reason.UNKNOWN_TOOL)


def call(name: str = "refund") -> mcp.Asked:
    return messages.asked(
        messages.modern_body("tools/call", {"name": name}), messages.modern_head("tools/call", name)
    )


def answered(decision: Decision, asked: mcp.Asked) -> dict[str, object]:
    status, fields, body = answers.refusal(decision, asked, f"billing.{asked.name}")
    assert (status, fields) == (200, [(b"content-type", b"application/json")])
    found = json.loads(body)
    assert isinstance(found, dict)
    return found


@pytest.mark.promise("M3")
def test_a_denial_is_an_error_result_that_names_the_rule() -> None:
    """M3: `isError` at HTTP 200, text for the model, `_meta` for machines."""
    assert answered(DENIED, call()) == {
        "jsonrpc": "2.0", "id": 1,
        "result": {
            "content": [{
                "type": "text",
                "text": "`billing.refund` was denied by rule `shop/support/no-refunds`"
                " (denied-by-rule): ask finance. The same call will be refused again: do something"
                " else, or ask the person you work for to change the policy.",
            }],
            "isError": True,
            "resultType": "complete",
            "_meta": {
                "mesh7.dev/decision": "Deny",
                "mesh7.dev/reason": "denied-by-rule",
                "mesh7.dev/rule": "shop/support/no-refunds",
            },
        },
    }  # fmt: skip


@pytest.mark.promise("M3")
@pytest.mark.parametrize(
    ("decision", "words", "meta"),
    [
        (
            THROTTLED, ["`shop/support/writes`", "12 s"],
            {"mesh7.dev/decision": "Deny", "mesh7.dev/reason": "limit-exceeded",
             "mesh7.dev/retryAfter": 12},
        ),
        (
            HELD, ["`0192f3c4-aaaa`", "`shop/support/no-refunds`", "not run", "same call", "10m"],
            {"mesh7.dev/decision": "Hold", "mesh7.dev/reason": "approval-required",
             "mesh7.dev/rule": "shop/support/no-refunds", "mesh7.dev/requestId": "0192f3c4-aaaa"},
        ),
        (
            RUNNING, ["approved", "running now", "`r-abc`", "same call", "not run twice"],
            {"mesh7.dev/decision": "Hold", "mesh7.dev/reason": "running",
             "mesh7.dev/rule": "shop/support/no-refunds", "mesh7.dev/requestId": "r-abc"},
        ),
    ],
)  # fmt: skip
def test_throttled_and_held_calls_say_what_to_do(
    decision: Decision, words: list[str], meta: dict[str, object]
) -> None:
    """M3, design 10: the limit and seconds; the whole request id."""
    result = answered(decision, call())["result"]
    assert isinstance(result, dict)
    assert result["_meta"] == meta
    assert all(word in result["content"][0]["text"] for word in words)


@pytest.mark.promise("M3")
def test_legacy_answers_do_not_know_result_types() -> None:
    """protocols.md 1.2: modern must have it, legacy omits it; else the same result."""
    legacy = messages.asked(messages.body("tools/call", {"name": "refund"}), [])
    old, new = answered(DENIED, legacy)["result"], answered(DENIED, call())["result"]
    assert isinstance(old, dict)
    assert isinstance(new, dict)
    assert {**old, "resultType": "complete"} == new


@pytest.mark.promise("M3")
@pytest.mark.promise("X21")
def test_an_unlisted_tool_and_an_unknown_one_answer_alike() -> None:
    """Design 4: byte for byte, no rule named, whatever is known inside."""
    hidden = Decision(Verdict.DENY, Reason.NOT_LISTED_BY_POLICY, (RULE,), "secret")
    assert answers.refusal(hidden, call(), "a.b") == answers.refusal(UNKNOWN, call(), "c")
    result = answered(hidden, call())["result"]
    assert isinstance(result, dict)
    assert result["content"] == [{"type": "text", "text": "unknown tool `refund`"}]


@pytest.mark.promise("M3")
@pytest.mark.parametrize("decision", [DENIED, THROTTLED, HELD, UNKNOWN])
def test_every_refusal_is_a_result_that_the_sdk_reads(decision: Decision) -> None:
    """M3: no client aborts on it."""
    parsed = CallToolResult.model_validate(answered(decision, call())["result"])
    assert parsed.is_error is True


@pytest.mark.promise("M3")
@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_words(reason: Reason) -> None:
    """A stranger's name is neutralised in all of them; braces in it are only braces."""
    for verdict in (Verdict.DENY, Verdict.HOLD):
        result = answered(Decision(verdict, reason), call("a\u202e{0}\x1b"))["result"]
        assert isinstance(result, dict)
        text = result["content"][0]["text"]
        assert text.isprintable()
        assert "a\\u{202e}{0}\\u{1b}" in text


@pytest.mark.promise("M6")
@pytest.mark.parametrize(
    ("decision", "code", "data"),
    [
        (DENIED, 403, {"decision": "Deny", "rule": RULE, "reason": "denied-by-rule"}),
        (THROTTLED, 429, {"decision": "Deny", "reason": "limit-exceeded", "retryAfter": 12}),
        (HELD, 202, {"decision": "Hold", "rule": RULE, "reason": "approval-required",
                     "requestId": "0192f3c4-aaaa"}),
    ],
)  # fmt: skip
def test_prompts_and_resources_are_refused_by_an_error_of_our_own(
    decision: Decision, code: int, data: dict[str, object]
) -> None:
    """Design 10: they have no `isError`; own codes lie outside the reserved range."""
    asked = messages.asked(messages.body("resources/read", {"uri": "memo://a"}), [])
    error = answered(decision, asked)["error"]
    assert isinstance(error, dict)
    assert (error["code"], error["data"]) == (code, data)
    assert "`billing.memo://a`" in error["message"]


def test_an_unknown_prompt_is_invalid_params() -> None:
    """2026-07-28, prompts: -32602."""
    asked = messages.asked(messages.body("prompts/get", {"name": "p"}), [])
    assert answered(UNKNOWN, asked)["error"] == {"code": -32602, "message": "unknown prompt `p`"}


@pytest.mark.promise("AG17")
def test_an_id_beyond_64_bits_comes_back_whole() -> None:
    """AG17."""
    raw = b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"a"}}' % 10**40
    assert answered(DENIED, messages.asked(raw, []))["id"] == 10**40


def test_malformed_input_gets_the_specifications_error() -> None:
    """With the id when it could be read, else null."""
    found = jsonrpc.parse(b"[]")
    assert isinstance(found, jsonrpc.Malformed)
    status, _, body = answers.malformed(found)
    assert (status, json.loads(body)) == (
        400,
        {
            "jsonrpc": "2.0", "id": None,
            "error": {
                "code": -32600,
                "message": "batches are not accepted, send one message per request",
            },
        },
    )  # fmt: skip


@pytest.mark.parametrize(
    ("decision", "status", "extra"),
    [
        (DENIED, 403, []),
        (THROTTLED, 429, [(b"retry-after", b"12")]),
        (PENDING, 403, [(b"retry-after", b"5")]),
        (Decision(Verdict.DENY, Reason.TOO_MANY_PENDING), 429, []),
        (UNKNOWN, 404, []),
        (Decision(Verdict.DENY, Reason.UNKNOWN_SOURCE), 404, []),
        (Decision(Verdict.DENY, Reason.LOOP_DETECTED), 429, []),
        (Decision(Verdict.DENY, Reason.NO_BUNDLE), 403, []),
    ],
)
def test_plain_http_is_refused_by_problem_json(
    decision: Decision, status: int, extra: list[tuple[bytes, bytes]]
) -> None:
    """Design 10: 403, or 429 with Retry-After."""
    found, fields, body = answers.problem(decision, "api.get")
    assert (found, fields) == (status, [(b"content-type", b"application/problem+json"), *extra])
    assert json.loads(body)["status"] == status
    assert json.loads(body)["reason"] == decision.reason.value


@pytest.mark.promise("A3")
def test_a_held_http_call_is_told_from_a_denied_one_by_its_type() -> None:
    """Design 6.2: 403 with Retry-After; repeating it is right, so programs must see it."""
    held = json.loads(answers.problem(PENDING, "api.post")[2])
    named = ("type", "decision", "reason", "requestId", "retryAfter")
    assert {key: held[key] for key in named} == {
        "type": "tag:mesh7.dev,2026:approval-pending", "decision": "Hold",
        "reason": "approval-required", "requestId": "r-abc", "retryAfter": 5,
    }  # fmt: skip
    assert json.loads(answers.problem(DENIED, "api.post")[2])["type"] == "about:blank"


@pytest.mark.promise("A3")
@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (
            Reason.DENIED_BY_PERSON,
            (
                "`billing.pay` was refused by a person (request `r-abc`): not this \\u{202e}month."
                " The same call will be refused again: do something else, or ask the person you"
                " work for."
            ),
        ),
        (
            Reason.APPROVAL_EXPIRED,
            (
                "`billing.pay` has not run: no approval came in time (request `r-abc`)."
                " Repeating exactly the same call asks for one again."
            ),
        ),
        (
            Reason.OUTCOME_UNKNOWN,
            (
                "`billing.pay` was approved and may have run, but its answer is lost"
                " (request `r-abc`). Look at what it changed before you do anything else;"
                " repeating it asks a person again."
            ),
        ),
        (
            Reason.VETOED,
            (
                "`billing.pay` was stopped by a person (request `r-abc`): not this \\u{202e}month."
                " It will be refused until that is lifted: do something else, or ask the person you"
                " work for."
            ),
        ),
        (
            Reason.TOO_MANY_PENDING,
            (
                "`billing.pay` was refused: too many calls wait for a person's approval already."
                " The same call can succeed later."
            ),
        ),
        (
            Reason.APPROVAL_UNAVAILABLE,
            (
                "`billing.pay` was refused: a person has to approve it, and none can be asked right"
                " now. The same call can succeed later."
            ),
        ),
    ],
)
def test_what_people_decided_is_told_with_their_words_and_without_their_names(
    reason: Reason, text: str
) -> None:
    """A3: the model learns whether it ran and whether to repeat it; words are made safe (X20)."""
    decision = Decision(Verdict.DENY, reason, (RULE,), "not this \u202emonth.", request_id="r-abc")
    result = answered(decision, call("pay"))["result"]
    assert isinstance(result, dict)
    assert result["content"] == [{"type": "text", "text": text}]


@pytest.mark.promise("A3")
def test_a_held_call_is_told_with_the_reason_that_its_rule_gives() -> None:
    """Design 6.2: what waits, that it has not run, and that repeating it is right."""
    held = Decision(
        Verdict.HOLD, Reason.APPROVAL_REQUIRED, (RULE,), "finance looks.", request_id="r-abc"
    )
    result = answered(held, call("pay"))["result"]
    assert isinstance(result, dict)
    assert result["content"][0]["text"] == (
        "`billing.pay` waits for a person's approval (rule `shop/support/no-refunds`),"
        " request `r-abc`: finance looks. It has not run. Repeat exactly the same call to get its"
        " result; with other arguments it would be a new request."
    )


@pytest.mark.promise("M3")
@pytest.mark.promise("X21")
def test_a_tool_whose_definition_changed_is_told_as_one_that_does_not_exist() -> None:
    """Design 8: it is hidden, so its refusal must not give it away."""
    changed = Decision(Verdict.DENY, Reason.DEFINITION_CHANGED, (RULE,))
    assert answers.refusal(changed, call(), "a.b") == answers.refusal(UNKNOWN, call(), "c")


@pytest.mark.promise("A7")
@pytest.mark.parametrize(
    ("kept", "modern", "legacy"),
    [
        (
            b'{"content":[],"resultType":"complete","n":1e400}',
            (
                b'{"_meta":{"mesh7.dev/replayOf":"r-abc"},"content":[],"resultType":"complete",'
                b'"n":1e400}'
            ),
            b'{"_meta":{"mesh7.dev/replayOf":"r-abc"},"content":[],"n":1e400}',
        ),
        (
            b'{"_meta":{"a":1},"isError":true}',
            b'{"resultType":"complete","_meta":{"mesh7.dev/replayOf":"r-abc","a":1},"isError":true}',
            b'{"_meta":{"mesh7.dev/replayOf":"r-abc","a":1},"isError":true}',
        ),
        (
            b'{"_meta":null}',
            b'{"resultType":"complete","_meta":{"mesh7.dev/replayOf":"r-abc"}}',
            b'{"_meta":{"mesh7.dev/replayOf":"r-abc"}}',
        ),
        (
            b"{}",
            b'{"resultType":"complete","_meta":{"mesh7.dev/replayOf":"r-abc"}}',
            b'{"_meta":{"mesh7.dev/replayOf":"r-abc"}}',
        ),
    ],
)
def test_a_kept_result_is_answered_under_the_repeats_id_in_its_era_and_marked(
    kept: bytes, modern: bytes, legacy: bytes
) -> None:
    """Design 6.5: marked; every other byte as the tool sent it (M4)."""
    old = messages.asked(messages.body("tools/call", {"name": "refund"}, id="z"), [])
    wrapped = b'{"jsonrpc":"2.0","id":%b,"result":%b}'
    assert answers.replayed(kept, call(), "r-abc")[2] == wrapped % (b"1", modern)
    assert answers.replayed(kept, old, "r-abc")[2] == wrapped % (b'"z"', legacy)


@pytest.mark.promise("A7")
def test_a_kept_resource_gets_the_keys_that_modern_clients_require() -> None:
    """protocols.md 1.2: `ttlMs` and `cacheScope` too."""
    raw = messages.modern_body("resources/read", {"uri": "memo://a"})
    asked = messages.asked(raw, messages.modern_head("resources/read", "memo://a"))
    found = json.loads(answers.replayed(b'{"contents":[]}', asked, "r-abc")[2])["result"]
    assert found == {
        "contents": [], "resultType": "complete", "ttlMs": 0, "cacheScope": "private",
        "_meta": {"mesh7.dev/replayOf": "r-abc"},
    }  # fmt: skip


def test_decide_answers_decision_rule_and_reason() -> None:
    """Design 10."""
    assert json.loads(answers.decided(DENIED)) == {
        "decision": "Deny", "rule": RULE, "reason": "denied-by-rule",
    }  # fmt: skip
    allowed = Decision(Verdict.ALLOW, Reason.AUDIT_ONLY)
    assert json.loads(answers.decided(allowed)) == {
        "decision": "Allow", "rule": None, "reason": "audit-only",
    }  # fmt: skip


def test_a_sources_failure_is_an_error_result_and_no_denial() -> None:
    """Design 10: it names the source; a notification gets a bare status."""
    status, _, body = answers.source_failure(call(), "source `billing` took too long")
    assert (status, json.loads(body)["result"]) == (
        200,
        {
            "content": [{"type": "text", "text": "source `billing` took too long"}],
            "isError": True, "resultType": "complete",
        },
    )  # fmt: skip
    listed = messages.asked(messages.body("tools/list"), [])
    assert json.loads(answers.source_failure(listed, "x")[2])["error"]["code"] == -32603
    notice = messages.asked(b'{"jsonrpc":"2.0","method":"notifications/initialized"}', [])
    assert answers.source_failure(notice, "x") == (502, [], b"")
