"""`/mcp/<source>`, what holds in both eras or in the modern one."""

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import web

from tests.sidecar.doors import parts
from tests.sidecar.doors.scripted_source import (
    LEGACY,
    MODERN,
    Script,
    Talk,
    event,
    serving,
    text_result,
    tool,
)

ERAS = pytest.mark.parametrize("era", [MODERN, LEGACY])
UNKNOWN_CALL = {
    "isError": True,
    "_meta": {"mesh7.dev/decision": "Deny", "mesh7.dev/reason": "unknown-tool"},
}


async def ask(
    gateway: parts.Running, era: str, method: str, params: dict[str, object] | None = None
) -> parts.Reply:
    """One request in an era, in a session of its own where there are sessions."""
    if era == MODERN:
        return await gateway.agent.modern("/mcp/s", method, params)
    session = await gateway.agent.initialize("/mcp/s")
    return await gateway.agent.legacy("/mcp/s", method, params, mcp_session_id=session)


@pytest.mark.promise("M2")
@pytest.mark.promise("D31")
@pytest.mark.promise("M4")
@ERAS
async def test_a_list_keeps_what_may_be_called_in_its_order_and_its_own_bytes(
    tmp_path: Path, era: str
) -> None:
    odd = b'{ "x-vendor": [1e3, 1.50, 12345678901234567890123], "name":"odd", "inputSchema":{} }'
    script = Script(tools=[tool("b"), tool("hidden-one"), odd, tool("a")])
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        reply = await ask(gateway, era, "tools/list")

    listed = b'"tools":[' + b",".join([tool("b"), odd, tool("a")]) + b"]"
    assert listed in reply.body
    cached = {key: reply.result.get(key) for key in ("cacheScope", "ttlMs")}
    is_modern = era == MODERN
    hints: dict[str, object] = {"cacheScope": "private", "ttlMs": 5000}
    assert cached == (hints if is_modern else dict.fromkeys(hints))


@pytest.mark.promise("M2")
@pytest.mark.promise("D31")
@ERAS
async def test_pages_of_a_list_stay_pages_with_the_sources_cursors(
    tmp_path: Path, era: str
) -> None:
    async def pages(talk: Talk) -> web.StreamResponse:
        if talk.params.get("cursor") == "ü/2":
            return talk.answer(b'{"tools":[' + tool("last") + b"]}")
        first = [tool("hidden-a"), tool("first")]
        return talk.answer(b'{"tools":[' + b",".join(first) + b'],"nextCursor":"\\u00fc/2"}')

    script = Script(methods={"tools/list": pages})
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        first = await ask(gateway, era, "tools/list")
        last = await ask(gateway, era, "tools/list", {"cursor": "ü/2"})
        called = await ask(gateway, era, "tools/call", {"name": "last", "arguments": {}})

    assert b'"nextCursor":"\\u00fc/2"' in first.body
    names = [[entry["name"] for entry in reply.result["tools"]] for reply in (first, last)]  # type: ignore[attr-defined]
    assert names == [["first"], ["last"]]
    assert called.text == "last"


@pytest.mark.promise("M4")
@pytest.mark.promise("AG17")
@pytest.mark.promise("D30")
@ERAS
async def test_a_call_and_its_result_pass_byte_for_byte(tmp_path: Path, era: str) -> None:
    result = (
        b'{"content" : [{"type":"hologram","x":1.0}],"structuredContent":[1e400, NaN],'
        b'"_meta":{"vendor/x":{}}, "resultType":"complete","big":123456789012345678901234567890}'
    )

    async def odd(talk: Talk) -> web.StreamResponse:
        return talk.answer(result)

    script = Script(tools=[tool("odd")], calls={"odd": odd})
    meta = json.dumps(parts.META).encode() if era == MODERN else b"{}"
    body = (
        b' {"jsonrpc":"2.0","id":123456789012345678901,"method":"tools/call","x-vendor":1.50,'
        b'"params":{"name":"odd","arguments":{"n":1.10,"big":18446744073709551617,"e":1E2},'
        b'"_meta":' + meta + b"}}\n"
    )
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        fields = parts.BOTH
        if era == MODERN:
            fields = parts.modern_request("tools/call", {"name": "odd"})[1]
        else:
            session = await gateway.agent.initialize("/mcp/s")
            fields = fields | parts.in_session(session)
        reply = await gateway.agent.send("/mcp/s", body, fields)

    assert script.asked("tools/call")[0].body == body
    assert reply.body == (b'{"jsonrpc":"2.0","id":123456789012345678901,"result":' + result + b"}")


