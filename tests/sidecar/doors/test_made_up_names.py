"""Names that belong to no source: what their records say, and that they steer nothing."""

from pathlib import Path

import pytest

from tests.sidecar.doors import parts
from tests.sidecar.doors.scripted_source import Script, serving, tool

TOKEN = "ghp_" + "a1B2" * 9


@pytest.mark.promise("X11")
async def test_a_token_sent_as_a_tool_s_name_is_in_no_record(tmp_path: Path) -> None:
    """The aggregate split it at `_`, `/v1` at `.`; the halves were recorded as they came."""
    body, fields = parts.modern_request("tools/call", {"name": TOKEN, "arguments": {}}, 1)
    async with (
        serving(Script(tools=[tool("t")])) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        aggregate = await gateway.agent.send("/mcp", body, fields)
        called = await gateway.agent.send(f"/v1/tools/nobody.{TOKEN}", {"arguments": {}})
        decided = await gateway.agent.send("/v1/decide", {"tool": f"{TOKEN}.x"})

    assert TOKEN.encode() in aggregate.body, "who sent it may read it"
    assert (called.status, decided.status) == (404, 200)
    recorded = [each["tool"] for each in parts.audited(tmp_path)]
    assert recorded == ["***", "nobody.***", "***.x"]


@pytest.mark.promise("X11")
async def test_megabytes_as_a_source_s_name_are_cut_in_the_record(tmp_path: Path) -> None:
    """`/v1/decide` takes both parts of the name from its body."""
    async with (
        serving(Script(tools=[tool("t")])) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        await gateway.agent.send("/v1/decide", {"tool": "y" * 1_000_000 + ".x"})

    assert [each["tool"] for each in parts.audited(tmp_path)] == ["y" * 300 + "…"]
