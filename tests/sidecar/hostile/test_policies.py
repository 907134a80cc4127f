"""Mistakes in policies that made predecessors allow: here the gateway does not start with them."""

from pathlib import Path

import pytest

from tests.peers import processes
from tests.sidecar.doors import parts as doors
from tests.sidecar.hostile.parts import attacked
from tests.sidecar.lifecycle import parts
from tests.sidecar.lifecycle.parts import policy


async def started_with(place: Path, text: str) -> processes.Finished:
    """How `mesh7 run` ends with this policy."""
    doors.write(place / "folder", text)
    return await parts.mesh7("run", place / "folder", "--listen", "127.0.0.1:0", "--admin", "off")


@pytest.mark.promise("D2")
@pytest.mark.parametrize("action", ["block", "deny", "ALLOW", "approve", "human_approval", "''"])
async def test_d2_an_unknown_action_is_refused_when_loaded(tmp_path: Path, action: str) -> None:
    """D2: `Deny`, `block`, `approve` or a missing action forwards."""
    found = await started_with(tmp_path, policy("p", f'name: r, tools: ["*"], action: {action}'))

    assert found.code == 1
    assert f"{tmp_path / 'folder' / 'all.yaml'}:8: error: spec.rules[0].action: " in found.err


@pytest.mark.promise("D2")
async def test_d2_a_missing_action_is_refused_when_loaded(tmp_path: Path) -> None:
    found = await started_with(tmp_path, policy("p", 'name: r, tools: ["*"]'))

    assert found.code == 1
    assert "action" in found.err


@pytest.mark.promise("D22")
@pytest.mark.parametrize("glob", ["s.[ab", "s.[a-z]*", "s.{a,b}", "s.\\\\x", "s.", ".x", "s"])
async def test_d22_a_malformed_glob_in_a_deny_rule_is_refused_when_loaded(
    tmp_path: Path, glob: str
) -> None:
    """D22: it silently never matches."""
    deny, allow = (
        f"name: d, tools: ['{glob}'], action: Deny",
        'name: a, tools: ["*"], action: Allow',
    )
    found = await started_with(tmp_path, policy("p", deny, allow))

    assert found.code == 1, found.err
    assert f"{tmp_path / 'folder' / 'all.yaml'}:8: error: spec.rules[0].tools[0]: " in found.err


@pytest.mark.promise("D22")
async def test_d22_a_star_crosses_what_tool_names_are_made_of(tmp_path: Path) -> None:
    """D22: `team*` does not match `team/a`."""
    tools = ("team/a", "team.a", "team", "team-a/b.c")
    deny, allow = (
        'name: d, tools: ["s.team*"], action: Deny', 'name: a, tools: ["*"], action: Allow',
    )  # fmt: skip
    async with attacked(tmp_path, policy("p", deny, allow), tools=tools) as attack:
        for name in tools:
            await attack.served.agent.modern("/mcp/s", "tools/call", {"name": name})
        assert attack.reached == []
        assert await attack.is_well()


@pytest.mark.promise("D23")
@pytest.mark.parametrize("key", ["conditions", "condition", "When", "if", "where", "whne"])
async def test_d23_an_unknown_key_is_refused_when_loaded(tmp_path: Path, key: str) -> None:
    """D23: `conditions:` instead of `condition:` is an unconditional allow."""
    rule = f'name: r, tools: ["*"], {key}: "args.amount < 500", action: Allow'
    found = await started_with(tmp_path, policy("p", rule))

    assert found.code == 1
    where = f"{tmp_path / 'folder' / 'all.yaml'}:8: error: spec.rules[0].{key}: unknown key `{key}`"
    assert where in found.err


@pytest.mark.promise("D3")
async def test_d3_a_documented_condition_matches_what_it_says(tmp_path: Path) -> None:
    """D3: a deny-if rule that never matches, followed by an allow, fails open."""
    rules = policy(
        "p",
        'name: big, tools: ["s.risky"], when: "args.amount >= 500", action: Deny',
        'name: rest, tools: ["*"], action: Allow',
    )
    async with attacked(tmp_path, rules) as attack:
        amounts: dict[object, int] = {
            499: 200, 499.99: 200, 500: 403, 500.01: 403, 10**30: 403, -1: 200, "500": 403,
            None: 403, True: 403,
        }  # fmt: skip
        found = {
            amount: (await attack.served.call("s.risky", amount=amount)).status
            for amount in amounts
        }
        assert found == amounts
        assert (await attack.served.call("s.risky")).status == 403, "no amount is no small amount"
        folded = await attack.served.call("s.risky", Amount=1_000, amount=1)
        assert folded.status == 403, "Go servers would read the other one"
        assert attack.tools_called == ["risky"] * 3
