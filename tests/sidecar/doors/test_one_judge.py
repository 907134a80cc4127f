"""One judge: the same table of calls through every way in, and offline."""

import json
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.peers import asking
from tests.sidecar.doors import judged_cases, parts
from tests.sidecar.doors.judged_cases import CASES, HTTP_CASES, UNKNOWN, Case
from tests.sidecar.doors.scripted_source import Script, plainly, serving, tool

Way = Callable[[parts.Running, tuple[Case, ...]], Awaitable[None]]
ALL = (*CASES, UNKNOWN)
PASSING = frozenset({"mesh7.dev/requestId", "mesh7.dev/retryAfter"})


def _outcome(case: Case) -> tuple[bool, dict[str, object]]:
    """Whether an MCP answer is an error, and its `_meta`."""
    judged = case.judged
    if judged.decision == "Allow":
        return False, {}
    facts: dict[str, object] = {"mesh7.dev/decision": judged.decision}
    if not case.is_listed:
        return True, facts | {"mesh7.dev/reason": "unknown-tool"}
    return True, facts | {"mesh7.dev/reason": judged.reason, "mesh7.dev/rule": judged.rule}


def _check(answered: asking.Answered, cases: tuple[Case, ...]) -> None:
    found = [(each.is_error, _stable(each.meta)) for each in answered.calls]
    assert found == [_outcome(case) for case in cases], answered.calls


def _stable(meta: dict[str, object]) -> dict[str, object]:
    """Without what is another each time."""
    return {key: value for key, value in meta.items() if key not in PASSING}


def _standing(place: Path) -> str:
    return judged_cases.standing(datetime.fromtimestamp(place.stat().st_mtime, UTC))


def _asked(cases: tuple[Case, ...], prefix: str = "") -> list[tuple[str, dict[str, object]]]:
    return [(prefix + case.tool, case.arguments) for case in cases]


async def _modern(gateway: parts.Running, cases: tuple[Case, ...]) -> None:
    url = f"{gateway.agent.url}/mcp/billing"
    answered = await asking.ask(asking.NEW_SDK, url, *_asked(cases))
    assert answered.revision == parts.MODERN
    _check(answered, cases)


async def _legacy(gateway: parts.Running, cases: tuple[Case, ...]) -> None:
    url = f"{gateway.agent.url}/mcp/billing"
    answered = await asking.ask(asking.OLD_SDK, url, *_asked(cases))
    assert answered.revision == parts.LEGACY
    _check(answered, cases)


async def _aggregate(gateway: parts.Running, cases: tuple[Case, ...]) -> None:
    url = f"{gateway.agent.url}/mcp"
    _check(await asking.ask(asking.NEW_SDK, url, *_asked(cases, "billing_")), cases)


async def _aggregate_legacy(gateway: parts.Running, cases: tuple[Case, ...]) -> None:
    url = f"{gateway.agent.url}/mcp"
    _check(await asking.ask(asking.OLD_SDK, url, *_asked(cases, "billing_")), cases)


async def _stdio(gateway: parts.Running, cases: tuple[Case, ...]) -> None:
    argv = [sys.executable, "-m", "mesh7_cli", "stdio", str(gateway.folder), "--source", "billing",
            "--state", str(gateway.directory)]  # fmt: skip
    _check(await asking.ask(asking.NEW_SDK, argv, *_asked(cases)), cases)


async def _tools(gateway: parts.Running, cases: tuple[Case, ...]) -> None:
    for case in cases:
        reply = await gateway.agent.send(
            f"/v1/tools/billing.{case.tool}", {"arguments": case.arguments}
        )
        if case.judged.decision == "Allow":
            assert reply.status == 200, case
        elif not case.is_listed:
            assert (reply.status, reply.json["reason"]) == (404, "unknown-tool"), case
        else:
            found = (reply.json["decision"], reply.json["reason"], reply.json["rule"])
            judged = case.judged
            assert found == (judged.decision, judged.reason, judged.rule), case
            assert reply.status == (429 if judged.limit else 403), case


