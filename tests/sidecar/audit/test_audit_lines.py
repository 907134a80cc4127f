"""One line a call, whatever became of it: docs/reference/audit.md held against a real gateway."""

import asyncio
import json
import re
import resource
import signal
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web

from mesh7_core.telemetry.records import Outcome
from mesh7_sidecar.audit import lines as writing
from tests.peers.processes import ROOT
from tests.sidecar.audit.stored import Line, calls_in, records_in, verified
from tests.sidecar.doors import parts as doors
from tests.sidecar.doors.scripted_source import Script, Talk, json_response
from tests.sidecar.lifecycle import parts
from tests.sidecar.lifecycle.parts import ALLOW_ALL, Guarded, guarded, policy, scripted

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
PRIVATE = "do-not-write-me-down"
RULES = policy(
    "p",
    'name: no, tools: ["s.denied"], when: "args.x == 1", action: Deny',
    'name: all, tools: ["*"], action: Allow',
)
WATCHED = policy("watched", 'name: echo, tools: ["s.echo"], action: Deny').replace(
    "spec:\n", "spec:\n  mode: Audit\n"
)


def written(place: Path) -> list[Line]:
    """The records by now."""
    path = place / "state" / "audit.jsonl"
    return calls_in(path.read_bytes())


def has_lines(place: Path, count: int) -> bool:
    return len(written(place)) >= count


async def after(place: Path, count: int) -> list[Line]:
    """The records, once there are so many."""
    await parts.eventually(partial(has_lines, place, count))
    return written(place)


async def fail(talk: Talk) -> web.StreamResponse:
    return talk.answer({"content": [], "isError": True})


async def protocol_error(talk: Talk) -> web.StreamResponse:
    text = b'{"jsonrpc":"2.0","id":%b,"error":{"code":-32603,"message":"no"}}'
    return json_response(text % json.dumps(talk.message["id"]).encode())


async def never(talk: Talk) -> web.StreamResponse:
    await asyncio.Event().wait()
    return talk.answer({})


async def hang_up(talk: Talk) -> web.StreamResponse:
    assert talk.request.transport is not None
    talk.request.transport.abort()
    return talk.answer({})


def script() -> Script:
    """A tool for each outcome."""
    tools = {"fail": fail, "error": protocol_error, "never": never, "hang": hang_up}
    return Script(calls=dict(tools))


TOOLS = ("echo", "denied", "fail", "error", "never", "hang")


async def leave(served: Guarded, source_script: Script) -> None:
    """Call a tool and go before it answers."""
    call = asyncio.ensure_future(served.agent.modern("/mcp/s", "tools/call", {"name": "never"}))
    await source_script.wait_for("tools/call", len(source_script.asked("tools/call")) + 1)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)


