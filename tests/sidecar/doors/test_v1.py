"""`/v1`: tools for programs without MCP, and the dry run."""

import json
from pathlib import Path

import pytest
from aiohttp import web

from tests.sidecar.doors import parts
from tests.sidecar.doors.scripted_source import LEGACY, MODERN, Script, Talk, serving, tool

SOURCE_ERAS = pytest.mark.parametrize("source_era", [MODERN, LEGACY])


@pytest.mark.promise("M2")
@pytest.mark.promise("M4")
async def test_the_list_has_every_tool_the_agent_may_call_under_its_full_name(
    tmp_path: Path,
) -> None:
    odd = b'{"x-vendor":1.50,"name":"odd","inputSchema":{"big":12345678901234567890123}}'
    one, two = Script(tools=[odd, tool("hidden-x")]), Script(tools=[tool("a.b")])
    async with (
        serving(one) as zoo,
        serving(two) as ark,
        serving(Script()) as down,
        parts.running(
            tmp_path,
            parts.source("zoo", zoo.url),
            parts.source("ark", ark.url),
            parts.source("gone", down.url),
            parts.source("keyless", zoo.url, "auth: {key: lost}"),
            parts.source("plain", zoo.url, kind="http"),
            parts.OPEN_POLICY,
        ) as gateway,
    ):
        await down.stop()
        reply = await gateway.agent.send("/v1/tools", method="GET")

    assert reply.status == 200
    first = b'{"name": "ark.a.b", "description": "a.b", "inputSchema": {"type": "object"}}'
    assert b'"tools":[' + first + b"," + odd.replace(b'"odd"', b'"zoo.odd"') + b"]" in reply.body
    unavailable = reply.json["unavailable"]
    assert isinstance(unavailable, list)
    assert [each["source"] for each in unavailable] == ["gone", "keyless"]
    assert "credential `lost` is missing" in unavailable[1]["error"]
    assert b"127.0.0.1" not in reply.body


@pytest.mark.promise("M4")
@pytest.mark.promise("AG17")
@SOURCE_ERAS
async def test_a_call_answers_the_result_object_and_keeps_every_number(
    tmp_path: Path, source_era: str
) -> None:
    async def echo(talk: Talk) -> web.StreamResponse:
        return talk.answer(
            b'{"content":[],"structuredContent":{"n":1.10},"_meta":{"mesh7.dev/rule":"x","y":1}}'
        )

    script = Script(eras=(source_era,), tools=[tool("echo")], calls={"echo": echo})
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        body = b'{ "\\u0061rguments" : {"n":1.10,"big":18446744073709551617,"e":1E2} }'
        reply = await gateway.agent.send("/v1/tools/s.echo", body)
        bare = await gateway.agent.send("/v1/tools/s.echo", b"{}")

    assert reply.body == b'{"content":[],"structuredContent":{"n":1.10},"_meta":{"y":1}}'
    assert reply.headers["content-type"] == "application/json"
    assert bare.status == 200
    sent = [talk.body for talk in script.asked("tools/call")]
    assert b'"arguments":{"n":1.10,"big":18446744073709551617,"e":1E2}' in sent[0]
    assert b'"arguments":{}' in sent[1]


@pytest.mark.promise("M3")
async def test_refusals_are_problems_and_tool_errors_are_results(tmp_path: Path) -> None:
    async def fail(talk: Talk) -> web.StreamResponse:
        return talk.answer({"content": [], "isError": True})

    script = Script(tools=[tool("risky"), tool("fail"), tool("hidden")], calls={"fail": fail})
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        risky: dict[str, object] = {"arguments": {"amount": 11}}
        denied = await gateway.agent.send("/v1/tools/s.risky", risky)
        unknown = [
            await gateway.agent.send(f"/v1/tools/{name}", {})
            for name in ("s.hidden", "s.none", "none.x")
        ]
        failed = await gateway.agent.send("/v1/tools/s.fail", {})

    assert (denied.status, denied.headers["content-type"]) == (403, "application/problem+json")
    assert denied.json["rule"] == "default/open/no-risk"
    assert [reply.status for reply in unknown] == [404] * 3
    assert [reply.json["detail"] for reply in unknown] == [
        "unknown tool `s.hidden`", "unknown tool `s.none`", "unknown tool `none.x`",
    ]  # fmt: skip
    assert (failed.status, failed.json) == (200, {"content": [], "isError": True})
    recorded = [(each["tool"], each["outcome"]) for each in parts.audited(tmp_path)]
    assert recorded == [
        ("s.risky", "refused"), ("s.hidden", "refused"), ("s.none", "refused"),
        ("none.x", "refused"), ("s.fail", "tool-error"),
    ]  # fmt: skip


