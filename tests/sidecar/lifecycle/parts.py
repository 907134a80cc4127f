"""A gateway process and what stands around it: sources, calls, its status, its log."""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from mesh7_cli import exits
from mesh7_cli.gateway import Gateway
from tests.peers import processes
from tests.peers.gateway import GatewayProcess, running_gateway
from tests.sidecar.doors import parts
from tests.sidecar.doors.scripted_source import Script, ScriptedSource, Talk, serving, tool

PATIENCE_S = 30.0
STEP_S = 0.01
STDIO_SERVER = Path(__file__).parents[2] / "fakes" / "stdio_server.py"
Status = dict[str, Any]


def policy(name: str, *rules: str) -> str:
    """An AgentPolicy for everybody; each rule is a flow mapping without its braces."""
    lines = "".join(f"  - {{{rule}}}\n" for rule in rules)
    return (
        "apiVersion: mesh7.dev/v1alpha1\nkind: AgentPolicy\n"
        f"metadata: {{name: {name}}}\n"
        f"spec:\n  selector: {{}}\n  defaultAction: Deny\n  rules:\n{lines}"
    )


ALLOW_ALL = policy("everything", 'name: all, tools: ["*"], action: Allow')


def stdio_source(name: str, *arguments: str, command: Sequence[str] = ()) -> str:
    """A ToolSource whose server is a child; the scripted one when no command is given."""
    argv = json.dumps([*(command or (sys.executable, str(STDIO_SERVER))), *arguments])
    return (
        "apiVersion: mesh7.dev/v1alpha1\nkind: ToolSource\n"
        f"metadata: {{name: {name}}}\n"
        f"spec:\n  mcp: {{transport: Stdio, command: {argv}}}\n"
    )


class Guarded:
    """A gateway process with one scripted source behind it.

    Attributes:
        agent: calls over TCP.
        log: everything that the gateway wrote to stderr.
    """

    def __init__(self, gateway: GatewayProcess, agent: parts.Agent, log: Path) -> None:
        self.gateway = gateway
        self.agent = agent
        self.log = log

    @property
    def logged(self) -> str:
        """What stands in the log by now."""
        return self.log.read_text(encoding="utf-8")

    @property
    def address(self) -> tuple[str, int]:
        """Of the data listener."""
        host, _, port = self.gateway.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    async def status(self) -> Status:
        """What `/control/status` answers now."""
        return await status(self.gateway.state)

    async def until(self, claim: Callable[[Status], bool]) -> Status:
        """The first status of which the claim is true, within half a minute."""
        return await until(self.gateway.state, claim)

    async def call(self, name: str, /, **arguments: object) -> parts.Reply:
        """`POST /v1/tools/<source>.<tool>`."""
        body: dict[str, object] = {"arguments": arguments}
        return await self.agent.send(f"/v1/tools/{name}", body, parts.JSON)


@contextlib.asynccontextmanager
async def guarded(
    place: Path,
    *manifests: str,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Guarded]:
    """A gateway process on a folder of these manifests, `place/folder`."""
    folder, log = place / "folder", place / "log"
    if manifests:
        parts.write(folder, *manifests)
    async with running_gateway(
        folder, state=place / "state", arguments=arguments, environment=environment, log=log
    ) as gateway, aiohttp.ClientSession(auto_decompress=False) as session:  # fmt: skip
        yield Guarded(gateway, parts.Agent(session, gateway.url), log)


@contextlib.asynccontextmanager
async def scripted(*names: str, script: Script | None = None) -> AsyncIterator[ScriptedSource]:
    """An MCP server in this process with tools of these names; it keeps what it was asked."""
    script = script or Script()
    script.tools.extend(tool(name) for name in names)
    async with serving(script) as source:
        yield source


async def status(state: Path) -> Status:
    """What the holder of a state folder says of itself."""
    return await asyncio.to_thread(Gateway(state).get, "/control/status")


async def until(state: Path, claim: Callable[[Status], bool]) -> Status:
    """The first status of which the claim is true, within half a minute."""
    found: Status = {}
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(exits.GatewayError):
            found = await status(state)
            if claim(found):
                return found
        await asyncio.sleep(STEP_S)
    raise AssertionError(f"did not come true: {json.dumps(found, indent=1)}")


async def eventually(claim: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
    """Return when the claim is true, for what gives no event to wait on."""
    deadline = time.monotonic() + within_s
    while not claim():
        assert time.monotonic() < deadline, f"did not come true within {within_s:.0f} s"
        await asyncio.sleep(STEP_S)


def of_source(found: Status, name: str) -> Status:
    """One source in a status."""
    return next(source for source in found["sources"] if source["name"] == name)


def is_ready(*names: str) -> Callable[[Status], bool]:
    """The claim that these sources are ready."""
    return lambda found: all(of_source(found, name)["state"] == "ready" for name in names)


async def mesh7(*words: str | Path, timeout_s: float = 60.0) -> processes.Finished:
    """Run a command of the CLI to its end."""
    return await processes.run([sys.executable, "-m", "mesh7_cli", *words], timeout_s=timeout_s)


async def comes_true(claim: Callable[[], Awaitable[bool]]) -> None:
    """Return when the claim is true, within half a minute."""
    deadline = time.monotonic() + PATIENCE_S
    while not await claim():
        assert time.monotonic() < deadline, f"did not come true within {PATIENCE_S:.0f} s"
        await asyncio.sleep(STEP_S)


async def unauthorized(talk: Talk) -> web.StreamResponse:
    """A source that finds our credential wrong, and repeats it."""
    return web.Response(status=401, text=f"bad credential {talk.headers.get('authorization')}")


def make_pipe(path: Path) -> None:
    """A named pipe that nobody reads."""
    os.mkfifo(path)
