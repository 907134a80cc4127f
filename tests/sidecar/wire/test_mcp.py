"""Classification in both eras; the SDK's pure ladder is the oracle where it has an opinion."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.shared import inbound
from mcp_types import methods as sdk_methods
from mcp_types import version as sdk_versions

from mesh7_core.policy.calls import Family
from mesh7_core.policy.reasons import Reason
from mesh7_sidecar.wire import headers, jsonrpc, mcp
from tests.sidecar.wire import messages

Kind = mcp.Kind
VERSION = headers.PROTOCOL_VERSION


def test_constants_are_those_of_the_specification() -> None:
    """The SDK is the copy of the specification at hand; the gateway does not import it."""
    assert sdk_versions.MODERN_PROTOCOL_VERSIONS == mcp.MODERN_VERSIONS
    assert sdk_versions.HANDSHAKE_PROTOCOL_VERSIONS == mcp.LEGACY_VERSIONS


@pytest.mark.promise("M6")
@pytest.mark.parametrize("version", sdk_versions.KNOWN_PROTOCOL_VERSIONS)
def test_every_method_of_a_revision_is_known_in_it_and_no_other(version: str) -> None:
    """M6: an allow-list per era; `tasks/*` is the modern extension that it adds."""
    known = {m for m, v in sdk_methods.CLIENT_REQUESTS if v == version}
    every = {m for m, _ in sdk_methods.CLIENT_REQUESTS} | {"tasks/list", "vendor/x", "Tools/call"}
    for method in sorted(every):
        if version in mcp.MODERN_VERSIONS:
            raw, head = messages.modern_body(method), messages.modern_head(method)
            status = 404
        else:
            raw, head, status = messages.body(method), [(VERSION, version.encode())], 200
        found = messages.ask(raw, head)
        is_unknown = isinstance(found, jsonrpc.Malformed) and found.code == -32601
        assert is_unknown == (method not in known), method
        if isinstance(found, jsonrpc.Malformed) and is_unknown:
            assert (found.status, found.id, found.reason) == (status, 1, Reason.UNKNOWN_METHOD)


@pytest.mark.parametrize(
    ("method", "params", "expected"),
    [
        (
            "tools/call", {"name": "add", "arguments": {"a": 1}},
            (Kind.TOOL_CALL, Family.TOOLS, "add"),
        ),
        ("tools/list", {}, (Kind.LIST, Family.TOOLS, "")),
        ("prompts/get", {"name": "p"}, (Kind.PROMPT, Family.PROMPTS, "p")),
        ("prompts/list", {}, (Kind.LIST, Family.PROMPTS, "")),
        ("resources/read", {"uri": "FILE:///a%62"}, (Kind.READ, Family.RESOURCES, "file:///ab")),
        ("resources/templates/list", {}, (Kind.LIST, Family.RESOURCES, "")),
        (
            "completion/complete", {"ref": {"type": "ref/prompt", "name": "p"}},
            (Kind.COMPLETE, Family.PROMPTS, "p"),
        ),
        (
            "completion/complete", {"ref": {"type": "ref/resource", "uri": "a://{x}"}},
            (Kind.COMPLETE, Family.RESOURCES, "a://{x}"),
        ),
    ],
)  # fmt: skip
def test_both_eras_ask_for_the_same_things(
    method: str, params: dict[str, object], expected: tuple[mcp.Kind, Family, str]
) -> None:
    """P1: one judge whatever the era."""
    name = params.get("name", params.get("uri"))
    modern = messages.asked(
        messages.modern_body(method, params),
        messages.modern_head(method, name if isinstance(name, str) else None),
    )
    legacy = messages.asked(messages.body(method, params), [])
    assert (modern.kind, modern.family, modern.name) == expected
    assert (legacy.kind, legacy.family, legacy.name) == expected
    assert (modern.is_modern, legacy.is_modern) == (True, False)
    assert modern.arguments == legacy.arguments == params.get("arguments", {})


CALL = messages.modern_body("tools/call", {"name": "refund", "arguments": {}})
HEAD = messages.modern_head("tools/call", "refund")


@pytest.mark.promise("X1")
@pytest.mark.parametrize(
    "head",
    [
        [],
        HEAD[1:],
        [(VERSION, b"2025-11-25"), *HEAD[1:]],
        [(VERSION, b"2024-11-05")],
        [(VERSION, b" 2026-07-28"), *HEAD[1:]],
        [HEAD[0], HEAD[2]],
        [HEAD[0], (headers.METHOD, b"tools/list"), HEAD[2]],
        [HEAD[0], (headers.METHOD, b"Tools/Call"), HEAD[2]],
        HEAD[:2],
        [*HEAD[:2], (headers.NAME, b"read")],
        [*HEAD[:2], (headers.NAME, b"Refund")],
        [*HEAD[:2], (headers.NAME, b"refund ")],
    ],
)
def test_a_modern_body_under_other_headers_is_refused(head: headers.HeaderList) -> None:
    """X1: an old or absent version header never disables the checks."""
    assert messages.refused(CALL, head) == (400, -32020)


@pytest.mark.promise("X1")
@pytest.mark.parametrize(
    "head",
    [
        [(headers.METHOD, b"tools/list")],
        [(VERSION, b"2025-11-25"), (headers.METHOD, b"tools/list")],
        [(headers.METHOD, b"tools/call"), (headers.NAME, b"other")],
        [(headers.NAME, b"=?base64?bad?=")],
    ],
)
def test_a_legacy_body_is_held_to_the_routing_headers_it_brings(head: headers.HeaderList) -> None:
    """X1: a router before the gateway may believe them."""
    assert messages.refused(messages.body("tools/call", {"name": "refund"}), head) == (400, -32020)


@pytest.mark.promise("X1")
def test_a_modern_header_over_a_legacy_body_is_refused() -> None:
    """The envelope is what makes a body modern."""
    assert messages.refused(messages.body("tools/call", {"name": "refund"}), HEAD) == (400, -32602)


@pytest.mark.promise("X1")
def test_an_unsupported_version_is_told_which_ones_are() -> None:
    """2026-07-28, versioning: `supported` and `requested`."""
    raw = messages.body(
        "tools/list",
        {"_meta": {mcp.META_VERSION: "2030-01-01", mcp.META_CAPABILITIES: {}}},
    )
    found = messages.ask(raw, [(VERSION, b"2030-01-01"), (headers.METHOD, b"tools/list")])
    assert found == jsonrpc.Malformed(
        400, -32022, "protocol version `2030-01-01` is not supported", 1,
        {"supported": ["2026-07-28"], "requested": "2030-01-01"},
    )  # fmt: skip


@pytest.mark.promise("X2")
@pytest.mark.parametrize("name", [VERSION, headers.METHOD, headers.NAME, headers.SESSION_ID])
def test_a_routing_header_that_comes_twice_is_refused(name: bytes) -> None:
    """X2: first-copy and last-copy readers would disagree, even about equal copies."""
    head = [*HEAD, (headers.SESSION_ID, b"s")]
    head.append(next(pair for pair in head if pair[0] == name))
    assert messages.refused(CALL, head) == (400, -32020)
    assert messages.refused(messages.body("ping"), [(name, b"x"), (name, b"x")]) == (400, -32020)


@pytest.mark.promise("X3")
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"refund", "refund"),
        (b"=?base64?cmVmdW5k?=", "refund"),
        (b"=?base64?w6k=?=", "\u00e9"),
        (b"=?BASE64?cmVmdW5k?=", "=?BASE64?cmVmdW5k?="),
        (b"=?base64?cmVmdW5k", "=?base64?cmVmdW5k"),
        (b"=?base64?cmVmdW5k?= ", "=?base64?cmVmdW5k?= "),
        (b"=?base64?cmVmdW5=?=", None),
        (b"=?base64?w6l=?=", None),
        (b"=?base64?w6k?=", None),
        (b"=?base64?cmVm dW5k?=", None),
        (b"=?base64?/w==?=", None),
        (b"=?base64??=", ""),
    ],
)
def test_the_sentinel_is_decoded_canonically_or_not_at_all(
    value: bytes, expected: str | None
) -> None:
    """X3, and the oracle agrees."""
    assert headers.decode_value(value) == expected
    assert inbound.decode_header_value(value.decode()) == expected


@given(st.text())
@pytest.mark.promise("X3")
def test_header_values_come_back_as_they_went(value: str) -> None:
    """And are the bytes that the SDK writes."""
    try:
        expected = inbound.encode_header_value(value)
    except UnicodeEncodeError:
        return
    assert headers.encode_value(value).decode() == expected
    assert headers.decode_value(headers.encode_value(value)) == value


META: st.SearchStrategy[dict[str, object]] = st.fixed_dictionaries(
    {},
    optional={
        mcp.META_VERSION: st.sampled_from(["2026-07-28", "2025-11-25", "x", None, 7]),
        mcp.META_CAPABILITIES: st.just({}),
    },
)
PARAMS: st.SearchStrategy[dict[str, object]] = st.fixed_dictionaries(
    {},
    optional={
        "_meta": META | st.none() | st.just([]),
        "name": st.sampled_from(["refund", "read", "\u00e9", None]),
        "uri": st.just("refund"),
    },
)
ROUTING = st.fixed_dictionaries(
    {},
    optional={
        "mcp-protocol-version": st.sampled_from(["2026-07-28", "x"]),
        "mcp-method": st.sampled_from(["tools/call", "tools/list", "resources/read"]),
        "mcp-name": st.sampled_from(["refund", "read", "=?base64?w6k=?=", "=?base64?x?="]),
    },
)


@given(st.sampled_from(["tools/call", "tools/list", "resources/read"]), PARAMS, ROUTING)
@pytest.mark.promise("X1")
def test_the_modern_ladder_answers_as_the_reference_does(
    method: str, params: dict[str, object], routing: dict[str, str]
) -> None:
    """Differential: the same rung, the same code, wherever both take the modern path."""
    head = [(name.encode(), value.encode()) for name, value in routing.items()]
    verdict = inbound.classify_inbound_request(
        {"method": method, "params": params}, headers=routing
    )
    meta = params.get("_meta")
    is_modern = "mcp-protocol-version" in routing or (isinstance(meta, dict) and bool(meta))
    found = messages.ask(messages.body(method, params), head)
    if not is_modern:
        return
    if isinstance(verdict, inbound.InboundLadderRejection):
        assert isinstance(found, jsonrpc.Malformed)
        assert (found.code, found.status) == (verdict.code, 400)
    elif isinstance(found, jsonrpc.Malformed):
        # The ladder ends before the target is looked at; a call without a name is ours to refuse.
        assert (found.code, params.get("name") and params.get("uri")) == (-32602, None)
    else:
        assert found.is_modern


@pytest.mark.promise("AG4")
@pytest.mark.parametrize(
    "method", ["tools/call", "resources/read", "tasks/cancel", "initialize", "server/discover"]
)
@pytest.mark.parametrize("head", [[], [(VERSION, b"2025-11-25")], HEAD])
def test_a_notification_with_a_requests_method_is_no_request(
    method: str, head: headers.HeaderList
) -> None:
    """AG4: AgentGuard broadcast such frames to every upstream."""
    raw = json.dumps({"jsonrpc": "2.0", "method": method, "params": {"name": "refund"}}).encode()
    assert messages.refused(raw, head) == (400, -32600)


@pytest.mark.promise("D32")
@pytest.mark.parametrize(
    ("method", "version", "kind"),
    [
        ("notifications/initialized", b"2025-11-25", Kind.NOTICE),
        ("notifications/cancelled", b"2024-11-05", Kind.NOTICE),
        ("notifications/progress", b"2025-06-18", Kind.NOTICE),
        ("notifications/roots/list_changed", b"2025-06-18", Kind.NOTICE),
        ("notifications/vendor", b"2025-11-25", Kind.IGNORED),
        ("tools/Call", b"2025-11-25", Kind.IGNORED),
        ("notifications/cancelled", b"2026-07-28", Kind.IGNORED),
    ],
)
def test_notifications_are_forwarded_or_forgotten_but_never_answered(
    method: str, version: bytes, kind: mcp.Kind
) -> None:
    """D32: flux7-mesh answered `notifications/cancelled` with an error."""
    raw = json.dumps({"jsonrpc": "2.0", "method": method}).encode()
    assert messages.asked(raw, [(VERSION, version)]).kind is kind


def test_a_response_is_an_answer_in_legacy_and_nothing_in_modern() -> None:
    """2026-07-28, transports: clients must not send responses."""
    raw = b'{"jsonrpc":"2.0","id":"s-1","result":{}}'
    assert messages.asked(raw, [(VERSION, b"2025-06-18")]).kind is Kind.ANSWER
    assert messages.refused(raw, [(VERSION, b"2026-07-28")]) == (400, -32600)


@pytest.mark.promise("X8")
@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tools/call", {}),
        ("tools/call", {"name": ""}),
        ("tools/call", {"name": 7}),
        ("tools/call", {"name": "a", "arguments": []}),
        ("tools/call", {"name": "a", "arguments": "x"}),
        ("tools/call", {"name": "a", "_meta": []}),
        ("resources/read", {"uri": "file:///a/../b"}),
        ("resources/read", {"uri": "no-scheme"}),
        ("resources/subscribe", {"uri": "file:///%2e%2E/b"}),
        ("completion/complete", {"ref": {"type": "ref/tool", "name": "a"}}),
        ("completion/complete", {}),
    ],
)
def test_a_target_that_is_not_properly_named_is_invalid_params(
    method: str, params: dict[str, object]
) -> None:
    """X8: legacy keeps HTTP 200 where the envelope was fine; `_meta` is part of it."""
    found = messages.ask(messages.body(method, params), [])
    assert isinstance(found, jsonrpc.Malformed)
    assert (found.code, found.id) == (-32602, 1)


@pytest.mark.promise("M6")
def test_a_listen_tells_which_resources_it_is_about() -> None:
    """M6: subscriptions are judged like reads."""
    wanted: dict[str, object] = {
        "notifications": {"resourceSubscriptions": ["FILE:///a", "memo://b"]}
    }
    listen = messages.read(messages.modern_body("subscriptions/listen", wanted))
    assert mcp.listened_resources(listen) == ("file:///a", "memo://b")
    bad: dict[str, object] = {"notifications": {"resourceSubscriptions": ["file:///../x"]}}
    assert isinstance(
        mcp.listened_resources(messages.read(messages.modern_body("subscriptions/listen", bad))),
        jsonrpc.Malformed,
    )


def test_tasks_are_named_by_header_and_body_alike() -> None:
    """SEP-2663: `Mcp-Name` is the task id."""
    raw = messages.modern_body("tasks/get", {"taskId": "t-1"})
    assert messages.asked(raw, messages.modern_head("tasks/get", "t-1")).name == "t-1"
    assert messages.refused(raw, messages.modern_head("tasks/get", "t-2")) == (400, -32020)


@pytest.mark.promise("X8")
def test_a_subscription_that_go_would_read_and_we_would_not_is_refused() -> None:
    """Found in review: `ResourceSubscriptions` went on unjudged, and Go servers fold case."""
    wanted: dict[str, object] = {"notifications": {"ResourceSubscriptions": ["secret://x"]}}
    listen = messages.read(messages.modern_body("subscriptions/listen", wanted))

    assert isinstance(mcp.listened_resources(listen), jsonrpc.Malformed)


@pytest.mark.promise("X8")
@pytest.mark.parametrize(
    "reference",
    [
        {"type": "ref/resource", "uri": "file:///ok", "URI": "secret://x"},
        {"type": "ref/resource", "uri": "file:///ok", "name": "x"},
        {"type": "ref/prompt", "name": "ok", "uri": "secret://x"},
        {"type": "ref/prompt", "name": "ok", "Name": "secret"},
    ],
)
def test_a_completion_that_names_two_things_is_refused(reference: dict[str, str]) -> None:
    """Found in review: the second name is what another reader might complete."""
    raw = messages.modern_body("completion/complete", {"ref": reference})

    assert messages.refused(raw, messages.modern_head("completion/complete")) == (400, -32602)


@pytest.mark.promise("X11")
def test_a_meta_object_that_would_hold_everybody_up_is_refused() -> None:
    """Found in review: a quarter of a million keys stopped the event loop for two seconds."""
    meta = messages.ENVELOPE | {f"k{number}": 1 for number in range(256)}
    raw = messages.body("tools/list", {"_meta": meta})

    assert messages.refused(raw, messages.modern_head("tools/list")) == (400, -32602)
