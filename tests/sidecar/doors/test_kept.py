"""What agents and sources can make the gateway keep, write or wait for is bounded."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from mesh7_core.policy import calls
from mesh7_sidecar import main, state
from mesh7_sidecar.clock import Clock
from mesh7_sidecar.doors.sessions import Sessions
from mesh7_sidecar.doors.tasks import Tasks
from mesh7_sidecar.gateway import Gateway
from mesh7_sidecar.settings import Address, Settings
from mesh7_sidecar.sources.registry import LIST_S
from tests.sidecar.doors import parts
from tests.sidecar.doors.parts import BOTH
from tests.sidecar.doors.scripted_source import Script, Talk, plainly, serving, tool

AGENT = calls.Agent(namespace="default", service_account="tester", pod="pod", labels={})
LONGEST, TOO_LONG = "x" * 256, "x" * 257


@pytest.mark.promise("X11")
def test_an_id_of_more_than_256_characters_is_not_remembered() -> None:
    """Reference, limits. Ten thousand of them are kept, and a source chooses how long they are."""
    sessions, tasks = Sessions(), Tasks()
    for identifier in (LONGEST, TOO_LONG):
        sessions.open(AGENT, "s", identifier, 0.0)
        tasks.remember(AGENT, "s", identifier)

    known = [sessions.find(AGENT, "s", each, 0.0) is not None for each in (LONGEST, TOO_LONG)]
    assert known == [True, False]
    assert len(sessions) == 1
    assert [tasks.belongs(AGENT, "s", each) for each in (LONGEST, TOO_LONG)] == [True, False]


@pytest.mark.promise("X11")
@pytest.mark.parametrize("identifier", [LONGEST, TOO_LONG], ids=["256", "257"])
async def test_a_task_with_an_overlong_id_is_unknown_afterwards(
    tmp_path: Path, identifier: str
) -> None:
    async def task(talk: Talk) -> web.StreamResponse:
        return talk.answer({"resultType": "task", "task": {"taskId": identifier}})

    async def get(talk: Talk) -> web.StreamResponse:
        return talk.answer({"resultType": "complete", "status": "working"})

    script = Script(tools=[tool("t")], calls={"t": task}, methods={"tasks/get": get})
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        await gateway.agent.modern("/mcp/s", "tools/call", {"name": "t", "arguments": {}})
        named = {"taskId": identifier}
        reply = await gateway.agent.modern("/mcp/s", "tasks/get", named, mcp_name=identifier)

    is_known = identifier == LONGEST
    assert reply.status == (200 if is_known else 400)
    assert len(script.asked("tasks/get")) == is_known


@pytest.mark.promise("X11")
@pytest.mark.parametrize("path", ["/mcp", "/mcp/s"])
async def test_a_request_with_an_overlong_id_is_refused(tmp_path: Path, path: str) -> None:
    script = Script()
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        replies = []
        for identifier in (LONGEST, TOO_LONG):
            body, fields = parts.modern_request("tools/list", {}, identifier)
            replies.append(await gateway.agent.send(path, body, fields))

    assert [reply.status for reply in replies] == [200, 400]
    assert replies[1].error["code"] == -32600


@pytest.mark.promise("X11")
async def test_what_an_agent_writes_into_an_audit_line_is_cut(tmp_path: Path) -> None:
    """A line is the agent's own name and session: megabytes a call filled the disk."""
    long = "y" * 5000
    script = Script(everything=plainly)
    async with (
        serving(script) as source,
        parts.running(
            tmp_path, parts.source("s", source.url, kind="http"), parts.OPEN_POLICY
        ) as gateway,
    ):
        fields = BOTH | {"x-session-id": long}
        await gateway.agent.send(f"/v1/tools/s.{long}", {"arguments": {}}, fields)
        await gateway.agent.send(f"/http/s/{long}", None, {}, "GET")

    unknown, fetched = parts.audited(tmp_path)
    assert unknown["tool"] == "s." + "y" * 298 + "…", "what is nobody's is cut as a whole"
    assert unknown["session"] == "y" * 300 + "…"
    assert fetched["http"] == {"method": "GET", "path": "/" + "y" * 299 + "…"}


@pytest.mark.promise("X11")
async def test_a_list_of_refused_names_is_one_line_in_the_log_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A thousand lines for each list, as often as an agent liked to ask."""

    async def resources(talk: Talk) -> web.StreamResponse:
        uris = b",".join(b'{"uri":"no uri %d","name":"r"}' % number for number in range(3))
        return talk.answer(b'{"resources":[%b]}' % uris)

    refused = [tool(f"\u0430-{number}") for number in range(1000)]
    script = Script(tools=[*refused, tool("t")], methods={"resources/list": resources})
    caplog.set_level(logging.INFO)
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        for _ in range(3):
            await gateway.agent.modern("/mcp/s", "tools/list")
            await gateway.agent.modern("/mcp/s", "resources/list")
        first = _refusals(caplog)
        script.tools.append(tool("\u0430-more"))
        await gateway.agent.modern("/mcp/s", "tools/list")

    assert [line.partition(" are not served")[0] for line in first] == [
        "source `s`: 1000 entries of tools/list",
        "source `s`: 3 entries of resources/list",
    ]
    assert _refusals(caplog)[2:] == [first[0].replace("1000", "1001")]


def _refusals(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line for line in caplog.messages if "served" in line]


@dataclass
class Time:
    """Monotonic seconds that pass when the test says so."""

    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


@asynccontextmanager
async def _at(place: Path, monotonic_s: Time, *manifests: str) -> AsyncIterator[parts.Agent]:
    """An agent of a gateway whose seconds pass when the test says so."""
    parts.write(place / "folder", *manifests)
    settings = Settings(
        directory=place / "folder", state=place / "state", listen=Address("127.0.0.1", 0),
        admin=None,
    )  # fmt: skip
    held = main.hold(settings, "test")
    assert isinstance(held, state.Held)
    clock = Clock(
        wall_ns=time.monotonic_ns, monotonic_ns=time.monotonic_ns, monotonic_s=monotonic_s
    )
    gateway = Gateway(settings, held, clock)
    await gateway.start()
    try:
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            yield parts.Agent(session, f"http://{gateway.status()['listen']}")
    finally:
        await gateway.close()


@pytest.mark.promise("S9")
async def test_a_source_that_is_slow_to_list_keeps_nobody_waiting_a_second_time(
    tmp_path: Path,
) -> None:
    """Each caller waited ten seconds anew, as long as the source did not answer."""

    async def never(talk: Talk) -> web.StreamResponse:
        await talk.gone.wait()
        return web.Response()

    slow, quick = Script(methods={"tools/list": never}), Script(tools=[tool("t")])
    passing = Time()
    async with (
        serving(slow) as one,
        serving(quick) as two,
        _at(
            tmp_path, passing, parts.source("slow", one.url), parts.source("quick", two.url),
            parts.OPEN_POLICY,
        ) as agent,
    ):  # fmt: skip
        await slow.wait_for("tools/list")
        passing.now_s += LIST_S
        replies = [await agent.send("/v1/tools", method="GET") for _ in range(2)]
        aggregate = [await agent.modern("/mcp", "tools/list") for _ in range(2)]

    late = [{"source": "slow", "error": "did not list its tools in time"}]
    assert [reply.json["unavailable"] for reply in replies] == [late, late]
    assert [b'"quick_t"' in reply.body for reply in aggregate] == [True, True]
    assert len(slow.asked("tools/list")) == 1
