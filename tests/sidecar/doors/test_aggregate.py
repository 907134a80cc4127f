"""`/mcp`: all sources as one server, in both eras on either side."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from tests.peers import asking
from tests.sidecar.doors import parts
from tests.sidecar.doors.parts import BOTH, in_session
from tests.sidecar.doors.scripted_source import (
    LEGACY,
    MODERN,
    Behaviour,
    Script,
    ScriptedSource,
    Talk,
    event,
    json_response,
    serving,
    text_result,
    tool,
)

ERAS = pytest.mark.parametrize("era", [MODERN, LEGACY])
SOURCE_ERAS = pytest.mark.parametrize("source_era", [MODERN, LEGACY])
CLIENTS = pytest.mark.parametrize(
    "client", [asking.NEW_SDK, asking.OLD_SDK, asking.FASTMCP], ids=["new", "old", "fastmcp"]
)
PROGRESS = {
    "jsonrpc": "2.0",
    "method": "notifications/progress",
    "params": {"progressToken": "t", "progress": 1},
}


def manifests(one: ScriptedSource, two: ScriptedSource, more: str = "") -> tuple[str, ...]:
    """Two sources, named so that the second is first by name."""
    first = parts.source("zoo", one.url, more)
    return first, parts.source("ark-2", two.url, more), parts.OPEN_POLICY


async def ask(
    gateway: parts.Running, era: str, method: str, params: dict[str, object] | None = None
) -> parts.Reply:
    """One request in an era."""
    if era == MODERN:
        return await gateway.agent.modern("/mcp", method, params)
    session = await gateway.agent.initialize("/mcp")
    return await gateway.agent.legacy("/mcp", method, params, mcp_session_id=session)


def listed(reply: parts.Reply, key: str = "tools", name: str = "name") -> list[str]:
    """What a list answer lists."""
    entries = reply.result[key]
    assert isinstance(entries, list)
    return [entry[name] for entry in entries]


def lists(key: str, *entries: dict[str, object]) -> Behaviour:
    """A list method."""

    async def behave(talk: Talk) -> web.StreamResponse:
        return talk.answer({key: list(entries)})

    return behave


@pytest.mark.promise("M12")
@pytest.mark.promise("M2")
@pytest.mark.promise("D6")
@ERAS
async def test_tools_are_called_by_source_and_name_and_sources_come_by_name(
    tmp_path: Path, era: str
) -> None:
    one, two = Script(tools=[tool("b_c"), tool("a")]), Script(tools=[tool("a"), tool("hidden_x")])
    async with (
        serving(one) as zoo,
        serving(two) as ark,
        parts.running(tmp_path, *manifests(zoo, ark)) as gateway,
    ):
        found = await ask(gateway, era, "tools/list")
        names = listed(found)
        called = [
            await ask(gateway, era, "tools/call", {"name": name, "arguments": {}})
            for name in (*names, "ark-2_hidden_x", "zoo", "_a", "zoo_", "none_a", "Zoo_a")
        ]

    assert names == ["ark-2_a", "zoo_b_c", "zoo_a"]
    assert found.result.get("cacheScope") == ("private" if era == MODERN else None)
    assert [reply.text for reply in called] == [
        "a", "b_c", "a", "unknown tool `ark-2_hidden_x`", "unknown tool `zoo`",
        "unknown tool `_a`", "unknown tool `zoo_`", "unknown tool `none_a`",
        "unknown tool `Zoo_a`",
    ]  # fmt: skip
    assert [talk.params["name"] for talk in one.asked("tools/call")] == ["b_c", "a"]
    assert [talk.params["name"] for talk in two.asked("tools/call")] == ["a"]


@pytest.mark.promise("M12")
@pytest.mark.promise("X20")
async def test_names_that_a_client_could_confuse_are_listed_once_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Protocols 1.7: clients fold what is no letter, digit, `_` or `-`, and some fold case."""
    script = Script(tools=[tool(name) for name in ("a.b", "a_b", "A_b", "a/b", "a-b", "ä", "c")])
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        names = listed(await ask(gateway, MODERN, "tools/list"))

    assert names == ["s_a.b", "s_a-b", "s_c"]
    assert caplog.text.count("`s_a_b` is listed once") == 3


