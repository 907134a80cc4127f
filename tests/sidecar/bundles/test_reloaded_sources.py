"""What a reload does to sources, to their children and to calls under way."""

import asyncio
import os
import re
from pathlib import Path

import pytest
from aiohttp import web

from tests.peers import stopwatches
from tests.sidecar.bundles.test_hot_reload import changed, rename_over
from tests.sidecar.doors import parts as doors
from tests.sidecar.doors import scripted_source as doors_source
from tests.sidecar.lifecycle import parts
from tests.sidecar.lifecycle.parts import ALLOW_ALL, Guarded, guarded, policy, scripted

RULES = 8_000
RULES_OF_A_POLICY = 500
ANOTHER = policy("another", 'name: none, tools: ["*.never"], action: Deny')


async def pid(served: Guarded) -> int:
    """Of the child that answers modern calls."""
    reply = await served.call("child.pid")
    assert reply.status == 200, reply.body
    return pid_in(reply)


def pid_in(reply: doors.Reply) -> int:
    """What the tool `pid` said; a notice of the child's may precede it in a stream."""
    found = re.search(rb'"text": ?"([0-9]+)"', reply.body)
    assert found is not None, reply.body
    return int(found[1])


def is_alive(process: int) -> bool:
    """Whether a process is there, zombies included."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.promise("M8")
async def test_a_source_that_did_not_change_keeps_its_child_and_its_session(tmp_path: Path) -> None:
    """Issue 1, "Hot reload": a policy edit is no reason to restart servers."""
    async with guarded(tmp_path, parts.stdio_source("child"), ALLOW_ALL) as served:
        before = await served.until(parts.is_ready("child"))
        first = await pid(served)
        session = await served.agent.initialize("/mcp/child")
        within = doors.in_session(session)
        tool = {"name": "pid", "arguments": {}}
        asked = await served.agent.legacy("/mcp/child", "tools/call", tool, **within)

        rename_over(tmp_path / "folder" / "more.yaml", ANOTHER)
        await changed(served, before)

        assert await pid(served) == first
        again = await served.agent.legacy("/mcp/child", "tools/call", tool, **within)
        assert pid_in(again) == pid_in(asked) != first


@pytest.mark.promise("M8")
async def test_a_removed_source_is_unknown_and_its_child_ends(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "child.yaml"
    path.parent.mkdir()
    path.write_text(parts.stdio_source("child"), encoding="utf-8")
    async with guarded(tmp_path, ALLOW_ALL) as served:
        before = await served.until(parts.is_ready("child"))
        child = await pid(served)

        path.unlink()
        await changed(served, before)

        assert (await served.call("child.pid")).json["reason"] == "unknown-tool"
        unknown = await served.agent.modern("/mcp/child", "tools/list")
        assert unknown.status == 404
        await parts.eventually(lambda: not is_alive(child))


async def test_a_changed_source_gets_a_new_child_and_a_new_one_is_listed(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "child.yaml"
    path.parent.mkdir()
    path.write_text(parts.stdio_source("child"), encoding="utf-8")
    async with guarded(tmp_path, ALLOW_ALL) as served:
        before = await served.until(parts.is_ready("child"))
        first = await pid(served)

        rename_over(path, parts.stdio_source("child", "--another-argument"))
        rename_over(path.with_name("new.yaml"), parts.stdio_source("new"))
        await changed(served, before)

        assert await pid(served) != first
        await served.until(parts.is_ready("child", "new"))
        await parts.eventually(lambda: not is_alive(first))


@pytest.mark.promise("D14")
async def test_a_call_under_way_in_a_removed_source_is_answered(tmp_path: Path) -> None:
    """A reload is no reason to lose what already runs."""
    release, begun = asyncio.Event(), asyncio.Event()

    async def slowly(talk: doors_source.Talk) -> web.StreamResponse:
        begun.set()
        await release.wait()
        return talk.answer(doors_source.text_result("late but here"))

    async with scripted("slow") as source:
        source.script.calls["slow"] = slowly
        async with guarded(tmp_path, doors.source("s", source.url), ALLOW_ALL) as served:
            before = await served.until(parts.is_ready("s"))
            call = asyncio.ensure_future(served.call("s.slow"))
            async with asyncio.timeout(30):
                await begun.wait()
            doors.write(tmp_path / "folder", ALLOW_ALL)
            await changed(served, before)
            release.set()

            assert (await call).status == 200


async def test_calls_go_on_while_thousands_of_rules_compile(tmp_path: Path) -> None:
    """Issue 1: a changed folder is compiled aside and swapped whole."""
    many = "---\n".join(
        policy(
            f"many-{first}",
            *(
                f'name: r{number}, tools: ["s.t{number}"], when: "args.n < {number}", action: Deny'
                for number in range(first, first + RULES_OF_A_POLICY)
            ),
        )
        for first in range(0, RULES, RULES_OF_A_POLICY)
    )
    async with (
        scripted("echo") as source,
        guarded(tmp_path, doors.source("s", source.url), ALLOW_ALL) as served,
    ):
        before = await served.until(parts.is_ready("s"))
        rename_over(tmp_path / "folder" / "many.yaml", many)
        with stopwatches.running() as now_s:
            compiling = asyncio.ensure_future(changed(served, before))
            longest_s, answered = 0.0, 0
            while not compiling.done():
                started_s = now_s()
                assert (await served.call("s.echo")).status == 200
                longest_s = max(longest_s, now_s() - started_s)
                answered += 1

            await compiling
            assert answered > 10
            assert longest_s < now_s() / 3, "no call waits for the compiler"
        assert (await served.status())["problems"] == []