async def _decide(gateway: parts.Running, cases: tuple[Case, ...]) -> None:
    for case in cases:
        body: dict[str, object] = {"tool": f"billing.{case.tool}", "arguments": case.arguments}
        reply = await gateway.agent.send("/v1/decide", body)
        assert reply.status == 200
        assert reply.json == {
            "decision": case.when_dry.decision,
            "rule": case.when_dry.rule or None,
            "reason": case.when_dry.reason,
        }


WAYS: dict[str, Way] = {
    "mcp": _modern, "mcp-legacy": _legacy, "aggregate": _aggregate,
    "aggregate-legacy": _aggregate_legacy, "stdio": _stdio, "v1": _tools, "decide": _decide,
}  # fmt: skip


@pytest.mark.promise("P1")
@pytest.mark.promise("D3")
@pytest.mark.promise("D4")
@pytest.mark.promise("L7")
@pytest.mark.parametrize("way", WAYS)
async def test_every_way_in_comes_to_the_same_decisions(tmp_path: Path, way: str) -> None:
    """Design 3: the only decision path; what no list shows is compared through the record."""
    script = Script(tools=[tool(name) for name in judged_cases.TOOLS])
    async with serving(script) as source:
        billing = parts.source("billing", source.url)
        written = judged_cases.POLICIES, _standing(tmp_path)
        async with parts.running(tmp_path, billing, *written, hold_s=0.0) as gateway:
            await WAYS[way](gateway, ALL)

    records = [judged_cases.from_record(record) for record in parts.audited(tmp_path)]
    is_dry = way == "decide"
    expected = judged_cases.expected_dry if is_dry else judged_cases.expected
    assert records == expected(ALL)
    forwarded = [talk.params["name"] for talk in script.asked("tools/call")]
    allowed = [case.tool for case in CASES if case.judged.decision == "Allow"]
    assert forwarded == ([] if way == "decide" else allowed)


@pytest.mark.promise("P1")
@pytest.mark.parametrize("case", [*CASES, *HTTP_CASES], ids=str)
def test_offline_explain_comes_to_the_same_decisions(case: Case) -> None:
    assert judged_cases.explained(case) == (case.tool, case.when_dry)


@pytest.mark.promise("P1")
@pytest.mark.promise("S2")
@pytest.mark.promise("L7")
@pytest.mark.parametrize("way", ["http", "decide"])
async def test_plain_http_calls_are_judged_the_same_when_made_and_when_asked_about(
    tmp_path: Path, way: str
) -> None:
    script = Script(everything=plainly)
    async with serving(script) as source:
        api = parts.source("api", source.url, kind="http")
        written = judged_cases.POLICIES, _standing(tmp_path)
        async with parts.running(tmp_path, api, *written, hold_s=0.0) as gateway:
            for case in HTTP_CASES:
                await _one_http(gateway, way, case)

    records = [judged_cases.from_record(record) for record in parts.audited(tmp_path)]
    is_dry = way == "decide"
    expected = judged_cases.expected_dry if is_dry else judged_cases.expected
    assert records == expected(HTTP_CASES)


async def _one_http(gateway: parts.Running, way: str, case: Case) -> None:
    method, target = case.http
    judged = case.judged
    if way == "http":
        reply = await gateway.agent.send(f"/http/api{target}", method=method)
        refused = 429 if judged.limit else 403
        assert reply.status == (200 if judged.decision == "Allow" else refused)
        return
    part: dict[str, object] = {"method": method, "path": target}
    reply = await gateway.agent.send("/v1/decide", {"tool": f"api.{case.tool}", "http": part})
    found = (reply.json["decision"], reply.json["rule"], reply.json["reason"])
    dry = case.when_dry
    assert found == (dry.decision, dry.rule, dry.reason), json.dumps(part)