@pytest.mark.promise("C4")
@pytest.mark.parametrize("path", ["/v1/tools/s.t", "/v1/decide"])
@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not strict JSON"), (b"{", "not strict JSON"), (b"[]", "must be a JSON object"),
        (b'{"arguments":[]}', "`arguments` must be an object"),
        (b'{"arguments":null}', "`arguments` must be an object"),
        (b'{"agent":{"serviceAccount":"root"}}', "a key that is not known here"),
        (b'{"Arguments":{}}', "a key that is not known here"),
        (b'{"arguments":{},"arguments":{}}', "not strict JSON"),
        (b'{"arguments":{"a":{"b":1,"b":2}}}', "not strict JSON"),
        (b'{"arguments":{"n":1e999}}', "a number that overflows"),
        (b'{"arguments":{"n":NaN}}', "not strict JSON"),
        (b'\xef\xbb\xbf{"arguments":{}}', "not strict JSON"),
        (b'{"arguments":{"s":"\\ud800"}}', "not strict JSON"),
    ],
)  # fmt: skip
async def test_a_bad_body_is_a_400_that_says_what_would_be_right(
    tmp_path: Path, path: str, body: bytes, says: str
) -> None:
    async with parts.running(tmp_path, parts.OPEN_POLICY) as gateway:
        reply = await gateway.agent.send(path, body)

    assert (reply.status, reply.json["reason"]) == (400, "malformed")
    assert says in str(reply.json["detail"])


@pytest.mark.promise("C4")
async def test_methods_and_types_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    async with parts.running(tmp_path, parts.OPEN_POLICY) as gateway:
        agent, text = gateway.agent, {"content-type": "text/plain"}
        found = {
            "get": await agent.send("/v1/decide", method="GET"),
            "put": await agent.send("/v1/tools/s.t", b"{}", method="PUT"),
            "post": await agent.send("/v1/tools", b"{}"),
            "text": await agent.send("/v1/decide", b"{}", text),
            "none": await agent.send("/v1/tools/s.t", b"{}", {}),
        }

    statuses = {name: reply.status for name, reply in found.items()}
    assert statuses == {"get": 405, "put": 405, "post": 405, "text": 415, "none": 415}
    assert found["post"].headers["allow"] == "GET"
    assert found["put"].headers["allow"] == "POST"


@pytest.mark.promise("P1")
@pytest.mark.parametrize(
    "body",
    [
        b"{}", b'{"tool":1.5}', b'{"tool":""}', b'{"tool":"s"}', b'{"tool":".t"}',
        b'{"tool":"s."}', b'{"tool":["s.t"]}', b'{"tool":"s.get","http":{"method":"GET"}}',
        b'{"tool":"s.get","http":{"method":"GET","path":"a"}}',
        b'{"tool":"s.get","http":{"method":"GET","path":"/a/../b"}}',
        b'{"tool":"s.get","http":{"method":1,"path":"/"}}', b'{"tool":"s.get","http":7}',
    ],
)  # fmt: skip
async def test_a_dry_run_of_nothing_is_refused(tmp_path: Path, body: bytes) -> None:
    async with parts.running(tmp_path, parts.OPEN_POLICY) as gateway:
        reply = await gateway.agent.send("/v1/decide", body)

    assert (reply.status, reply.json["reason"]) == (400, "malformed")


@pytest.mark.promise("P1")
async def test_a_dry_run_calls_nothing_and_is_recorded_as_what_it_is(tmp_path: Path) -> None:
    script = Script(tools=[tool("t")])
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        known = await gateway.agent.send("/v1/decide", {"tool": "s.t"})
        none = await gateway.agent.send("/v1/decide", {"tool": "s.none"})
        lost = await gateway.agent.send("/v1/decide", {"tool": "lost.t"})

    assert known.json == {
        "decision": "Allow", "rule": "default/open/tools", "reason": "allowed-by-rule",
    }  # fmt: skip
    assert none.json == {"decision": "Deny", "rule": None, "reason": "unknown-tool"}
    assert lost.json == none.json
    assert script.asked("tools/call") == []
    assert {each["outcome"] for each in parts.audited(tmp_path)} == {"dry-run"}


@pytest.mark.promise("X11")
async def test_dry_runs_are_capped_at_a_hundred_a_second(tmp_path: Path) -> None:
    """Design 3: so that nobody finds a hole by asking all day."""
    async with parts.running(tmp_path, parts.OPEN_POLICY) as gateway:
        statuses = [
            (await gateway.agent.send("/v1/decide", {"tool": "s.t"})).status for _ in range(100)
        ]
        reply = await gateway.agent.send("/v1/decide", {"tool": "s.t"})

    assert set(statuses) == {200}
    # A machine so slow that the hundred took a second has its second run already.
    assert reply.status in (200, 429)
    if reply.status == 429:
        assert (reply.json["reason"], reply.headers["retry-after"]) == ("too-many", "1")


@pytest.mark.promise("S5")
async def test_a_sources_json_rpc_error_is_a_502_with_its_message(tmp_path: Path) -> None:
    async def fail(talk: Talk) -> web.StreamResponse:
        error = {"code": -32602, "message": "no such thing"}
        raw = json.dumps({"jsonrpc": "2.0", "id": talk.message["id"], "error": error})
        return web.Response(text=raw, content_type="application/json")

    script = Script(tools=[tool("t")], calls={"t": fail})
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        reply = await gateway.agent.send("/v1/tools/s.t", {})

    assert reply.status == 502
    assert reply.json["detail"] == "source `s` answered with an error: no such thing"