@pytest.mark.promise("D33")
@ERAS
@SOURCE_ERAS
async def test_either_era_of_client_reaches_either_era_of_source(
    tmp_path: Path, era: str, source_era: str
) -> None:
    script = Script(eras=(source_era,), tools=[tool("t")])
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        call: dict[str, object] = {"name": "s_t", "arguments": {"n": 1}, "_meta": {"own": 1}}
        reply = await ask(gateway, era, "tools/call", call)

    assert reply.text == "t"
    assert reply.json["id"] == 1
    sent = script.asked("tools/call")[0]
    assert sent.params["arguments"] == {"n": 1}
    assert sent.headers["mcp-protocol-version"] == source_era
    meta = sent.params["_meta"]
    assert isinstance(meta, dict)
    assert meta["own"] == 1
    kept = [key for key in meta if key.startswith("io.modelcontextprotocol/")]
    assert bool(kept) is (source_era == MODERN)
    if kept:
        assert meta["io.modelcontextprotocol/clientInfo"]["name"] == "mesh7"


@pytest.mark.promise("D33")
@SOURCE_ERAS
@CLIENTS
async def test_sdk_clients_work_through_the_aggregate(
    tmp_path: Path, client: str, source_era: str
) -> None:
    script = Script(eras=(source_era,), tools=[tool("t"), tool("risky")])
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        answered = await asking.ask(
            client, f"{gateway.agent.url}/mcp",
            ("s_t", {}), ("s_risky", {"amount": 11}), ("s_none", {}),
        )  # fmt: skip

    assert answered.revision == (LEGACY if client == asking.OLD_SDK else MODERN)
    assert answered.tools == ("s_t", "s_risky")
    assert [call.is_error for call in answered.calls] == [False, True, True]
    assert not any(call.raised for call in answered.calls)


@pytest.mark.promise("S9")
@ERAS
async def test_a_source_that_is_down_hides_none_of_the_others(tmp_path: Path, era: str) -> None:
    one, two = Script(tools=[tool("a")]), Script(tools=[tool("b")])
    async with (
        serving(one) as zoo,
        serving(two) as ark,
        parts.running(tmp_path, *manifests(zoo, ark)) as gateway,
    ):
        await ark.stop()
        found = await ask(gateway, era, "tools/list")
        call: dict[str, object] = {"name": "ark-2_b", "arguments": {}}
        called = await ask(gateway, era, "tools/call", call)
        tools = await gateway.agent.send("/v1/tools", method="GET")

    assert "zoo_a" in listed(found)
    assert called.result["isError"] is True
    assert "ark-2" in called.text
    assert str(ark.port) not in called.text
    assert "zoo.a" in str(tools.json["tools"])


@pytest.mark.promise("D14")
async def test_lists_are_an_error_when_no_source_can_be_asked(tmp_path: Path) -> None:
    """Clients list once: an empty list would be believed."""
    async with serving(Script()) as source:
        manifest = parts.source("s", source.url)
    async with parts.running(tmp_path, manifest, parts.OPEN_POLICY) as gateway:
        reply = await ask(gateway, MODERN, "tools/list")

    assert str(reply.error["message"]).startswith("source `s` ")


@pytest.mark.promise("M6")
@ERAS
@SOURCE_ERAS
async def test_prompts_are_named_like_tools_and_obey_policy(
    tmp_path: Path, era: str, source_era: str
) -> None:
    async def get(talk: Talk) -> web.StreamResponse:
        return talk.answer({"messages": [], "description": talk.params["name"]})

    prompts = lists("prompts", {"name": "a"}, {"name": "dark"})
    script = Script(eras=(source_era,), methods={"prompts/list": prompts, "prompts/get": get})
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        found = await ask(gateway, era, "prompts/list")
        got = await ask(gateway, era, "prompts/get", {"name": "s_a"})
        refused = await ask(gateway, era, "prompts/get", {"name": "s_dark"})
        unknown = await ask(gateway, era, "prompts/get", {"name": "x_dark"})

    assert listed(found, "prompts") == ["s_a"]
    assert got.result["description"] == "a"
    assert refused.error == {"code": -32602, "message": "unknown prompt `s_dark`"}
    assert unknown.error == {"code": -32602, "message": "unknown prompt `x_dark`"}
    assert len(script.asked("prompts/get")) == 1


