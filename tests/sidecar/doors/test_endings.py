"""How one exchange ends: answered once, recorded once, and bounded whatever the source does."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest
from aiohttp import web
from multidict import CIMultiDict

from tests.sidecar.doors import parts
from tests.sidecar.doors.parts import BOTH, in_session
from tests.sidecar.doors.scripted_source import (
    Behaviour,
    Script,
    Talk,
    event,
    json_response,
    serving,
    text_result,
    tool,
)

BOUNDS = "bounds: {maxResponseSize: 64Ki}"
FLOOD_CHUNKS = 512
EVENTS = ("content-type", "text/event-stream")
JSON = ("content-type", "application/json")
WAYS = pytest.mark.parametrize("way", ["modern", "v1"])
CALL: dict[str, object] = {"name": "t", "arguments": {}}


def _flood(status: int, *types: tuple[str, str]) -> Behaviour:
    """Sixteen mebibytes of events, then silence."""

    async def behave(talk: Talk) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers=CIMultiDict(types))
        await response.prepare(talk.request)
        for _ in range(FLOOD_CHUNKS):
            await response.write(b": " + b"x" * 32_768 + b"\n\n")
        await asyncio.Event().wait()
        return response

    return behave


async def _failure(gateway: parts.Running, way: str) -> str:
    """What the agent hears of a call that failed."""
    if way == "v1":
        reply = await gateway.agent.send("/v1/tools/s.t", {"arguments": {}})
        assert reply.status == 502, reply.body
        return str(reply.json["detail"])
    reply = await gateway.agent.modern("/mcp/s", "tools/call", CALL)
    assert reply.result["isError"] is True, reply.body
    return reply.text


@pytest.mark.promise("X11")
@WAYS
@pytest.mark.parametrize(
    ("flood", "says"),
    [
        (_flood(500, EVENTS), "answered more than 65536 bytes"),
        (_flood(404, EVENTS), "answered more than 65536 bytes"),
        (_flood(200, EVENTS, JSON), "sent two content types"),
        (_flood(200, JSON, EVENTS), "sent two content types"),
    ],
    ids=["500", "404", "events-and-json", "json-and-events"],
)
async def test_what_is_read_whole_is_bounded_though_it_calls_itself_a_stream(
    tmp_path: Path, way: str, flood: Behaviour, says: str
) -> None:
    """Limits: `bounds.maxResponseSize`. Such an answer filled the memory, for ten minutes."""
    script = Script(tools=[tool("t")], calls={"t": flood})
    async with (
        serving(script) as source,
        parts.running(
            tmp_path, parts.source("s", source.url, BOUNDS), parts.OPEN_POLICY
        ) as gateway,
    ):
        text = await _failure(gateway, way)
        async with asyncio.timeout(parts.PATIENCE_S):
            await script.asked("tools/call")[0].gone.wait()

    assert text == f"source `s` {says}"
    assert [each["outcome"] for each in parts.audited(tmp_path)] == ["failed"]


class Lingering:
    """Answers a call on a stream and keeps the stream open until it is told."""

    def __init__(self) -> None:
        self.break_off = asyncio.Event()

    async def serve(self, talk: Talk) -> web.StreamResponse:
        """Answer; then stay, then break off."""
        response = await talk.stream()
        await response.write(event(talk.envelope(text_result("done"))))
        await self.break_off.wait()
        assert talk.request.transport is not None
        talk.request.transport.abort()
        return response


@pytest.mark.promise("M5")
@pytest.mark.promise("D39")
async def test_after_its_answer_an_exchange_is_over_though_the_source_keeps_its_stream_open(
    tmp_path: Path,
) -> None:
    """The agent waited for the source, and so did a stop of the gateway."""
    script = Script(tools=[tool("t")], calls={"t": Lingering().serve})
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        reply = await gateway.agent.modern("/mcp/s", "tools/call", CALL)
        async with asyncio.timeout(parts.PATIENCE_S):
            await gateway.stop()

    assert [each["result"] for each in reply.events] == [text_result("done")]
    assert [each["outcome"] for each in parts.audited(tmp_path)] == ["ok"]


@pytest.mark.promise("M5")
async def test_a_call_has_one_record_though_agent_and_source_break_off_after_its_answer(
    tmp_path: Path,
) -> None:
    """Reference, audit: one line for each call. There were two, `ok` and `failed` or `gone`."""
    lingering = Lingering()
    script = Script(tools=[tool("t"), tool("ok")], calls={"t": lingering.serve})
    bounds = "bounds: {maxConcurrency: 1}"
    async with (
        serving(script) as source,
        parts.running(
            tmp_path, parts.source("s", source.url, bounds), parts.OPEN_POLICY
        ) as gateway,
    ):
        body, fields = parts.modern_request("tools/call", CALL)
        async with gateway.agent.open("/mcp/s", body, fields) as response:
            first = await parts.next_event(response)
            response.close()
        lingering.break_off.set()
        # There is one place, so this is answered once the break is noticed.
        after = await gateway.agent.modern("/mcp/s", "tools/call", CALL | {"name": "ok"})

    assert (first["result"], after.text) == (text_result("done"), "ok")
    assert [each["outcome"] for each in parts.audited(tmp_path)] == ["ok", "ok"]


class Moving:
    """A source that ends a request's stream early and answers on the one that is resumed.

    Attributes:
        answers: what the resumed stream brings, in order.
    """

    def __init__(self, *answers: bytes) -> None:
        self.answers = answers

    async def leave(self, talk: Talk) -> web.StreamResponse:
        """An event id and no answer."""
        if talk.message["id"] != 7:
            # The gateway's own reading of the list.
            return json_response(talk.envelope(b'{"tools":[%b]}' % tool("t")))
        response = await talk.stream()
        await response.write(b"id: e1\ndata:\n\n")
        return response

    async def resume(self, talk: Talk) -> web.StreamResponse:
        """The answers."""
        response = await talk.stream()
        for answer in self.answers:
            await response.write(event(answer))
        return response


def _request(method: str, params: Mapping[str, object]) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": 7, "method": method, "params": dict(params)}


def _answer(identifier: bytes, result: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (identifier, result)


async def _resumed(gateway: parts.Running, request: Mapping[str, object]) -> list[parts.Reply]:
    """The answers to a request, to the stream resumed after it, and to one resumed again."""
    fields = BOTH | in_session(await gateway.agent.initialize("/mcp/s"))
    resuming = fields | {"last-event-id": "e1"}
    return [
        await gateway.agent.send("/mcp/s", request, fields),
        await gateway.agent.send("/mcp/s", None, resuming, "GET"),
        await gateway.agent.send("/mcp/s", None, resuming, "GET"),
    ]


@pytest.mark.promise("M5")
async def test_a_call_whose_stream_ends_early_is_recorded_once_as_moved(tmp_path: Path) -> None:
    """Reference, audit: `moved`. There were two records, or an error beside the answer."""
    done = _answer(b"7", b'{"content":[{"type":"text","text":"done"}]}')
    moving = Moving(done)
    script = Script(tools=[tool("t")], calls={"t": moving.leave}, methods={"GET": moving.resume})
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        left, came, again = await _resumed(gateway, _request("tools/call", CALL))

    assert (left.status, left.body) == (200, b"id: e1\ndata:\n\n")
    assert came.body == event(done)
    assert again.body == b"", "an answer is given once"
    recorded = parts.audited(tmp_path)
    assert [each["outcome"] for each in recorded] == ["moved"]
    assert "body" in recorded[0], "what was sent to the source is in the record"


@pytest.mark.promise("M2")
@pytest.mark.promise("D13")
async def test_an_answer_on_a_resumed_stream_passes_the_same_checks(tmp_path: Path) -> None:
    """A list came unfiltered that way, and answers to nothing with it."""
    entries = b",".join([tool("t"), tool("hidden-x")])
    whole = b'{"tools":[%b]}' % entries
    moving = Moving(_answer(b"8", whole), _answer(b'"7"', whole), _answer(b"7", whole))
    script = Script(methods={"tools/list": moving.leave, "GET": moving.resume})
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        came = (await _resumed(gateway, _request("tools/list", {})))[1]

    assert came.body == event(_answer(b"7", b'{"tools":[%b]}' % tool("t")))


@pytest.mark.promise("X7")
async def test_a_client_that_answers_nothing_is_told_so_at_every_door(tmp_path: Path) -> None:
    """The aggregate took it for a method without a name."""
    answer: dict[str, object] = {"jsonrpc": "2.0", "id": 1, "result": {}}
    async with (
        serving(Script()) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        replies = {}
        for path in ("/mcp", "/mcp/s"):
            fields = BOTH | in_session(await gateway.agent.initialize(path))
            replies[path] = await gateway.agent.send(path, answer, fields)

    assert replies["/mcp"].status == 400
    assert replies["/mcp"].error["code"] == -32600
    assert replies["/mcp"].body == replies["/mcp/s"].body


@pytest.mark.promise("P1")
async def test_a_dry_run_whose_tool_is_not_its_method_is_refused(tmp_path: Path) -> None:
    """No such call can be made, so an answer to it would be about another one."""
    async with parts.running(tmp_path, parts.OPEN_POLICY) as gateway:
        asked = {"tool": "s.get", "http": {"method": "DELETE", "path": "/"}}
        reply = await gateway.agent.send("/v1/decide", asked)

    assert (reply.status, reply.json["reason"]) == (400, "malformed")
    says = "`tool` must be `<source>.` and the lower-case method of `http`"
    assert reply.json["detail"] == says


@pytest.mark.promise("M5")
async def test_a_refused_subscription_names_the_resource(tmp_path: Path) -> None:
    """It named nothing, so that nobody knew which of several was meant."""
    uris = ["file:///open", "file:///secret"]
    async with (
        serving(Script()) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        wanted = {"notifications": {"resourceSubscriptions": uris}}
        reply = await gateway.agent.modern("/mcp/s", "subscriptions/listen", wanted)

    assert reply.error["message"] == "unknown resource `file:///secret`"
