"""`Mcp-Param-*` at a source's door: what is declared says what the body says, in both eras."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from tests.sidecar.doors import parts, shop
from tests.sidecar.doors.scripted_source import LEGACY, MODERN, Script, serving, tool
from tests.sidecar.doors.shop import People

ERAS = pytest.mark.parametrize("era", [MODERN, LEGACY])
REGION = {
    "type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
}  # fmt: skip
PAY = {"name": "pay", "arguments": {"region": "eu"}}
LOOK = PAY | {"name": "look"}


@contextlib.asynccontextmanager
async def selling(place: Path) -> AsyncIterator[tuple[parts.Running, Script, People]]:
    """A shop whose tools want their region repeated; paying needs a person."""
    names = ("pay", "look")
    script = Script(tools=[tool(name, inputSchema=REGION) for name in names])
    async with (
        serving(script) as source,
        parts.running(
            place, parts.source("shop", source.url), shop.POLICY, allow_scripted_approval=True
        ) as gateway,
    ):
        people = People(gateway.directory / "gateway.sock")
        try:
            yield gateway, script, people
        finally:
            await people.close()


async def call(
    gateway: parts.Running, era: str, params: Mapping[str, object], **headers: str
) -> int:
    """The HTTP status of one call."""
    agent = gateway.agent
    if era == MODERN:
        return (await agent.modern("/mcp/shop", "tools/call", params, **headers)).status
    session = await agent.initialize("/mcp/shop")
    named = {"mcp_session_id": session} | headers
    return (await agent.legacy("/mcp/shop", "tools/call", params, **named)).status


def sent(script: Script) -> list[dict[str, str]]:
    """The `Mcp-Param-*` headers of each call that reached the source."""
    return [
        {name: value for name, value in talk.headers.items() if name.startswith("mcp-param-")}
        for talk in script.asked("tools/call")
    ]


@pytest.mark.promise("X1")
@ERAS
async def test_a_declared_header_that_says_something_else_is_refused(
    tmp_path: Path, era: str
) -> None:
    """docs/reference/reasons.md, header-mismatch: in the legacy era it went on unread."""
    async with selling(tmp_path) as (gateway, script, _):
        assert await call(gateway, era, LOOK, mcp_param_region="us") == 400
    assert sent(script) == []


@pytest.mark.promise("X1")
async def test_a_legacy_client_need_not_repeat_what_its_revision_does_not_know(
    tmp_path: Path,
) -> None:
    """MCP 2025-11-25 has no such headers."""
    async with selling(tmp_path) as (gateway, script, _):
        assert await call(gateway, LEGACY, LOOK) == 200
    assert sent(script) == [{}]


@ERAS
async def test_what_nobody_declared_is_passed_on_with_calls_that_nobody_is_asked_about(
    tmp_path: Path, era: str
) -> None:
    """Design 3."""
    told = {"mcp_param_region": "eu", "mcp_param_other": "x"}
    async with selling(tmp_path) as (gateway, script, _):
        assert await call(gateway, era, LOOK, **told) == 200
    assert sent(script) == [{"mcp-param-region": "eu", "mcp-param-other": "x"}]


@pytest.mark.promise("A1")
@ERAS
async def test_an_approved_call_takes_no_header_along_that_people_were_not_shown(
    tmp_path: Path, era: str
) -> None:
    """docs/reference/wire.md: nobody was shown it."""
    told = {"mcp_param_region": "eu", "mcp_param_other": "x"}
    async with selling(tmp_path) as (gateway, script, people):
        calling = asyncio.create_task(call(gateway, era, PAY, **told))
        (request,) = await people.asked()
        await people.approve(request["id"])
        assert await calling == 200
    assert sent(script) == [{"mcp-param-region": "eu"}]