async def _echo_uri(talk: Talk) -> web.StreamResponse:
    return talk.answer({"contents": [{"uri": talk.params["uri"], "text": "x"}]})


@pytest.mark.promise("M6")
@pytest.mark.promise("M12")
@ERAS
async def test_a_resource_is_read_where_it_is_listed_and_nowhere_else(
    tmp_path: Path, era: str
) -> None:
    first = lists("resources", {"uri": "x://both", "name": "1"}, {"uri": "x://zoo", "name": "2"})
    second = lists(
        "resources", {"uri": "x://both", "name": "3"}, {"uri": "x://secret", "name": "4"}
    )
    templates = lists("resourceTemplates", {"uriTemplate": "y://{a}/{b}.txt", "name": "5"})
    one = Script(
        methods={
            "resources/list": first,
            "resources/templates/list": templates,
            "resources/read": _echo_uri,
        }
    )
    two = Script(methods={"resources/list": second, "resources/read": _echo_uri})
    async with (
        serving(one) as zoo,
        serving(two) as ark,
        parts.running(tmp_path, *manifests(zoo, ark)) as gateway,
    ):
        wanted = ("x://both", "x://zoo", "x://secret", "x://none", "y://p/q.txt", "y://p/q.md")
        found = [await ask(gateway, era, "resources/read", {"uri": uri}) for uri in wanted]
        uris = listed(await ask(gateway, era, "resources/list"), "resources", "uri")

    assert uris == ["x://both", "x://zoo"]
    assert ["result" in reply.json for reply in found] == [True, True, False, False, True, False]
    assert {reply.error["code"] for reply in found if "error" in reply.json} == {-32602}
    # The first source by name that lists a URI keeps it, whoever answers sooner.
    assert [talk.params["uri"] for talk in two.asked("resources/read")] == ["x://both"]
    assert [talk.params["uri"] for talk in one.asked("resources/read")] == [
        "x://zoo", "y://p/q.txt",
    ]  # fmt: skip


@pytest.mark.promise("M5")
@ERAS
@SOURCE_ERAS
async def test_progress_of_a_source_reaches_the_client_before_the_answer(
    tmp_path: Path, era: str, source_era: str
) -> None:
    heard = asyncio.Event()

    async def slow(talk: Talk) -> web.StreamResponse:
        response = await talk.stream()
        await response.write(event(PROGRESS))
        await heard.wait()
        await response.write(event(talk.envelope(text_result("done"))))
        return response

    script = Script(eras=(source_era,), tools=[tool("slow")], calls={"slow": slow})
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        call = {"name": "s_slow", "arguments": {}, "_meta": {"progressToken": "t"}}
        body, fields = parts.modern_request("tools/call", call, "call-1")
        if era == LEGACY:
            body = {"jsonrpc": "2.0", "id": "call-1", "method": "tools/call", "params": call}
            fields = BOTH | in_session(await gateway.agent.initialize("/mcp"))
        async with gateway.agent.open("/mcp", body, fields) as response:
            first = await parts.next_event(response)
            heard.set()
            answer = await parts.next_event(response)

    assert first == PROGRESS
    assert answer == {"jsonrpc": "2.0", "id": "call-1", "result": text_result("done")}
    meta = script.asked("tools/call")[0].params["_meta"]
    assert isinstance(meta, dict)
    assert meta["progressToken"] == "t"