@pytest.mark.promise("M3")
@pytest.mark.promise("X21")
@ERAS
async def test_hidden_and_unknown_tools_answer_alike_and_reach_nobody(
    tmp_path: Path, era: str
) -> None:
    script = Script(tools=[tool("hidden-one"), tool("excluded"), tool("ok")])
    async with (
        serving(script) as source,
        parts.running(
            tmp_path,
            parts.source("s", source.url, "tools: {exclude: [excluded]}"),
            parts.OPEN_POLICY,
        ) as gateway,
    ):
        found = [
            await ask(gateway, era, "tools/call", {"name": name, "arguments": {}})
            for name in ("hidden-one", "excluded", "made-up")
        ]

    for name, reply in zip(("hidden-one", "excluded", "made-up"), found, strict=True):
        text = [{"type": "text", "text": f"unknown tool `{name}`"}]
        complete = {"resultType": "complete"} if era == MODERN else {}
        assert (reply.status, reply.result) == (200, UNKNOWN_CALL | {"content": text} | complete)
    assert script.asked("tools/call") == []


@pytest.mark.promise("M3")
@ERAS
async def test_a_denied_call_says_which_rule_and_what_to_do(tmp_path: Path, era: str) -> None:
    script = Script(tools=[tool("risky")])
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        call: dict[str, object] = {"name": "risky", "arguments": {"amount": 11}}
        reply = await ask(gateway, era, "tools/call", call)

    assert reply.status == 200
    assert reply.result["isError"] is True
    assert reply.result.get("resultType") == ("complete" if era == MODERN else None)
    assert reply.meta == {
        "mesh7.dev/decision": "Deny",
        "mesh7.dev/reason": "denied-by-rule",
        "mesh7.dev/rule": "default/open/no-risk",
    }
    assert "`default/open/no-risk`" in reply.text
    assert "too much" in reply.text
    assert script.asked("tools/call") == []


@pytest.mark.promise("M3")
@ERAS
async def test_meta_of_ours_is_dropped_from_agents_and_sources(tmp_path: Path, era: str) -> None:
    async def forging(talk: Talk) -> web.StreamResponse:
        return talk.answer(
            {"content": [], "_meta": {"mesh7.dev/decision": "Hold", "other.dev/x": 1}}
        )

    script = Script(tools=[tool("forging")], calls={"forging": forging})
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        call: dict[str, object] = {"name": "forging", "arguments": {}}
        call["_meta"] = {"mesh7.dev/requestId": "x", "own": 2}
        reply = await ask(gateway, era, "tools/call", call)

    sent = script.asked("tools/call")[0].params["_meta"]
    assert isinstance(sent, dict)
    assert sent["own"] == 2
    assert not [key for key in sent if key.startswith("mesh7.dev/")]
    assert reply.meta == {"other.dev/x": 1}


@pytest.mark.promise("M5")
@ERAS
async def test_progress_comes_before_the_answer_and_while_the_call_runs(
    tmp_path: Path, era: str
) -> None:
    seen = asyncio.Event()

    async def slow(talk: Talk) -> web.StreamResponse:
        response = await talk.stream()
        params = {"progressToken": "t", "progress": 1}
        notice = {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}
        await response.write(b": hello\n\nid: 7\n" + event(notice))
        await seen.wait()
        await response.write(event(talk.envelope(text_result("done"))))
        return response

    script = Script(tools=[tool("slow")], calls={"slow": slow})
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        call: dict[str, object] = {"name": "slow", "arguments": {}}
        body, fields = parts.modern_request("tools/call", call)
        if era == LEGACY:
            session = await gateway.agent.initialize("/mcp/s")
            body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
            fields = parts.BOTH | parts.in_session(session)
        async with gateway.agent.open("/mcp/s", body, fields) as response:
            assert response.content_type == "text/event-stream"
            comment = await response.content.readuntil(b"\n\n")
            raw = await response.content.readuntil(b"\n\n")
            seen.set()
            answer = await parts.next_event(response)

    assert comment == b": hello\n\n"
    assert raw.startswith(b"id: 7\ndata: ")
    assert answer["result"] == text_result("done")


@pytest.mark.promise("M5")
async def test_a_modern_client_that_closes_its_stream_cancels_at_the_source(
    tmp_path: Path,
) -> None:
    async def endless(talk: Talk) -> web.StreamResponse:
        response = await talk.stream()
        await response.write(b": started\n\n")
        await asyncio.Event().wait()
        return response

    script = Script(tools=[tool("endless")], calls={"endless": endless})
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        body, fields = parts.modern_request("tools/call", {"name": "endless", "arguments": {}})
        async with gateway.agent.open("/mcp/s", body, fields) as response:
            await response.content.readuntil(b"\n\n")
        async with asyncio.timeout(parts.PATIENCE_S):
            await script.asked("tools/call")[0].gone.wait()

    assert [record["outcome"] for record in parts.audited(tmp_path)] == ["gone"]


