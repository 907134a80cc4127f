"""A hostile or broken source: what it says is never taken for what it is not."""

import asyncio
import contextlib
import gzip
import json
import zlib
from pathlib import Path

import pytest
from aiohttp import web

from tests.sidecar.doors import parts as doors
from tests.sidecar.doors.scripted_source import Script, Talk, event, json_response, text_result
from tests.sidecar.hostile.parts import Attack, attacked
from tests.sidecar.hostile.test_transport import MIB, resident_bytes
from tests.sidecar.lifecycle import parts
from tests.sidecar.lifecycle.parts import ALLOW_ALL, guarded

BOUND = "bounds: {maxResponseSize: 64Ki, timeout: 2s}"


@pytest.mark.promise("D13")
@pytest.mark.promise("AG18")
async def test_d13_a_server_s_request_is_not_the_answer_to_the_call_with_its_id(
    tmp_path: Path,
) -> None:
    """D13: the agent gets a successful null."""

    async def asks_first(talk: Talk) -> web.StreamResponse:
        stream = await talk.stream()
        request = {
            "jsonrpc": "2.0", "id": talk.message["id"], "method": "sampling/createMessage",
            "params": {"messages": [], "maxTokens": 1},
        }  # fmt: skip
        await stream.write(event(request))
        await stream.write(event(talk.envelope(text_result("the real answer"))))
        return stream

    async with attacked(tmp_path, ALLOW_ALL, script=Script(calls={"echo": asks_first})) as attack:
        agent = attack.served.agent
        modern = await agent.modern("/mcp/s", "tools/call", {"name": "echo"})
        session = await agent.initialize("/mcp/s")
        within = doors.in_session(session)
        legacy = await agent.legacy("/mcp/s", "tools/call", {"name": "echo"}, **within)
        aggregate = await agent.modern("/mcp", "tools/call", {"name": "s_echo"})
        v1 = await attack.served.call("s.echo")

    for reply in (modern, legacy):
        [answer] = [each for each in reply.events if "method" not in each]
        assert json.dumps(answer).count("the real answer") == 1
    assert b"the real answer" in aggregate.body
    assert b"the real answer" in v1.body


@pytest.mark.promise("D13")
async def test_d13_an_answer_to_another_request_is_no_answer(tmp_path: Path) -> None:
    """An id is never confused, nor is an answer without one taken."""
    wrong: list[bytes] = [
        b'{"jsonrpc":"2.0","id":ID1,"result":{"content":[]}}',
        b'{"jsonrpc":"2.0","id":"ID","result":{"content":[]}}',
        b'{"jsonrpc":"2.0","id":null,"result":{"content":[]}}',
        b'{"jsonrpc":"2.0","result":{"content":[]}}',
        b'{"jsonrpc":"2.0","id":ID,"result":null}',
        b'{"jsonrpc":"2.0","id":ID,"result":[]}',
        b'{"jsonrpc":"2.0","id":ID}',
        b'[{"jsonrpc":"2.0","id":ID,"result":{"content":[]}}]',
        b'{"jsonrpc":"2.0","id":ID,"result":{"content":[]}}{}',
        b"",
        b"<html>",
    ]

    async def answer_wrongly(talk: Talk) -> web.StreamResponse:
        identifier = json.dumps(talk.message["id"]).encode()
        arguments = talk.params["arguments"]
        assert isinstance(arguments, dict)
        return json_response(wrong[arguments["n"]].replace(b"ID", identifier))

    async with attacked(
        tmp_path, ALLOW_ALL, script=Script(calls={"echo": answer_wrongly})
    ) as attack:
        for number, text in enumerate(wrong):
            call: dict[str, object] = {"name": "echo", "arguments": {"n": number}}
            reply = await attack.served.agent.modern("/mcp/s", "tools/call", call)
            assert reply.result["isError"] is True, text
            assert reply.json["id"] == 1
        assert await attack.is_well()


@pytest.mark.promise("D30")
@pytest.mark.promise("M4")
async def test_d30_results_pass_as_they_are(tmp_path: Path) -> None:
    """D30: isError, structuredContent and images are lost; failures look like success."""
    result = (
        b'{"content":[{"type":"text","text":"caf\\u00e9"},{"type":"image","data":"AAAA",'
        b'"mimeType":"image/png"},{"type":"resource_link","uri":"a:b","name":"x"}],'
        b'"structuredContent":{"n":1.0e+2,"big":123456789012345678901234567890},"isError":true,'
        b'"resultType":"complete","unknown":{"z":1,"a":2}}'
    )

    async def failing(talk: Talk) -> web.StreamResponse:
        return talk.answer(result)

    async with attacked(tmp_path, ALLOW_ALL, script=Script(calls={"echo": failing})) as attack:
        modern = await attack.served.agent.modern("/mcp/s", "tools/call", {"name": "echo"})
        v1 = await attack.served.call("s.echo")

    assert modern.body == b'{"jsonrpc":"2.0","id":1,"result":%b}' % result
    assert v1.body == result


@pytest.mark.promise("D33")
async def test_d33_both_eras_are_spoken_and_other_versions_are_not(tmp_path: Path) -> None:
    """D33: 2024-11-05 only, no origin check, no version header."""
    async with attacked(tmp_path) as attack:
        agent = attack.served.agent
        discovered = await agent.modern("/mcp/s", "server/discover")
        assert doors.MODERN in discovered.result["supportedVersions"]  # type: ignore[operator]
        for revision in ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"):
            params: dict[str, object] = {
                "protocolVersion": revision, "capabilities": {},
                "clientInfo": {"name": "x", "version": "1"},
            }  # fmt: skip
            reply = await agent.legacy(
                "/mcp/s", "initialize", params, mcp_protocol_version=revision
            )
            assert reply.result["protocolVersion"] == revision
        unknown = await agent.legacy("/mcp/s", "tools/list", mcp_protocol_version="1999-01-01")
        assert unknown.status == 400
        page = await agent.legacy("/mcp/s", "tools/list", origin="http://evil.example")
        assert page.status == 403