@pytest.mark.promise("M5")
@pytest.mark.promise("D32")
@SOURCE_ERAS
async def test_a_legacy_cancellation_ends_the_call_and_is_never_answered(
    tmp_path: Path, source_era: str
) -> None:
    async def endless(talk: Talk) -> web.StreamResponse:
        response = await talk.stream()
        await response.write(event(PROGRESS))
        await asyncio.Event().wait()
        return response

    script = Script(eras=(source_era,), tools=[tool("t")], calls={"t": endless})
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        mine = BOTH | in_session(await gateway.agent.initialize("/mcp"))
        other = BOTH | in_session(await gateway.agent.initialize("/mcp"))
        params = {"name": "s_t", "arguments": {}}
        call = {"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": params}
        async with gateway.agent.open("/mcp", call, mine) as response:
            await parts.next_event(response)
            for fields, wanted in ((other, 5), (mine, "5"), (mine, [5])):
                await gateway.agent.send("/mcp", cancellation(wanted), fields)
            assert not script.asked("tools/call")[0].gone.is_set()
            told = [await gateway.agent.send("/mcp", cancellation(5), mine) for _ in range(2)]
            assert await response.read() == b""
        async with asyncio.timeout(parts.PATIENCE_S):
            await script.asked("tools/call")[0].gone.wait()
        if source_era == LEGACY:
            notice_seen = await script.wait_for("notifications/cancelled")
            asked = script.asked("tools/call")[0].message["id"]
            assert notice_seen.params == {"requestId": asked}

    assert [(reply.status, reply.body) for reply in told] == [(202, b"")] * 2
    assert [record["outcome"] for record in parts.audited(tmp_path)] == ["gone"]


def cancellation(identifier: object) -> dict[str, object]:
    """A legacy client wants an answer no longer."""
    params = {"requestId": identifier}
    return {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}


@pytest.mark.promise("M5")
async def test_a_modern_client_that_closes_its_stream_cancels_at_the_source(
    tmp_path: Path,
) -> None:
    async def endless(talk: Talk) -> web.StreamResponse:
        response = await talk.stream()
        await response.write(event(PROGRESS))
        await asyncio.Event().wait()
        return response

    script = Script(tools=[tool("t")], calls={"t": endless})
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        body, fields = parts.modern_request("tools/call", {"name": "s_t", "arguments": {}})
        async with gateway.agent.open("/mcp", body, fields) as response:
            await parts.next_event(response)
        async with asyncio.timeout(parts.PATIENCE_S):
            await script.asked("tools/call")[0].gone.wait()