@pytest.mark.promise("C5")
async def test_each_call_has_one_line_that_says_what_became_of_it(tmp_path: Path) -> None:
    """Issue 1, "Record": decision, rule, reason, tool, agent, digest, outcome, duration, trace."""
    async with scripted(*TOOLS, script=script()) as source, guarded(
        tmp_path, doors.source("s", source.url), RULES, WATCHED
    ) as served:  # fmt: skip
        await served.until(parts.is_ready("s"))
        for name in ("echo", "fail", "error", "hang"):
            await served.agent.modern(
                "/mcp/s", "tools/call", {"name": name, "arguments": {"p": PRIVATE}},
                traceparent=TRACE,
            )  # fmt: skip
        denied = {"name": "denied", "arguments": {"x": 1}}
        await served.agent.modern("/mcp/s", "tools/call", denied)
        await served.agent.modern("/mcp/s", "tools/call", {"name": "made-up"})
        decide: dict[str, object] = {"tool": "s.echo", "arguments": {}}
        await served.agent.send("/v1/decide", decide, doors.JSON)
        await served.call("s.echo")
        aggregate = {"name": "s_echo"}
        await served.agent.modern("/mcp", "tools/call", aggregate)
        await leave(served, source.script)
        lines = await after(tmp_path, 10)

    assert [(line["tool"], line["outcome"], line["reason"], line["door"]) for line in lines] == [
        ("s.echo", "ok", "allowed-by-rule", "mcp"),
        ("s.fail", "tool-error", "allowed-by-rule", "mcp"),
        ("s.error", "protocol-error", "allowed-by-rule", "mcp"),
        ("s.hang", "failed", "allowed-by-rule", "mcp"),
        ("s.denied", "refused", "denied-by-rule", "mcp"),
        ("s.made-up", "refused", "unknown-tool", "mcp"),
        ("s.echo", "dry-run", "allowed-by-rule", "decide"),
        ("s.echo", "ok", "allowed-by-rule", "v1"),
        ("s.echo", "ok", "allowed-by-rule", "aggregate"),
        ("s.never", "gone", "allowed-by-rule", "mcp"),
    ]
    first = lines[0]
    assert first["rules"] == ["default/p/all"]
    assert first["would"]["rules"] == ["default/watched/echo"]
    assert first["traceId"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert first["agent"]["serviceAccount"] == "default"
    assert lines[4]["rules"] == ["default/p/no"]
    assert lines[9]["durationMs"] > 0
    text = (tmp_path / "state" / "audit.jsonl").read_text(encoding="utf-8")
    assert PRIVATE not in text
    assert undocumented(lines) == []


def undocumented(lines: list[Line]) -> list[str]:
    """Fields and outcomes that the reference does not name."""
    page = (ROOT / "docs" / "reference" / "audit.md").read_text(encoding="utf-8")
    known = set(re.findall(r"^\| `([\w-]+)` ", page, re.MULTILINE))
    used = {name for line in lines for name in line} | {line["outcome"] for line in lines}
    return sorted(used - known)


def test_the_reference_names_every_outcome_there_is() -> None:
    """docs/reference/audit.md."""
    assert undocumented([{"outcome": outcome.value} for outcome in Outcome]) == []


async def digests(place: Path, *arguments: bytes) -> list[str]:
    """The digests that a fresh gateway gives calls with these arguments, as spelled."""
    async with scripted("echo") as source, guarded(
        place, doors.source("s", source.url), ALLOW_ALL
    ) as served:  # fmt: skip
        await served.until(parts.is_ready("s"))
        for each in arguments:
            reply = await served.agent.send(
                "/v1/tools/s.echo", b'{"arguments":%b}' % each, doors.JSON
            )
            assert reply.status == 200, reply.body
        return [line["arguments"] for line in await after(place, len(arguments))]


async def test_equal_arguments_have_equal_digests_whatever_the_order_of_keys(
    tmp_path: Path,
) -> None:
    """docs/reference/audit.md; digests of two state folders cannot be compared."""
    big = b"123456789012345678901234567890"
    asked = [
        b'{"a":1,"b":{"c":[1,2],"d":null}}',
        b'{ "b":{"d":null,"c":[1,2]}, "a":1 }',
        b'{"a":1,"b":{"c":[2,1],"d":null}}',
        b'{"a":1.0,"b":{"c":[1,2],"d":null}}',
        b'{"x":%b}' % big,
        b'{"x":%b1}' % big,
        b'{"y":1,"x":%b}' % big,
        b'{"x":%b,"y":1}' % big,
    ]
    one, two = await digests(tmp_path / "one", *asked), await digests(tmp_path / "two", asked[0])

    assert all(re.fullmatch(r"b2:[0-9a-f]{32}", each) for each in one)
    assert one[0] == one[1]
    assert one[6] == one[7]
    assert len(set(one)) == len(asked) - 2
    assert two[0] != one[0]


@pytest.mark.parametrize(("share", "expected"), [("denied", ["s.made-up"]), ("off", None)])
async def test_less_is_written_when_less_is_asked_for(
    tmp_path: Path, share: str, expected: list[str] | None
) -> None:
    """`--audit denied` and `--audit off`."""
    async with scripted("echo") as source, guarded(
        tmp_path, doors.source("s", source.url), ALLOW_ALL, arguments=["--audit", share]
    ) as served:  # fmt: skip
        await served.until(parts.is_ready("s"))
        assert (await served.call("s.echo")).status == 200
        assert (await served.call("s.made-up")).status == 404
        served.gateway.process.send_signal(signal.SIGTERM)
        await served.gateway.process.wait()

    path = tmp_path / "state" / "audit.jsonl"
    assert path.exists() is (expected is not None)
    assert expected is None or [line["tool"] for line in written(tmp_path)] == expected


async def test_a_killed_gateway_loses_its_last_moments_only(tmp_path: Path) -> None:
    """Design 11: at most 50 ms of records are lost by a SIGKILL, also while calls come."""
    assert writing.FLUSH_S <= 0.05
    before = 50
    async with scripted("echo") as source, guarded(
        tmp_path, doors.source("s", source.url), ALLOW_ALL
    ) as served:  # fmt: skip
        await served.until(parts.is_ready("s"))
        async with asyncio.timeout(parts.PATIENCE_S):
            while content(tmp_path).count(b"\n") < before:
                assert (await served.call("s.echo")).status == 200
        served.gateway.process.send_signal(signal.SIGKILL)
        await served.gateway.process.wait()

    assert len(written(tmp_path)) >= before


async def test_a_full_disk_stops_no_call_and_what_is_lost_is_counted(tmp_path: Path) -> None:
    """Design 11: telemetry never blocks a call, and says what it dropped."""
    calls = 60
    async with scripted("echo") as source, guarded(
        tmp_path, doors.source("s", source.url), ALLOW_ALL
    ) as served:  # fmt: skip
        await served.until(parts.is_ready("s"))
        resource.prlimit(served.gateway.pid, resource.RLIMIT_FSIZE, (2_000, -1))
        for _ in range(calls):
            assert (await served.call("s.echo")).status == 200
        await parts.eventually(lambda: "audit records are lost" in served.logged)
        resource.prlimit(served.gateway.pid, resource.RLIMIT_FSIZE, (-1, -1))
        await served.call("s.echo")
        await parts.eventually(lambda: b',"dropped":' in content(tmp_path))
        served.gateway.process.send_signal(signal.SIGTERM)
        assert await served.gateway.process.wait() == 0
        assert served.logged.count("audit records are lost") == 1
        assert served.logged.count("audit records are written again") == 1

    whole = calls_in(content(tmp_path))
    dropped = sum(line.get("dropped", 0) for line in whole)
    assert sum("tool" in line for line in whole) + dropped == calls + 1
    assert verified(tmp_path / "state" / "audit.jsonl").is_intact


def content(place: Path) -> bytes:
    """The audit file."""
    return (place / "state" / "audit.jsonl").read_bytes()


@pytest.mark.promise("T6")
async def test_arguments_are_shown_where_policies_ask_without_what_they_name(
    tmp_path: Path,
) -> None:
    """docs/reference/agentpolicy.md, spec.record; what was sent has its hash there."""
    shows = ALLOW_ALL.replace("spec:\n", 'spec:\n  record: {arguments: Full, redact: ["$.card"]}\n')
    async with scripted("echo") as source, guarded(
        tmp_path, doors.source("s", source.url), shows
    ) as served:  # fmt: skip
        await served.until(parts.is_ready("s"))
        asked = {"card": "4242", "note": "hello", "auth": "Bearer abcdef0123456789"}
        await served.agent.modern("/mcp/s", "tools/call", {"name": "echo", "arguments": asked})
        (line,) = await after(tmp_path, 1)

    assert line["redacted"] == {"card": "(redacted)", "note": "hello", "auth": "Bearer (secret)"}
    assert re.fullmatch("b2:[0-9a-f]{32}", line["body"])
    assert line["upstreamMs"] <= line["durationMs"]
    first = records_in(content(tmp_path))[0]
    assert (first["bundle"]["from"], first["bundle"]["to"]) == ("", line["bundle"])
    assert undocumented([line]) == []