@pytest.mark.promise("D34")
async def test_d34_a_call_that_waits_stops_no_ping_and_no_other_call(tmp_path: Path) -> None:
    """D34: one blocked call stops pings and all other calls for minutes; here on one child."""
    async with guarded(tmp_path, parts.stdio_source("s"), ALLOW_ALL) as served:
        await served.until(parts.is_ready("s"))
        session = await served.agent.initialize("/mcp/s")
        within = doors.in_session(session)
        waiting = [
            asyncio.ensure_future(
                served.agent.legacy("/mcp/s", "tools/call", {"name": "silent"}, **within)
            ),
            asyncio.ensure_future(served.agent.modern("/mcp/s", "tools/call", {"name": "silent"})),
        ]
        for _ in range(20):
            call: dict[str, object] = {"name": "echo", "arguments": {}}
            assert (await served.agent.legacy("/mcp/s", "ping", {}, **within)).status == 200
            assert (await served.agent.modern("/mcp/s", "tools/call", call)).status == 200
        assert not any(each.done() for each in waiting)
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


def encoded(body: bytes, coding: str) -> web.Response:
    """An answer in a coding that nobody asked for."""
    fields = {"content-type": "application/json", "content-encoding": coding}
    return web.Response(body=body, headers=fields)


def bomb() -> bytes:
    """100 MiB in 100 kB."""
    return gzip.compress(b'{"jsonrpc":"2.0","id":1,"result":{"x":"' + b" " * 100 * MIB + b'"}}')


@pytest.mark.promise("X10")
@pytest.mark.promise("X11")
async def test_x10_a_response_that_swells_is_cut_off(tmp_path: Path) -> None:
    """Compressed though nobody asked, too large, endless, or in one endless event."""
    compressed = await asyncio.to_thread(bomb)

    async def compressed_bomb(_: Talk) -> web.StreamResponse:
        return encoded(compressed, "gzip")

    async def deflated(talk: Talk) -> web.StreamResponse:
        return encoded(zlib.compress(talk.envelope({})), "deflate")

    async def large(talk: Talk) -> web.StreamResponse:
        return talk.answer(text_result("x" * MIB))

    async def endless(talk: Talk) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"content-type": "application/json"})
        return await pour(stream, talk, b" " * 65_536)

    async def endless_event(talk: Talk) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"content-type": "text/event-stream"})
        return await pour(stream, talk, b"data: " + b"x" * 65_536 + b"\n")

    async def endless_line(talk: Talk) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"content-type": "text/event-stream"})
        return await pour(stream, talk, b"x" * 65_536)

    async def endless_head(_: Talk) -> web.StreamResponse:
        lines = {f"x-{number}": "v" * 1_000 for number in range(100)}
        return web.Response(headers=lines | {"content-type": "application/json"})

    calls = {
        "bomb": compressed_bomb, "deflated": deflated, "large": large, "endless": endless,
        "event": endless_event, "line": endless_line, "head": endless_head,
    }  # fmt: skip
    script = Script(calls=dict(calls))
    async with attacked(
        tmp_path, ALLOW_ALL, script=script, more=BOUND, tools=tuple(calls)
    ) as attack:
        before = resident_bytes(attack.served.gateway.pid)
        for name in calls:
            reply = await attack.served.agent.modern("/mcp/s", "tools/call", {"name": name})
            assert b'"isError":true' in reply.body, name
            assert b"source `s` " in reply.body, name
            assert (await attack.served.call(f"s.{name}")).status == 502, name
            assert await attack.is_well(), name
        assert resident_bytes(attack.served.gateway.pid) - before < 20 * MIB


async def pour(stream: web.StreamResponse, talk: Talk, piece: bytes) -> web.StreamResponse:
    """Send the same until the other side closes."""
    await stream.prepare(talk.request)
    with contextlib.suppress(ConnectionError):
        while not talk.gone.is_set():
            await stream.write(piece)
    return stream


@pytest.mark.promise("X11")
@pytest.mark.promise("S9")
async def test_x11_endless_events_without_an_answer_end_in_time(tmp_path: Path) -> None:
    """Comments and notices keep a stream alive but not for ever; here by the agent's leaving."""

    async def chatter(talk: Talk) -> web.StreamResponse:
        stream = await talk.stream()
        with contextlib.suppress(ConnectionError):
            while not talk.gone.is_set():
                await stream.write(b": still here\n\n" * 1_000)
                await asyncio.sleep(0)  # let others have their turn
        return stream

    async with attacked(tmp_path, ALLOW_ALL, script=Script(calls={"echo": chatter})) as attack:
        before = resident_bytes(attack.served.gateway.pid)
        calls = [asyncio.ensure_future(follow(attack)) for _ in range(2)]
        await asyncio.gather(*calls)
        assert await attack.is_well()
        assert resident_bytes(attack.served.gateway.pid) - before < 20 * MIB


async def follow(attack: Attack) -> None:
    """Read some thousand comments of a stream, then leave."""
    body, fields = doors.modern_request("tools/call", {"name": "echo"})
    async with attack.served.agent.open("/mcp/s", body, fields) as response:
        read = 0
        while read < 50_000:
            read += len(await response.content.readany())
