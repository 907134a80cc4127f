"""The whole program `mesh7 stdio` with the SDK's own client before and real servers behind it."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from mesh7_sidecar import state
from tests.conftest import Eventually
from tests.sidecar.sources.test_stdio import Json, is_alive, told
from tests.sidecar.stdio.test_bridge import call

Write = Callable[[dict[str, str]], Path]
SCRIPTED = Path(__file__).parents[2] / "fakes" / "stdio_server.py"
FOLDER = {
    "sources.yaml": """\
        apiVersion: mesh7.dev/v1alpha1
        kind: ToolSource
        metadata: {name: time}
        spec:
          mcp: {transport: Stdio, command: [mcp-server-time]}
        """,
    "policy.yaml": """\
        apiVersion: mesh7.dev/v1alpha1
        kind: AgentPolicy
        metadata: {name: all}
        spec:
          selector: {}
          rules:
          - {name: times, tools: ["*"], action: Allow}
        """,
}


def command(folder: Path, tmp_path: Path, *more: str) -> tuple[str, ...]:
    where = ("stdio", str(folder), "--state", str(tmp_path / "state"))
    return (sys.executable, "-m", "mesh7_cli", *where, *more)


@pytest.mark.promise("S1")
@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_sdks_client_speaks_through_it_to_a_server_from_pypi(
    folder_of: Write, tmp_path: Path, mode: Literal["auto", "legacy"]
) -> None:
    """Promised by S1 and P1: stdio servers and stdio clients, in both eras."""
    program, *arguments = command(folder_of(FOLDER), tmp_path, "--source", "time")
    transport = stdio_client(StdioServerParameters(command=program, args=arguments))
    async with Client(transport, mode=mode) as client:
        tools = await client.list_tools()
        result = await client.call_tool("get_current_time", {"timezone": "UTC"})
        unknown = await client.call_tool("no_such_tool", {})
    assert [tool.name for tool in tools.tools] == ["get_current_time", "convert_time"]
    assert (result.is_error, unknown.is_error) == (False, True)


def scripted_source() -> str:
    return f"""\
        apiVersion: mesh7.dev/v1alpha1
        kind: ToolSource
        metadata: {{name: scripted}}
        spec:
          mcp: {{transport: Stdio, command: [{sys.executable}, -S, {SCRIPTED}]}}
        """


class Program:
    """One running `mesh7 stdio`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def ask(self, message: Json) -> Json:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        async with asyncio.timeout(30):
            found: Json = json.loads(await self.process.stdout.readline())
        return found


async def start(folder: Path, tmp_path: Path) -> Program:
    pipe = asyncio.subprocess.PIPE
    line = command(folder, tmp_path, "--source", "scripted")
    process = await asyncio.create_subprocess_exec(*line, stdin=pipe, stdout=pipe)
    return Program(process)


@pytest.mark.promise("M8")
async def test_a_killed_holder_takes_no_joined_client_with_it(
    folder_of: Write, tmp_path: Path, eventually: Eventually
) -> None:
    """Promised by design 10, and by M8: no orphan is left when the gateway is killed."""
    folder = folder_of({**FOLDER, "sources.yaml": scripted_source()})
    holder = await start(folder, tmp_path)
    child_of_holder = told(await holder.ask(call("pid", 1)))
    joined = await start(folder, tmp_path)
    assert told(await joined.ask(call("pid", 1))) == child_of_holder
    os.kill(holder.process.pid, signal.SIGKILL)
    await holder.process.wait()
    child_of_joined = told(await joined.ask(call("pid", 2)))
    await eventually(lambda: not is_alive(child_of_holder))
    assert (tmp_path / "state" / state.SOCKET_NAME).is_socket()
    assert joined.process.stdin is not None
    joined.process.stdin.close()
    async with asyncio.timeout(30):
        assert await joined.process.wait() == 0
    assert not (tmp_path / "state" / state.SOCKET_NAME).exists()
    assert not is_alive(child_of_joined)


async def test_a_holder_that_is_told_to_stop_hands_over_without_a_pause(
    folder_of: Write, tmp_path: Path
) -> None:
    """Promised by issue 1: SIGTERM ends with 0; and by design 10: the others go on."""
    folder = folder_of({**FOLDER, "sources.yaml": scripted_source()})
    holder, joined = await start(folder, tmp_path), await start(folder, tmp_path)
    assert told(await holder.ask(call("pid", 1))) == told(await joined.ask(call("pid", 1)))
    before = asyncio.get_running_loop().time()
    holder.process.terminate()
    async with asyncio.timeout(30):
        assert await holder.process.wait() == 0
    assert asyncio.get_running_loop().time() - before < 8
    assert isinstance(told(await joined.ask(call("pid", 2))), int)
    joined.process.terminate()
    async with asyncio.timeout(30):
        assert await joined.process.wait() == 0