@pytest.mark.promise("M2")
async def test_sessions_hear_that_lists_changed_when_policies_do(tmp_path: Path) -> None:
    script = Script(tools=[tool("a"), tool("b")])
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        fields = BOTH | in_session(await gateway.agent.initialize("/mcp"))
        before = listed(await gateway.agent.send("/mcp", list_request(), fields))
        async with gateway.agent.open("/mcp", None, fields, "GET") as response:
            denying = parts.OPEN_POLICY.replace("*.hidden*", "s.a")
            parts.write(gateway.folder, parts.source("s", source.url), denying)
            told = await parts.next_event(response)
            after = listed(await gateway.agent.send("/mcp", list_request(), fields))

    assert before == ["s_a", "s_b"]
    assert told == {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
    assert after == ["s_b"]


@pytest.mark.promise("M2")
@SOURCE_ERAS
async def test_a_source_that_changes_its_list_during_a_call_is_listed_anew(
    tmp_path: Path, source_era: str
) -> None:
    script = Script(eras=(source_era,), tools=[tool("a")])

    async def change(talk: Talk) -> web.StreamResponse:
        script.tools.append(tool("b"))
        response = await talk.stream()
        notice = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
        await response.write(event(notice))
        await response.write(event(talk.envelope(text_result("changed"))))
        return response

    script.calls["a"] = change
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        before = listed(await ask(gateway, MODERN, "tools/list"))
        await ask(gateway, MODERN, "tools/call", {"name": "s_a", "arguments": {}})
        after = listed(await ask(gateway, MODERN, "tools/list"))

    assert (before, after) == (["s_a"], ["s_a", "s_b"])


def list_request() -> dict[str, object]:
    """A legacy list of tools."""
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


@pytest.mark.promise("M5")
@pytest.mark.parametrize("door", ["aggregate", "v1"])
@pytest.mark.parametrize("kind", ["input_required", "task", "vendor"])
async def test_what_only_a_direct_client_can_answer_is_no_result_here(
    tmp_path: Path, door: str, kind: str
) -> None:
    """The gateway's own client declares nothing that a source could ask back for."""

    async def asking_back(talk: Talk) -> web.StreamResponse:
        question = {"method": "sampling/createMessage", "params": {}}
        return talk.answer({"resultType": kind, "inputRequests": {"q": question}})

    script = Script(tools=[tool("t")], calls={"t": asking_back})
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        if door == "aggregate":
            reply = await ask(gateway, MODERN, "tools/call", {"name": "s_t", "arguments": {}})
            text = reply.text
        else:
            reply = await gateway.agent.send("/v1/tools/s.t", {"arguments": {}})
            text = str(reply.json["detail"])

    assert "only `/mcp/s` can pass on" in text
    assert b"sampling" not in reply.body


@pytest.mark.promise("M5")
@pytest.mark.promise("D13")
async def test_a_source_that_asks_back_is_refused_and_its_call_goes_on(tmp_path: Path) -> None:
    refused = asyncio.Event()

    async def asking_back(talk: Talk) -> web.StreamResponse:
        response = await talk.stream()
        question = {"jsonrpc": "2.0", "id": talk.message["id"], "method": "roots/list"}
        await response.write(event(question))
        await refused.wait()
        await response.write(event(talk.envelope(text_result("done"))))
        return response

    script = Script(eras=(LEGACY,), tools=[tool("t")], calls={"t": asking_back})

    async def hear() -> None:
        async with asyncio.timeout(parts.PATIENCE_S), script.news:
            await script.news.wait_for(lambda: any("error" in each.message for each in script.seen))
        refused.set()

    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        hearing = asyncio.ensure_future(hear())
        reply = await ask(gateway, MODERN, "tools/call", {"name": "s_t", "arguments": {}})
        await hearing

    assert reply.text == "done"


@pytest.mark.promise("D30")
async def test_a_result_that_is_no_strict_json_passes_as_it_is(tmp_path: Path) -> None:
    result = b'{"content":[{"type":"text","text":"\\ud83d"}],"resultType":"complete","n":NaN}'

    async def odd(talk: Talk) -> web.StreamResponse:
        return talk.answer(result)

    script = Script(tools=[tool("odd")], calls={"odd": odd})
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        reply = await ask(gateway, MODERN, "tools/call", {"name": "s_odd", "arguments": {}})
        direct = await gateway.agent.send("/v1/tools/s.odd", {"arguments": {}})

    assert reply.body == b'{"jsonrpc":"2.0","id":1,"result":' + result + b"}"
    assert direct.body == result


@pytest.mark.promise("M6")
async def test_what_the_aggregate_does_not_serve_is_an_unknown_method(tmp_path: Path) -> None:
    async with parts.running(tmp_path, parts.OPEN_POLICY) as gateway:
        modern = await ask(gateway, MODERN, "subscriptions/listen", {"notifications": {}})
        legacy = await ask(gateway, LEGACY, "logging/setLevel", {"level": "info"})
        ping = await ask(gateway, LEGACY, "ping")
        empty = await ask(gateway, MODERN, "tools/list")

    assert (modern.status, modern.error["code"]) == (404, -32601)
    assert (legacy.status, legacy.error["code"]) == (200, -32601)
    assert ping.result == {}
    assert listed(empty) == []


@pytest.mark.promise("M3")
async def test_a_sources_own_error_passes_with_the_agents_id(tmp_path: Path) -> None:
    async def fail(talk: Talk) -> web.StreamResponse:
        raw = b'{"jsonrpc":"2.0","id":%b,"error":{"code":-32050,"message":"no","data":[1.0]}}'
        return json_response(raw % f'"{talk.message["id"]}"'.encode())

    script = Script(tools=[tool("t")], calls={"t": fail})
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        reply = await ask(gateway, MODERN, "tools/call", {"name": "s_t", "arguments": {}})

    assert reply.body == (
        b'{"jsonrpc":"2.0","id":1,"error":{"code":-32050,"message":"no","data":[1.0]}}'
    )