@pytest.mark.promise("M5")
@pytest.mark.parametrize(
    ("asked", "passes"),
    [
        ({"q": {"method": "elicitation/create", "params": {}}}, True),
        ({"q": {"method": "sampling/createMessage", "params": {}}}, False),
        ({"q": {"method": "roots/list"}, "r": {"method": "elicitation/create"}}, False),
        ({"q": {"method": "vendor/steal"}}, False),
        ({"q": 7}, False),
    ],
    ids=str,
)
async def test_what_a_result_asks_back_for_is_policed(
    tmp_path: Path, asked: dict[str, object], passes: bool
) -> None:
    """Protocols 1.2: modern server requests are results; the ToolSource says which may pass."""
    result = {"resultType": "input_required", "inputRequests": asked, "requestState": "s"}

    async def asking(talk: Talk) -> web.StreamResponse:
        return talk.answer(result)

    script = Script(tools=[tool("asking")], calls={"asking": asking})
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        reply = await ask(gateway, MODERN, "tools/call", {"name": "asking", "arguments": {}})

    if passes:
        assert reply.result == result
    else:
        assert reply.result["isError"] is True
        assert reply.text.startswith("source `s` asked for input")


@pytest.mark.promise("M6")
@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("resources/read", {"uri": "file:///a/secret.txt"}),
        ("resources/read", {"uri": "file:///a/%73ecret.txt"}),
        ("prompts/get", {"name": "dark-one"}),
        ("completion/complete", {"ref": {"type": "ref/prompt", "name": "dark-one"}}),
        ("completion/complete", {"ref": {"type": "ref/resource", "uri": "file:///secret/{x}"}}),
    ],
    ids=str,
)
@ERAS
async def test_resources_and_prompts_that_a_rule_denies_are_unknown(
    tmp_path: Path, era: str, method: str, params: dict[str, object]
) -> None:
    script = Script()
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        reply = await ask(gateway, era, method, params)

    noun = "prompt" if "prompt" in json.dumps([method, params]) else "resource"
    assert (reply.status, reply.error["code"]) == (200, -32602)
    assert str(reply.error["message"]).startswith(f"unknown {noun} `")
    assert script.asked(method) == []
    assert [each["reason"] for each in parts.audited(tmp_path)] == ["denied-by-rule"]


@pytest.mark.promise("M6")
@ERAS
async def test_allowed_resources_and_prompts_pass_and_their_lists_are_cut(
    tmp_path: Path, era: str
) -> None:
    async def listed(talk: Talk) -> web.StreamResponse:
        resources = [{"uri": "file:///ok", "name": "ok"}, {"uri": "file:///secret", "name": "s"}]
        return talk.answer({"resources": resources})

    async def read(talk: Talk) -> web.StreamResponse:
        return talk.answer({"contents": [{"uri": talk.params["uri"], "text": "x"}]})

    script = Script(methods={"resources/list": listed, "resources/read": read})
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        found = await ask(gateway, era, "resources/list")
        reply = await ask(gateway, era, "resources/read", {"uri": "FILE:///o%6b"})

    assert found.result["resources"] == [{"uri": "file:///ok", "name": "ok"}]
    # Judged in its canonical form, forwarded as it came.
    assert reply.result["contents"] == [{"uri": "FILE:///o%6b", "text": "x"}]


@pytest.mark.promise("M6")
@pytest.mark.parametrize("method", ["vendor/do", "sampling/createMessage", "Tools/call"])
async def test_an_unknown_method_goes_nowhere_and_is_answered_in_its_era(
    tmp_path: Path, method: str
) -> None:
    script = Script()
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        modern = await ask(gateway, MODERN, method)
        legacy = await ask(gateway, LEGACY, method)

    assert (modern.status, modern.error["code"], modern.json["id"]) == (404, -32601, 1)
    assert (legacy.status, legacy.error["code"], legacy.json["id"]) == (200, -32601, 1)
    assert script.asked(method) == []


