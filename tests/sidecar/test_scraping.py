"""A gateway that is scraped: calls by every door, counted exactly, in text that can be read."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as open_parser

from mesh7_core.telemetry import sidecar_instruments
from mesh7_core.telemetry.instruments import Instrument
from mesh7_sidecar.settings import Address
from tests.architecture import tree
from tests.peers import otlp_receiver
from tests.sidecar.doors import parts
from tests.sidecar.doors.scripted_source import Script, serving, tool
from tests.sidecar.lifecycle import parts as lifecycle

ANY = Address("127.0.0.1", 0)
POLICY = """\
apiVersion: mesh7.dev/v1alpha1
kind: AgentPolicy
metadata: {name: p}
spec:
  selector: {}
  defaultAction: Deny
  limits: [{name: few, per: Pod, max: 3, window: 1h}]
  rules:
  - {name: no-delete, tools: ["s.delete"], action: Deny}
  - {name: few-writes, tools: ["s.write"], action: Allow, limits: [few]}
  - {name: rest, tools: ["*"], action: Allow}
"""
Series = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]


async def _scrape(admin: str, accept: str = "") -> tuple[str, str]:
    headers = {"accept": accept} if accept else {}
    async with aiohttp.ClientSession() as session, session.get(
        f"http://{admin}/metrics", headers=headers
    ) as answer:  # fmt: skip
        assert answer.status == 200
        return answer.headers["content-type"], await answer.text()


async def _read(admin: str) -> Series:
    _, text = await _scrape(admin)
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in parser.text_string_to_metric_families(text)
        for one in family.samples
    }


def _calls(found: Series) -> dict[tuple[str, str, str, str], float]:
    told = {}
    for (name, labels), value in found.items():
        if name == "mesh7_calls_total":
            said = dict(labels)
            words = ("effect", "reason", "rule", "tool")
            told[tuple(said.get(word, "") for word in words)] = value
    return told  # type: ignore[return-value]  # four words each


@pytest.mark.promise("T4")
async def test_calls_by_all_doors_at_once_are_counted_exactly(tmp_path: Path) -> None:
    """Issue 8: decisions by effect, rule and tool; what a limit refuses is `throttle`."""
    script = Script()
    script.tools.extend(tool(name) for name in ("echo", "write", "delete"))
    async with serving(script) as source, parts.running(
        tmp_path, POLICY, parts.source("s", source.url), admin=ANY
    ) as served:  # fmt: skip
        agent, admin = served.agent, str(served.status["admin"])

        async def mcp(name: str) -> None:
            await agent.modern("/mcp/s", "tools/call", {"name": name, "arguments": {}})

        async def aggregate(name: str) -> None:
            wanted = {"name": f"s_{name}", "arguments": {}}
            await agent.modern("/mcp", "tools/call", wanted)

        async def plain(name: str) -> None:
            await agent.send(f"/v1/tools/s.{name}", {"arguments": {}}, parts.JSON)

        async def decided(name: str) -> None:
            await agent.send("/v1/decide", {"tool": f"s.{name}", "arguments": {}}, parts.JSON)

        await asyncio.gather(
            *(way("echo") for way in (mcp, aggregate, plain, decided) for _ in range(7)),
            *(mcp("delete") for _ in range(5)),
            *(mcp("write") for _ in range(10)),
            *(mcp(f"made-up-{number}") for number in range(9)),
        )
        found = await _read(admin)
    assert _calls(found) == {
        ("allow", "allowed-by-rule", "default/p/rest", "s.echo"): 28,
        ("deny", "denied-by-rule", "default/p/no-delete", "s.delete"): 5,
        ("allow", "allowed-by-rule", "default/p/few-writes", "s.write"): 3,
        ("throttle", "limit-exceeded", "default/p/few-writes", "s.write"): 7,
        ("deny", "unknown-tool", "", "other"): 9,
    }
    server = {
        dict(labels)["gen_ai_tool_name"]: value
        for (name, labels), value in found.items()
        if name == "mcp_server_operation_duration_seconds_count"
        and "error_type" not in dict(labels)
    }
    assert server == {"echo": 14, "write": 3}
    client = sum(
        value
        for (name, _), value in found.items()
        if name == "mcp_client_operation_duration_seconds_count"
    )
    # The source speaks MCP whichever door a call came by.
    assert client == 24
    assert found["mesh7_ledger_duration_seconds_count", ()] == 10
    assert found["mesh7_sidecar_store_state", (("state", "connected"),)] == 1
    assert found["mesh7_sidecar_bundle_origin", (("origin", "folder"),)] == 1
    assert found["mesh7_source_unusable", (("source", "s"),)] == 0


async def test_requests_that_were_no_calls_are_counted_by_why(tmp_path: Path) -> None:
    """docs/reference/telemetry.md: `mesh7_requests_refused_total`."""
    async with parts.running(tmp_path, POLICY, admin=ANY) as served:
        for _ in range(3):
            await served.agent.send("/mcp/s", {}, parts.JSON | {"origin": "https://evil.example"})
        found = await _read(str(served.status["admin"]))
    assert found["mesh7_requests_refused_total", (("reason", "forbidden-origin"),)] == 3


async def test_open_metrics_is_answered_to_whoever_asks_for_it(tmp_path: Path) -> None:
    """Issue 8: by content negotiation."""
    async with parts.running(tmp_path, POLICY, admin=ANY) as served:
        admin = str(served.status["admin"])
        plain = await _scrape(admin)
        open_metrics = await _scrape(admin, "application/openmetrics-text;version=1.0.0")
    assert plain[0] == "text/plain; version=0.0.4; charset=utf-8"
    assert open_metrics[0] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    families = open_parser.text_string_to_metric_families(open_metrics[1])  # type: ignore[no-untyped-call]
    assert "mesh7_build" in {family.name.removesuffix("_info") for family in families}


@pytest.mark.promise("T4")
async def test_the_same_metrics_go_over_otlp_where_that_is_asked_for(tmp_path: Path) -> None:
    """Issue 8: OTLP metrics by choice, from the same counters."""
    with otlp_receiver.running() as receiver:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_METRIC_EXPORT_INTERVAL": "200",
        }
        async with lifecycle.scripted("echo") as source, lifecycle.guarded(
            tmp_path, POLICY, parts.source("s", source.url), environment=environment
        ) as served:  # fmt: skip
            for _ in range(6):
                await served.call("s.echo")
            while _sent(receiver) != {"s.echo": 6}:
                assert await asyncio.to_thread(receiver.arrived.acquire, timeout=parts.PATIENCE_S)
        assert "mcp.client.operation.duration" in {one.name for one in receiver.metrics()}


def _sent(receiver: otlp_receiver.Receiver) -> dict[str, float]:
    """The newest `mesh7.calls`, by tool."""
    found = [one for one in receiver.metrics() if one.name == "mesh7.calls"]
    return {
        str(otlp_receiver.attributes(point.attributes)["tool"]): point.as_int or point.as_double
        for one in found[-1:]
        for point in one.sum.data_points
    }


def test_every_instrument_of_the_table_is_made_somewhere() -> None:
    """Issue 8: the table has none that nobody makes; one that it has not, nobody can name."""
    named = {name for name, one in vars(sidecar_instruments).items() if isinstance(one, Instrument)}
    used = {
        name
        for path in tree.files()
        if path.suffix == ".py" and "mesh7_sidecar" in path.parts
        for name in re.findall(r"\b(?:table|sidecar_instruments)\.([A-Z_]+)\b", path.read_text())
    }
    assert named - used == set()
