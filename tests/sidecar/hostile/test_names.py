"""Names as a weapon: look-alikes, hidden tools, one name judged and another executed."""

import json
from pathlib import Path

import pytest

from tests.sidecar.doors import parts as doors
from tests.sidecar.hostile.parts import Attack, attacked
from tests.sidecar.lifecycle import parts
from tests.sidecar.lifecycle.parts import ALLOW_ALL, guarded, policy, scripted

LOOK_ALIKES = {
    "cyrillic": "ech\u043e", "full width": "\uff45cho", "zero width": "ech\u200bo",
    "bidi": "ec\u202eho", "dotless": "echo\u0131", "combining": "echo\u0301", "NUL": "echo\0",
    "line feed": "echo\n", "trailing blank": "echo ",
}  # fmt: skip


async def answers(attack: Attack, name: str) -> dict[str, str]:
    """What a call to `name` is answered with at each door; the name itself made the same."""
    call: dict[str, object] = {"name": name, "arguments": {}}
    aggregate: dict[str, object] = {"name": f"s_{name}", "arguments": {}}
    agent = attack.served.agent
    session = await agent.initialize("/mcp")
    replies = {
        "modern": await agent.modern("/mcp/s", "tools/call", call),
        "aggregate": await agent.modern("/mcp", "tools/call", aggregate),
        "legacy aggregate": await agent.legacy(
            "/mcp", "tools/call", aggregate, **doors.in_session(session)
        ),
        "v1": await attack.served.call(f"s.{name}"),
        "decide": await agent.send("/v1/decide", {"tool": f"s.{name}"}, doors.JSON),
    }  # fmt: skip
    return {
        door: f"{reply.status} {reply.body.decode().replace(name, 'NAME')}"
        for door, reply in replies.items()
    }


@pytest.mark.promise("X21")
async def test_x21_what_no_list_shows_cannot_be_called_nor_told_from_what_is_not(
    tmp_path: Path,
) -> None:
    """By rule, by the source's `exclude`, or never there: one answer, and nothing is sent."""
    tools = ("echo", "hidden_by_rule", "left_out")
    async with attacked(tmp_path, more='tools: {exclude: ["left_*"]}', tools=tools) as attack:
        listed = await attack.served.agent.modern("/mcp/s", "tools/list")
        names = [tool["name"] for tool in listed.result["tools"]]  # type: ignore[attr-defined]
        assert names == ["echo", "well"]

        made_up = await answers(attack, "made_up")
        assert await answers(attack, "hidden_by_rule") == made_up | {
            # A dry run says why: whoever asks it may know.
            "decide": (await answers(attack, "hidden_by_rule"))["decide"],
        }  # fmt: skip
        assert await answers(attack, "left_out") == made_up
        assert attack.tools_called == []


@pytest.mark.promise("X20")
async def test_x20_tools_that_look_like_another_are_not_served(tmp_path: Path) -> None:
    """Nor does a call by such a name find the tool it imitates."""
    async with attacked(tmp_path, tools=("echo", *LOOK_ALIKES.values())) as attack:
        listed = await attack.served.agent.modern("/mcp/s", "tools/list")
        names = [tool["name"] for tool in listed.result["tools"]]  # type: ignore[attr-defined]
        assert names == ["echo", "well"]
        for kind, name in LOOK_ALIKES.items():
            body: dict[str, object] = {
                "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name},
            }  # fmt: skip
            reply = await attack.served.agent.send("/mcp/s", body, doors.BOTH)
            assert b'"isError":true' in reply.body or b'"error"' in reply.body, kind
        assert attack.tools_called == []


@pytest.mark.promise("X20")
async def test_x20_two_sources_of_one_name_are_refused_when_loaded(tmp_path: Path) -> None:
    """Neither silently wins."""
    folder = tmp_path / "folder"
    twins = [doors.source("s", f"http://127.0.0.1:{port}") for port in (1, 2)]
    doors.write(folder, *twins, ALLOW_ALL)

    found = await parts.mesh7("run", folder, "--listen", "127.0.0.1:0", "--admin", "off")

    assert found.code == 1
    assert "has the same name as `s`" in found.err


