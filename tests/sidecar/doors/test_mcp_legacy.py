"""`/mcp/<source>` for legacy clients: sessions, streams, and what a server asks back."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest
from aiohttp import web

from tests.sidecar.doors import parts
from tests.sidecar.doors.parts import BOTH, in_session
from tests.sidecar.doors.scripted_source import Script, Talk, event, serving, text_result, tool

TOOLS_CHANGED = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
SAMPLING = {"jsonrpc": "2.0", "id": 1, "method": "sampling/createMessage", "params": {}}
ELICITATION = {"jsonrpc": "2.0", "id": 1, "method": "elicitation/create", "params": {}}


def call(name: str, identifier: int = 1) -> dict[str, object]:
    """A tool call."""
    params = {"name": name, "arguments": {}}
    return {"jsonrpc": "2.0", "id": identifier, "method": "tools/call", "params": params}


class Stream:
    """A GET stream that the test writes to."""

    def __init__(self) -> None:
        self.opened: asyncio.Future[web.StreamResponse] = asyncio.Future()
        self._closed = asyncio.Event()

    async def serve(self, talk: Talk) -> web.StreamResponse:
        """Open the stream and keep it until `close`."""
        response = await talk.stream()
        self.opened.set_result(response)
        await self._closed.wait()
        return response

    async def write(self, message: Mapping[str, object]) -> None:
        """Send an event."""
        async with asyncio.timeout(parts.PATIENCE_S):
            await (await self.opened).write(event(message))

    def close(self) -> None:
        """End the stream."""
        self._closed.set()


@pytest.mark.promise("M7")
@pytest.mark.promise("X16")
async def test_anothers_session_is_as_unknown_as_an_invented_one(tmp_path: Path) -> None:
    script = Script(tools=[tool("ok")])
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        mine, other = gateway.joined("mine"), gateway.joined("other")
        for path in ("/mcp/s", "/mcp"):
            session = await mine.initialize(path)
            before = len(script.seen)
            stolen, invented = BOTH | in_session(session), BOTH | in_session("invented")
            body = call("ok") if path == "/mcp/s" else call("s_ok")
            modern, fields = parts.modern_request("tools/list", {})
            foreign = [
                await other.send(path, body, stolen),
                await other.send(path, None, stolen, "GET"),
                await other.send(path, None, stolen, "DELETE"),
                await mine.send(path, body, invented),
            ]
            smuggled = await other.send(path, modern, fields | {"mcp-session-id": session})
            assert [reply.status for reply in foreign] == [404] * 4
            assert foreign[0].body == foreign[3].body
            assert (smuggled.status == 404) is (path == "/mcp/s")
            seen = [talk.headers.get("mcp-session-id") for talk in script.seen[before:]]
            assert session not in seen
            assert (await mine.send(path, body, stolen)).text == "ok"


@pytest.mark.promise("M7")
async def test_each_client_session_is_one_upstream_session(tmp_path: Path) -> None:
    script = Script(tools=[tool("ok")])
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        sessions = [await gateway.agent.initialize("/mcp/s") for _ in range(2)]
        for session in sessions:
            await gateway.agent.send("/mcp/s", call("ok"), BOTH | in_session(session))

    used = [talk.headers.get("mcp-session-id") for talk in script.asked("tools/call")]
    assert used == sessions
    assert len(set(sessions)) == 2


@pytest.mark.promise("M7")
async def test_a_deleted_session_is_deleted_at_the_source_and_then_unknown(tmp_path: Path) -> None:
    script = Script(tools=[tool("ok")])
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        for path, name in (("/mcp/s", "ok"), ("/mcp", "s_ok")):
            fields = BOTH | in_session(await gateway.agent.initialize(path))
            deleted = await gateway.agent.send(path, None, fields, "DELETE")
            again = await gateway.agent.send(path, None, fields, "DELETE")
            after = await gateway.agent.send(path, call(name), fields)
            assert (deleted.status, again.status, after.status) == (200, 404, 404)

    deletions = [talk for talk in script.seen if talk.request.method == "DELETE"]
    assert len(deletions) == 1
    assert script.sessions == set()


@pytest.mark.promise("M7")
async def test_a_session_that_the_source_forgot_is_answered_404(tmp_path: Path) -> None:
    """The client then starts a new one; a 200 would make it wait for ever."""
    script = Script(tools=[tool("ok")])
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        session = await gateway.agent.initialize("/mcp/s")
        script.sessions.clear()
        lost = await gateway.agent.send("/mcp/s", call("ok"), BOTH | in_session(session))
        fresh = await gateway.agent.initialize("/mcp/s")
        reply = await gateway.agent.send("/mcp/s", call("ok"), BOTH | in_session(fresh))

    assert lost.status == 404
    assert reply.text == "ok"


@pytest.mark.promise("M5")
async def test_a_get_stream_passes_what_the_source_sends_and_polices_what_it_asks(
    tmp_path: Path,
) -> None:
    stream = Stream()
    script = Script(methods={"GET": stream.serve})
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        fields = BOTH | in_session(await gateway.agent.initialize("/mcp/s"))
        async with gateway.agent.open("/mcp/s", None, fields, "GET") as response:
            await stream.write(SAMPLING)
            await stream.write(ELICITATION)
            first = await parts.next_event(response)
            answer: dict[str, object] = {"jsonrpc": "2.0", "id": 1, "result": {"action": "accept"}}
            answered = await gateway.agent.send("/mcp/s", answer, fields)
            repeated = await gateway.agent.send("/mcp/s", answer, fields)
            stream.close()
            assert await response.read() == b""
        refused = [talk.message for talk in script.seen if "error" in talk.message]

    assert first == ELICITATION
    error = {"code": -32601, "message": "refused by policy"}
    assert refused == [{"jsonrpc": "2.0", "id": 1, "error": error}]
    assert (answered.status, repeated.status) == (202, 400)
    accepted = [talk.message for talk in script.seen if "result" in talk.message]
    assert accepted == [answer]


@pytest.mark.promise("M5")
@pytest.mark.promise("D13")
@pytest.mark.promise("AG18")
@pytest.mark.parametrize("question", [SAMPLING, ELICITATION], ids=lambda each: each["method"])
async def test_a_question_with_the_calls_own_id_is_never_its_answer(
    tmp_path: Path, question: dict[str, object]
) -> None:
    answered = asyncio.Event()

    async def asking(talk: Talk) -> web.StreamResponse:
        response = await talk.stream()
        await response.write(event(question))
        await answered.wait()
        await response.write(event(talk.envelope(text_result("done"))))
        return response

    script = Script(tools=[tool("asking")], calls={"asking": asking})

    async def heard() -> None:
        async with asyncio.timeout(parts.PATIENCE_S), script.news:
            await script.news.wait_for(
                lambda: any(talk.message and not talk.method for talk in script.seen)
            )
        answered.set()

    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        fields = BOTH | in_session(await gateway.agent.initialize("/mcp/s"))
        hearing = asyncio.ensure_future(heard())
        async with gateway.agent.open("/mcp/s", call("asking"), fields) as response:
            first = await parts.next_event(response)
            if question is ELICITATION:
                answer: dict[str, object] = {"jsonrpc": "2.0", "id": 1, "result": {}}
                assert (await gateway.agent.send("/mcp/s", answer, fields)).status == 202
                assert first == ELICITATION
                first = await parts.next_event(response)
        await hearing

    assert first["result"] == text_result("done")


@pytest.mark.promise("M5")
async def test_a_cancellation_is_passed_on_and_never_answered(tmp_path: Path) -> None:
    cancelled = asyncio.Event()

    async def endless(talk: Talk) -> web.StreamResponse:
        response = await talk.stream()
        await response.write(b": started\n\n")
        await cancelled.wait()
        return response

    async def cancel(_: Talk) -> web.StreamResponse:
        cancelled.set()
        return web.Response(status=202)

    script = Script(
        tools=[tool("endless")],
        calls={"endless": endless},
        methods={"notifications/cancelled": cancel},
    )
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        fields = BOTH | in_session(await gateway.agent.initialize("/mcp/s"))
        async with gateway.agent.open("/mcp/s", call("endless", 9), fields) as response:
            await response.content.readuntil(b"\n\n")
            notice: dict[str, object] = {"jsonrpc": "2.0", "method": "notifications/cancelled"}
            notice["params"] = {"requestId": 9}
            told = await gateway.agent.send("/mcp/s", notice, fields)
            await response.read()

    assert (told.status, told.body) == (202, b"")
    assert script.asked("notifications/cancelled")[0].params == {"requestId": 9}


@pytest.mark.promise("M2")
async def test_a_changed_list_is_read_again_before_the_next_call(tmp_path: Path) -> None:
    stream = Stream()
    script = Script(tools=[tool("old")], methods={"GET": stream.serve})
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        fields = BOTH | in_session(await gateway.agent.initialize("/mcp/s"))
        assert (await gateway.agent.send("/mcp/s", call("old"), fields)).text == "old"
        async with gateway.agent.open("/mcp/s", None, fields, "GET") as response:
            script.tools[:] = [tool("new")]
            await stream.write(TOOLS_CHANGED)
            assert await parts.next_event(response) == TOOLS_CHANGED
            gained = await gateway.agent.send("/mcp/s", call("new"), fields)
            lost = await gateway.agent.send("/mcp/s", call("old"), fields)
            stream.close()

    assert gained.text == "new"
    assert lost.text == "unknown tool `old`"


@pytest.mark.promise("M5")
async def test_a_source_without_a_get_stream_says_so_through_the_gateway(tmp_path: Path) -> None:
    script = Script()
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        fields = BOTH | in_session(await gateway.agent.initialize("/mcp/s"))
        with_session = await gateway.agent.send("/mcp/s", None, fields, "GET")
        without = await gateway.agent.send("/mcp/s", None, BOTH, "GET")

    assert (with_session.status, without.status) == (405, 405)
