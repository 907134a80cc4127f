"""Streams that may last for hours: how many, for how long, and whom they must not keep waiting."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.conftest import Eventually
from tests.sidecar.doors import parts
from tests.sidecar.doors.parts import BOTH, in_session
from tests.sidecar.doors.scripted_source import Script, Talk, event, serving, text_result, tool
from tests.sidecar.lifecycle.parts import stdio_source

NEWS: dict[str, object] = {"jsonrpc": "2.0", "method": "notifications/message", "params": {}}
ONE_PLACE = "bounds: {maxConcurrency: 1}"
NO_B = parts.OPEN_POLICY.replace("*.*secret*", "*.*b*")


class Streams:
    """Streams of a source, kept open until the agent or the gateway leaves."""

    def __init__(self) -> None:
        self.talks: list[Talk] = []
        self._open: list[web.StreamResponse] = []

    async def serve(self, talk: Talk) -> web.StreamResponse:
        """Open one, with an event to begin with."""
        self.talks.append(talk)
        response = await talk.stream()
        self._open.append(response)
        await response.write(event(NEWS))
        await asyncio.Event().wait()
        return response

    async def tell_news(self) -> None:
        """Send an event on every stream that is still open."""
        for talk, response in zip(self.talks, self._open, strict=True):
            if not talk.gone.is_set():
                await response.write(event(NEWS))


def _subscription(uri: str) -> tuple[dict[str, object], dict[str, str]]:
    wanted = {"notifications": {"resourceSubscriptions": [uri]}}
    return parts.modern_request("subscriptions/listen", wanted)


def _digest(status: Mapping[str, object]) -> object:
    found = status["bundle"]
    assert isinstance(found, dict)
    return found["digest"]


async def _reload(gateway: parts.Running, eventually: Eventually, *manifests: str) -> None:
    """Put other manifests in force."""
    before = _digest(gateway.status)
    parts.write(gateway.folder, *manifests)
    await eventually(lambda: _digest(gateway.status) != before)


@pytest.mark.promise("X11")
async def test_a_session_has_one_stream_at_a_time(tmp_path: Path) -> None:
    """Each took a connection and memory, as many as an agent asked for."""
    streams = Streams()
    script = Script(methods={"GET": streams.serve})
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        fields = BOTH | in_session(await gateway.agent.initialize("/mcp/s"))
        other = BOTH | in_session(await gateway.agent.initialize("/mcp/s"))
        async with gateway.agent.open("/mcp/s", None, fields, "GET") as response:
            await parts.next_event(response)
            second = await gateway.agent.send("/mcp/s", None, fields, "GET")
            async with gateway.agent.open("/mcp/s", None, other, "GET") as another:
                assert await parts.next_event(another) == NEWS
        async with asyncio.timeout(parts.PATIENCE_S):
            await streams.talks[0].gone.wait()
        async with gateway.agent.open("/mcp/s", None, fields, "GET") as again:
            assert await parts.next_event(again) == NEWS

    assert (second.status, second.error["code"]) == (409, -32600)


@pytest.mark.promise("X11")
async def test_a_session_of_the_aggregate_has_one_stream_at_a_time(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with parts.running(tmp_path, parts.OPEN_POLICY) as gateway:
        fields = BOTH | in_session(await gateway.agent.initialize("/mcp"))
        async with gateway.agent.open("/mcp", None, fields, "GET") as response:
            second = await gateway.agent.send("/mcp", None, fields, "GET")
            await _reload(gateway, eventually, NO_B)
            told = await parts.next_event(response)

    assert second.status == 409
    assert told["method"] == "notifications/tools/list_changed"


@pytest.mark.promise("M5")
async def test_a_stream_is_resumed_beside_the_one_that_is_open(tmp_path: Path) -> None:
    """Clients fetch a moved answer while their own stream stays open; sixteen at most."""
    streams = Streams()
    script = Script(methods={"GET": streams.serve})
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
        asyncio.TaskGroup() as group,
    ):
        fields = BOTH | in_session(await gateway.agent.initialize("/mcp/s"))
        resuming = fields | {"last-event-id": "e1"}
        opened: asyncio.Queue[dict[str, object]] = asyncio.Queue()

        async def hold(each: Mapping[str, str]) -> None:
            async with gateway.agent.open("/mcp/s", None, each, "GET") as response:
                opened.put_nowait(await parts.next_event(response))
                await response.read()

        for each in [fields, *[resuming] * 16]:
            group.create_task(hold(each))
        async with asyncio.timeout(parts.PATIENCE_S):
            for _ in range(17):
                assert await opened.get() == NEWS
        beyond = await gateway.agent.send("/mcp/s", None, resuming, "GET")
        await gateway.stop()

    assert beyond.status == 409


@pytest.mark.promise("S9")
async def test_open_streams_take_no_place_from_calls(tmp_path: Path) -> None:
    """With as many streams as `bounds.maxConcurrency` no call was answered any more."""
    streams = Streams()
    script = Script(
        tools=[tool("ok")], methods={"GET": streams.serve, "subscriptions/listen": streams.serve}
    )
    async with (
        serving(script) as source,
        parts.running(
            tmp_path, parts.source("s", source.url, ONE_PLACE), parts.OPEN_POLICY
        ) as gateway,
    ):
        fields = BOTH | in_session(await gateway.agent.initialize("/mcp/s"))
        body, listening = _subscription("file:///a")
        async with (
            gateway.agent.open("/mcp/s", None, fields, "GET") as one,
            gateway.agent.open("/mcp/s", body, listening) as two,
        ):
            await parts.next_event(one)
            await parts.next_event(two)
            named = {"name": "ok", "arguments": {}}
            reply = await gateway.agent.modern("/mcp/s", "tools/call", named)

    assert reply.result == text_result("ok")


@pytest.mark.promise("X15")
@pytest.mark.promise("X16")
async def test_a_session_ends_with_the_server_that_opened_it(
    tmp_path: Path, eventually: Eventually
) -> None:
    """After an edit of the source's URL the id of the old server's session went to the new one."""
    old, new = Script(tools=[tool("ok")]), Script(tools=[tool("ok")])
    async with (
        serving(old) as one,
        serving(new) as two,
        parts.running(tmp_path, parts.source("s", one.url), parts.OPEN_POLICY) as gateway,
    ):
        fields = BOTH | in_session(await gateway.agent.initialize("/mcp/s"))
        await _reload(gateway, eventually, parts.source("s", two.url), parts.OPEN_POLICY)
        request: dict[str, object] = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        modern, modern_fields = parts.modern_request("tools/list", {})
        smuggled = modern_fields | {"mcp-session-id": fields["mcp-session-id"]}
        replies = [
            await gateway.agent.send("/mcp/s", request, fields),
            await gateway.agent.send("/mcp/s", modern, smuggled),
            await gateway.agent.send("/mcp/s", None, fields, "GET"),
            await gateway.agent.send("/mcp/s", None, fields, "DELETE"),
        ]
        # So that the new server is asked for certain before we look at what it saw.
        await gateway.agent.modern("/mcp/s", "tools/call", {"name": "ok", "arguments": {}})

    assert [reply.status for reply in replies] == [404] * 4
    assert {talk.headers.get("mcp-session-id") for talk in new.seen} == {None}


@pytest.mark.promise("M5")
async def test_a_reload_ends_the_subscriptions_that_it_forbids_and_no_others(
    tmp_path: Path, eventually: Eventually
) -> None:
    """A subscription went on for hours after the policy that had let it through."""
    streams = Streams()
    script = Script(methods={"subscriptions/listen": streams.serve, "GET": streams.serve})
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        session = BOTH | in_session(await gateway.agent.initialize("/mcp/s"))
        (body_a, fields_a), (body_b, fields_b) = _subscription("x:/a"), _subscription("x:/b")
        async with (
            gateway.agent.open("/mcp/s", body_a, fields_a) as allowed,
            gateway.agent.open("/mcp/s", body_b, fields_b) as forbidden,
            gateway.agent.open("/mcp/s", None, session, "GET") as stream,
        ):
            for each in (allowed, forbidden, stream):
                await parts.next_event(each)
            await _reload(gateway, eventually, parts.source("s", source.url), NO_B)
            assert await forbidden.read() == b""
            async with asyncio.timeout(parts.PATIENCE_S):
                await streams.talks[1].gone.wait()
            await streams.tell_news()
            assert await parts.next_event(allowed) == NEWS
            assert await parts.next_event(stream) == NEWS


@pytest.mark.promise("M5")
async def test_the_streams_of_a_removed_source_end_at_once(
    tmp_path: Path, eventually: Eventually
) -> None:
    """They went on until the source thought better of it."""
    streams = Streams()
    script = Script(methods={"subscriptions/listen": streams.serve, "GET": streams.serve})
    async with (
        serving(script) as source,
        parts.running(
            tmp_path, parts.source("s", source.url), stdio_source("child"), parts.OPEN_POLICY
        ) as gateway,
    ):
        session = BOTH | in_session(await gateway.agent.initialize("/mcp/s"))
        childs = BOTH | in_session(await gateway.agent.initialize("/mcp/child"))
        body, fields = _subscription("x:/a")
        async with (
            gateway.agent.open("/mcp/s", None, session, "GET") as stream,
            gateway.agent.open("/mcp/s", body, fields) as subscription,
            gateway.agent.open("/mcp/child", None, childs, "GET") as of_child,
            gateway.agent.open("/mcp/child", body, fields) as childs_subscription,
        ):
            for each in (stream, subscription, childs_subscription):
                await parts.next_event(each)
            await _reload(gateway, eventually, parts.OPEN_POLICY)
            assert await stream.read() == b""
            await subscription.read()
            await of_child.read()
            await childs_subscription.read()
            async with asyncio.timeout(parts.PATIENCE_S):
                for talk in streams.talks:
                    await talk.gone.wait()


@pytest.mark.promise("D39")
async def test_a_stream_that_its_source_has_not_begun_is_cut_at_the_end(tmp_path: Path) -> None:
    """It was ended without one byte, and its client waited for an answer on that connection."""

    async def silent(talk: Talk) -> web.StreamResponse:
        await talk.gone.wait()
        return web.Response()

    script = Script(methods={"subscriptions/listen": silent})
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        body, fields = _subscription("x:/b")
        listening = asyncio.ensure_future(gateway.agent.send("/mcp/s", body, fields))
        await script.wait_for("subscriptions/listen")
        parts.write(gateway.folder, parts.source("s", source.url), NO_B)
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await listening