@pytest.mark.promise("D6")
async def test_d6_the_name_that_is_judged_is_the_one_that_runs(tmp_path: Path) -> None:
    """Policy judges `s.echo`; nothing else in the request can choose what runs."""
    only_echo = policy("p", 'name: e, tools: ["s.echo", "s.well"], action: Allow')
    async with attacked(tmp_path, only_echo) as attack:
        steering: dict[str, object] = {
            "command": "hidden", "name": "hidden", "tool": "hidden", "method": "hidden",
        }  # fmt: skip
        assert (await attack.served.call("s.echo", **steering)).status == 200
        extra: dict[str, object] = {"name": "echo", "tool": "hidden", "command": "hidden"}
        extra["arguments"] = steering
        assert (await attack.served.agent.modern("/mcp/s", "tools/call", extra)).status == 200
        body: dict[str, object] = {"name": "hidden", "arguments": {}}
        refused = await attack.served.agent.send("/v1/tools/s.echo", body, doors.JSON)
        assert refused.status == 400

        assert attack.tools_called == ["echo", "echo"]
        assert [talk.params["arguments"] for talk in attack.reached] == [steering, steering]
        named = {talk.headers["mcp-name"] for talk in attack.reached}
        assert named == {"echo"}


@pytest.mark.promise("D6")
async def test_d6_another_source_s_tool_is_not_reached_by_a_crafted_name(tmp_path: Path) -> None:
    """`/mcp` splits at the first underscore, `/v1/tools` at the first dot; names have both."""
    async with scripted("b_echo", "echo", "b.echo") as one, scripted("echo", "x") as two:
        rules = policy("p", 'name: a, tools: ["a.*"], action: Allow')
        manifests = doors.source("a", one.url), doors.source("b", two.url), rules
        async with guarded(tmp_path, *manifests) as served:
            await served.until(parts.is_ready("a", "b"))
            one.script.seen.clear()
            two.script.seen.clear()
            for name in ("a_b_echo", "a_b.echo", "b_echo", "_b_echo", "a__b_echo", "a.b_echo"):
                await served.agent.modern("/mcp", "tools/call", {"name": name})
            for path in ("a.b.echo", "a.b_echo", "b.echo", "a..b.echo", ".b.echo", "a.b%2eecho"):
                await served.agent.send(f"/v1/tools/{path}", {}, doors.JSON)
            for name in ("b.echo", "../b/echo", "s/../b.echo"):
                await served.agent.modern("/mcp/a", "tools/call", {"name": name})

            called = [talk.params["name"] for talk in one.script.asked("tools/call")]
            assert sorted({str(name) for name in called}) == ["b.echo", "b_echo"]
            assert two.script.asked("tools/call") == []


@pytest.mark.promise("X26")
async def test_x26_a_child_gets_one_line_a_message_and_a_clean_environment(tmp_path: Path) -> None:
    """Whatever line ends the arguments hold; and none of the gateway's secrets."""
    private = {
        "MESH7_CREDENTIAL_BILLING": "s3cret", "AWS_SECRET_ACCESS_KEY": "s3cret",
        "BASH_FUNC_x%%": "() { s3cret; }", "LD_PRELOAD_X": "s3cret",
    }  # fmt: skip
    injected = '\n{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"die"}}\n'
    async with guarded(tmp_path, parts.stdio_source("s"), ALLOW_ALL, environment=private) as served:
        await served.until(parts.is_ready("s"))
        pid = (await served.call("s.pid")).body
        for text in (injected, "\r" + injected, "\u2028" + injected, "\x85" + injected, "\0"):
            reply = await served.call("s.echo", text=text)
            content = reply.json["content"]
            assert isinstance(content, list)
            assert json.loads(content[0]["text"])["arguments"] == {"text": text}
            broken = b'{"arguments":{"x":"a\nb"}}'
            raw = await served.agent.send("/v1/tools/s.echo", broken, doors.JSON)
            assert raw.status == 400, "a line feed inside a string is no JSON"
        # White space between tokens may hold line feeds: the child must see one line all the same.
        spread = b'{\n"arguments"\n:\n{\n"x"\n:\n1\n}\n}\n'
        assert (await served.agent.send("/v1/tools/s.echo", spread, doors.JSON)).status == 200
        body, fields = doors.modern_request("tools/call", {"name": "echo", "arguments": {"x": 1}})
        indented = json.dumps(body, indent=1).encode()
        assert b'"x\\": 1' in (await served.agent.send("/mcp/s", indented, fields)).body

        environment = await served.call("s.environment")
        assert b"s3cret" not in environment.body
        assert (await served.call("s.pid")).body == pid, "the same child, so nothing ran `die`"