@pytest.mark.promise("AG4")
@pytest.mark.promise("M6")
async def test_a_notification_with_a_requests_method_executes_nothing(tmp_path: Path) -> None:
    script = Script(tools=[tool("ok")])
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        session = await gateway.agent.initialize("/mcp/s")
        notice: dict[str, object] = {"jsonrpc": "2.0", "method": "tools/call"}
        notice["params"] = {"name": "ok", "arguments": {}}
        fields = parts.BOTH | parts.in_session(session)
        replies = [
            await gateway.agent.send(path, notice, each)
            for path in ("/mcp/s", "/mcp")
            for each in (parts.BOTH, fields if path == "/mcp/s" else parts.BOTH)
        ]

    assert {reply.status for reply in replies} == {400}
    assert script.asked("tools/call") == []


@pytest.mark.promise("X11")
async def test_a_body_beyond_four_mebibytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    script = Script(tools=[tool("ok")])
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        body = b'{"x":"' + b"x" * (5 * 1024 * 1024) + b'"}'
        statuses = [
            (await gateway.agent.send(path, body)).status
            for path in ("/mcp/s", "/mcp", "/v1/decide", "/v1/tools/s.ok")
        ]

    assert statuses == [413] * 4


@pytest.mark.promise("X1")
@pytest.mark.parametrize(
    "changed",
    [
        {"mcp-name": "ok"}, {"mcp-method": "tools/list"}, {"mcp-protocol-version": LEGACY},
        {"mcp-protocol-version": "2027-01-01"}, {"mcp-name": "=?base64?b2s?="},
    ],
    ids=str,
)  # fmt: skip
async def test_headers_that_say_other_than_the_body_are_refused(
    tmp_path: Path, changed: dict[str, str]
) -> None:
    script = Script(tools=[tool("ok"), tool("risky")])
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        body, fields = parts.modern_request("tools/call", {"name": "risky", "arguments": {}})
        reply = await gateway.agent.send("/mcp/s", body, fields | changed)

    assert (reply.status, reply.error["code"]) == (400, -32020)
    assert script.asked("tools/call") == []


@pytest.mark.promise("M5")
async def test_a_subscription_streams_until_the_gateway_stops(tmp_path: Path) -> None:
    """Protocols 1.2: one POST stream; it ends at once when the gateway does (D39)."""

    async def listening(talk: Talk) -> web.StreamResponse:
        response = await talk.stream()
        notice = {"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged"}
        await response.write(event(notice))
        await asyncio.Event().wait()
        return response

    script = Script(methods={"subscriptions/listen": listening})
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        wanted: dict[str, object] = {"toolsListChanged": True}
        body, fields = parts.modern_request("subscriptions/listen", {"notifications": wanted})
        secret: dict[str, object] = {"resourceSubscriptions": ["file:///secret"]}
        refused = await ask(gateway, MODERN, "subscriptions/listen", {"notifications": secret})
        async with gateway.agent.open("/mcp/s", body, fields) as response:
            first = await parts.next_event(response)
            closing = asyncio.ensure_future(gateway.stop())
            rest = await response.read()
        async with asyncio.timeout(parts.PATIENCE_S):
            await closing

    assert first["method"] == "notifications/subscriptions/acknowledged"
    assert rest == b""
    assert refused.error["code"] == -32602


@pytest.mark.promise("X16")
async def test_a_task_is_known_to_the_agent_that_got_it_alone(tmp_path: Path) -> None:
    async def task(talk: Talk) -> web.StreamResponse:
        return talk.answer({"resultType": "task", "task": {"taskId": "t-1"}})

    async def state(talk: Talk) -> web.StreamResponse:
        return talk.answer({"resultType": "complete", "status": "working"})

    script = Script(tools=[tool("long")], calls={"long": task}, methods={"tasks/get": state})
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        await ask(gateway, MODERN, "tools/call", {"name": "long", "arguments": {}})
        named = {"taskId": "t-1"}
        mine = await gateway.agent.modern("/mcp/s", "tasks/get", named, mcp_name="t-1")
        other = gateway.joined("other")
        foreign = await other.modern("/mcp/s", "tasks/get", named, mcp_name="t-1")

    assert mine.result["status"] == "working"
    assert foreign.status == 400
    assert len(script.asked("tasks/get")) == 1


@pytest.mark.promise("M4")
@pytest.mark.promise("D32")
async def test_a_malformed_answer_is_not_taken_for_one(tmp_path: Path) -> None:
    """A response from an agent to nothing that was asked goes nowhere."""
    script = Script()
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        session = await gateway.agent.initialize("/mcp/s")
        before = len(script.seen)
        answer: dict[str, object] = {"jsonrpc": "2.0", "id": 7, "result": {}}
        reply = await gateway.agent.send("/mcp/s", answer, parts.BOTH | parts.in_session(session))

    assert reply.status == 400
    assert len(script.seen) == before
