"""A source that fails: the agent hears which one, and never where it lives."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from tests.sidecar.doors import parts
from tests.sidecar.doors.scripted_source import (
    Behaviour,
    Script,
    Talk,
    json_response,
    serving,
    text_result,
    tool,
)

WAYS = pytest.mark.parametrize("way", ["modern", "legacy", "aggregate", "v1"])


def _status(status: int) -> Behaviour:
    async def behave(_: Talk) -> web.StreamResponse:
        return web.Response(status=status, text="at 127.0.0.1: Traceback")

    return behave


def _raw(body: bytes) -> Behaviour:
    async def behave(_: Talk) -> web.StreamResponse:
        return json_response(body)

    return behave


async def _silent(talk: Talk) -> web.StreamResponse:
    await talk.gone.wait()
    return web.Response()


async def _cut(talk: Talk) -> web.StreamResponse:
    assert talk.request.transport is not None
    talk.request.transport.abort()
    return web.Response()


async def _unanswered(talk: Talk) -> web.StreamResponse:
    response = await talk.stream()
    await response.write(b": bye\n\n")
    return response


async def _huge_event(talk: Talk) -> web.StreamResponse:
    response = await talk.stream()
    await response.write(b"data: " + b"x" * 200_000 + b"\n\n")
    return response


async def _no_json_rpc(talk: Talk) -> web.StreamResponse:
    response = await talk.stream()
    await response.write(b"data: hello\n\n")
    return response


async def _twice(talk: Talk) -> web.StreamResponse:
    raw = talk.envelope(text_result("one"))
    return json_response(raw + raw)


async def _other_type_of_id(talk: Talk) -> web.StreamResponse:
    talk.message["id"] = [talk.message["id"]]
    return talk.answer(text_result("x"))


FAILURES: dict[str, Behaviour] = {
    "401": _status(401),
    "403": _status(403),
    "500": _status(500),
    "302": _status(302),
    "204": _status(204),
    "silent": _silent,
    "cut": _cut,
    "garbage": _raw(b"<html>"),
    "empty": _raw(b""),
    "other-id": _raw(b'{"jsonrpc":"2.0","id":"other","result":{"content":[]}}'),
    "no-id": _raw(b'{"jsonrpc":"2.0","result":{"content":[]}}'),
    "list": _raw(b'[{"jsonrpc":"2.0","id":1,"result":{}}]'),
    "string-result": _raw(b'{"jsonrpc":"2.0","id":1,"result":"x"}'),
    "both": _raw(b'{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":"x"}}'),
    "request": _raw(b'{"jsonrpc":"2.0","id":1,"method":"ping"}'),
    "too-large": _raw(b'{"jsonrpc":"2.0","id":1,"result":{"x":"' + b"x" * 100_000 + b'"}}'),
    "twice": _twice,
    "list-id": _other_type_of_id,
    "unanswered-stream": _unanswered,
    "huge-event": _huge_event,
    "stream-of-text": _no_json_rpc,
}


def _bounds(failure: str) -> str:
    """Only silence is not waited for; the others answer, on a slow machine late."""
    timeout = "1s" if failure == "silent" else "1m"
    return f"bounds: {{timeout: {timeout}, maxResponseSize: 64Ki}}"


async def _call(gateway: parts.Running, way: str, name: str) -> tuple[bool, str, bytes]:
    """Whether it failed, what it says, and all of the answer."""
    arguments: dict[str, object] = {"arguments": {}}
    if way == "v1":
        reply = await gateway.agent.send(f"/v1/tools/s.{name}", arguments)
        text = reply.json.get("detail", "") if reply.status != 200 else ""
        return reply.status == 502, str(text), reply.body
    if way == "legacy":
        session = await gateway.agent.initialize("/mcp/s")
        params = arguments | {"name": name}
        reply = await gateway.agent.legacy("/mcp/s", "tools/call", params, mcp_session_id=session)
    else:
        path = "/mcp/s" if way == "modern" else "/mcp"
        params = arguments | {"name": name if way == "modern" else f"s_{name}"}
        reply = await gateway.agent.modern(path, "tools/call", params)
    assert reply.status == 200
    if reply.headers["content-type"] == "text/event-stream":
        reply = parts.Reply(200, {}, b"".join(reply.body.rsplit(b"data: ", 1)[1:]).strip())
    return reply.result.get("isError") is True, reply.text, reply.body


@pytest.mark.promise("S5")
@pytest.mark.promise("S9")
@WAYS
@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failing_source_is_named_and_its_address_is_not(
    tmp_path: Path, way: str, failure: str
) -> None:
    """Design 10: at an MCP door it is an `isError` result."""
    script = Script(tools=[tool("t"), tool("ok")], calls={"t": FAILURES[failure]})
    async with (
        serving(script) as source,
        parts.running(
            tmp_path, parts.source("s", source.url, _bounds(failure)), parts.OPEN_POLICY
        ) as gateway,
    ):
        failed, text, body = await _call(gateway, way, "t")
        after = await _call(gateway, way, "ok")

    assert failed, body
    assert text.startswith("source `s` ")
    assert b"127.0.0.1" not in body
    assert str(source.port).encode() not in body
    assert not after[0], "one failure spoils nothing"
    outcomes = [(record["decision"], record["outcome"]) for record in parts.audited(tmp_path)]
    assert outcomes == [("Allow", "failed"), ("Allow", "ok")]


@pytest.mark.promise("S9")
@WAYS
async def test_a_source_that_comes_back_is_used_again_without_a_restart(
    tmp_path: Path, way: str
) -> None:
    script = Script(tools=[tool("ok")])
    async with serving(script) as source:
        port = source.port
        await source.stop()
        async with parts.running(
            tmp_path, parts.source("s", source.url), parts.OPEN_POLICY
        ) as gateway:
            if way != "legacy":
                down = await _call(gateway, way if way != "v1" else "aggregate", "ok")
                assert down[0]
            await source.start(port)
            up = await _call(gateway, way, "ok")
            await source.stop()
            script.sessions.clear()
            await source.start(port)
            again = await _call(gateway, way, "ok")

    assert not up[0], up
    assert not again[0], again


@pytest.mark.promise("S9")
async def test_one_slow_source_slows_no_other(tmp_path: Path) -> None:
    slow, fast = Script(tools=[tool("t")], calls={"t": _silent}), Script(tools=[tool("t")])
    async with (
        serving(slow) as one,
        serving(fast) as two,
        parts.running(
            tmp_path,
            parts.source("s", one.url, "bounds: {timeout: 1m, maxConcurrency: 2}"),
            parts.source("f", two.url),
            parts.OPEN_POLICY,
        ) as gateway,
    ):
        await gateway.agent.modern("/mcp/s", "tools/list")
        body, fields = parts.modern_request("tools/call", {"name": "t", "arguments": {}})
        waiting = [
            asyncio.ensure_future(gateway.agent.send("/mcp/s", body, fields)) for _ in range(6)
        ]
        done, pending = await asyncio.wait(
            waiting, timeout=parts.PATIENCE_S, return_when=asyncio.FIRST_COMPLETED
        )
        quick = await gateway.agent.modern("/mcp/f", "tools/call", {"name": "t", "arguments": {}})
        for each in pending:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    # Two run, two wait, the others are told at once.
    busy = [each.result().text for each in done]
    assert quick.text == "t"
    assert all("too many calls" in text for text in busy)


@pytest.mark.promise("S9")
async def test_a_source_that_says_400_or_404_itself_is_passed_on(tmp_path: Path) -> None:
    """Design 10: these have a meaning in MCP."""

    async def refuse(_: Talk) -> web.StreamResponse:
        return json_response(b'{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"x"}}', 400)

    script = Script(tools=[tool("t")], calls={"t": refuse})
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        reply = await gateway.agent.modern("/mcp/s", "tools/call", {"name": "t", "arguments": {}})

    assert (reply.status, reply.error) == (400, {"code": -32602, "message": "x"})


@pytest.mark.promise("S5")
@pytest.mark.parametrize("method", ["tools/list", "resources/list", "prompts/get"])
@pytest.mark.parametrize("failure", ["401", "500", "silent", "garbage", "other-id", "too-large"])
async def test_what_is_no_call_fails_with_an_error_that_names_the_source(
    tmp_path: Path, method: str, failure: str
) -> None:
    """A 401 passed on would send the client to log in at the gateway."""
    script = Script(methods={method: FAILURES[failure]})
    params = {"name": "p"} if method == "prompts/get" else {}
    async with (
        serving(script) as source,
        parts.running(
            tmp_path, parts.source("s", source.url, _bounds(failure)), parts.OPEN_POLICY
        ) as gateway,
    ):
        reply = await gateway.agent.modern("/mcp/s", method, params)

    assert reply.status == 200
    assert str(reply.error["message"]).startswith("source `s` ")
    assert b"127.0.0.1" not in reply.body


@pytest.mark.promise("S6")
@WAYS
async def test_a_refused_credential_is_named(tmp_path: Path, way: str) -> None:
    """Design 10: a 401 from a source says which credential is missing."""
    script = Script(tools=[tool("t")], calls={"t": _status(401)})
    async with (
        serving(script) as source,
        parts.running(
            tmp_path, parts.source("s", source.url, "auth: {key: bill}"), parts.OPEN_POLICY,
            environment={"MESH7_CREDENTIAL_BILL": "s3cr3t-value"},
        ) as gateway,
    ):  # fmt: skip
        failed, text, body = await _call(gateway, way, "t")

    assert failed
    assert "`bill`" in text
    assert b"s3cr3t-value" not in body


@pytest.mark.promise("S6")
@WAYS
async def test_a_missing_credential_is_named_and_nothing_is_sent(tmp_path: Path, way: str) -> None:
    script = Script(tools=[tool("t")])
    async with (
        serving(script) as source,
        parts.running(
            tmp_path, parts.source("s", source.url, "auth: {key: bill}"), parts.OPEN_POLICY
        ) as gateway,
    ):
        if way == "legacy":
            found = await gateway.agent.legacy("/mcp/s", "initialize", {})
            text = str(found.error["message"])
        else:
            text = (await _call(gateway, way, "t"))[1]

    assert "credential `bill` is missing" in text
    assert script.seen == []
