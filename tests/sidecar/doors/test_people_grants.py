"""Grants, vetoes and kills over the unix socket."""

import os
import pwd

import pytest

from mesh7_core.ledger import protocol
from tests.sidecar.people import parts

POLICY = """\
apiVersion: mesh7.dev/v1alpha1
kind: AgentPolicy
metadata: {name: coding}
spec:
  selector: {}
  defaultAction: Deny
  rules:
  - name: commits
    tools: ["git.commit"]
    action: RequireApproval
    approval: {grantable: {maxDuration: 1h, maxUses: 20}}
---
apiVersion: mesh7.dev/v1alpha1
kind: Grant
metadata: {name: from-a-file, creationTimestamp: "2026-11-21T08:00:00Z"}
spec:
  effect: Allow
  subject: {serviceAccount: default}
  tools: ["git.commit"]
  when: "args.message == 'x'"
  policyRef: {namespace: default, name: coding}
  expiresAt: "2026-11-21T08:30:00Z"
  maxUses: 2
  reason: INC-1
"""
WISH = {"tool": "git.commit", "forSeconds": 1800, "uses": 5, "reason": "release day"}
NAME = pwd.getpwuid(os.geteuid()).pw_name
FROM_FILE = {
    "name": "from-a-file",
    "id": "default/from-a-file",
    "effect": "Allow",
    "tools": ["git.commit"],
    "agent": "default",
    "pod": None,
    "policy": "default/coding",
    "when": "args.message == 'x'",
    "expiresAt": "2026-11-21T08:30:00.000Z",
    "maxUses": 2,
    "used": 0,
    "reason": "INC-1",
    "by": None,
    "madeAt": "2026-11-21T08:00:00.000Z",
    "from": "file",
}
BY_HAND = {
    "name": "hand-n1",
    "id": "default/hand-n1",
    "effect": "Allow",
    "tools": ["git.commit"],
    "agent": "default",
    "pod": None,
    "policy": "default/coding",
    "when": None,
    "expiresAt": "2026-11-21T08:30:00.000Z",
    "maxUses": 5,
    "used": 0,
    "reason": "release day",
    "by": NAME,
    "madeAt": "2026-11-21T08:00:00.000Z",
    "from": "hand",
}


@pytest.mark.promise("A9", "D42")
async def test_a_grant_is_made_listed_beside_those_of_files_and_revoked() -> None:
    async with parts.serving() as place:
        place.judge_by(POLICY)
        made = await place.ask("POST", "/control/grants", WISH)
        assert (made.status, made.json) == (201, BY_HAND)
        assert (await place.ask("GET", "/control/grants")).json == {"grants": [BY_HAND, FROM_FILE]}
        gone = await place.ask("DELETE", "/control/grants/hand-n1")
        assert (gone.status, gone.json) == (200, BY_HAND | {"used": None})
        assert (await place.ask("GET", "/control/grants")).json == {"grants": [FROM_FILE]}
        assert [(each.act, each.grant, each.refused) for each in place.deeds] == [
            ("grant", "hand-n1", ""),
            ("revoke", "hand-n1", ""),
        ]


@pytest.mark.promise("A9", "D42")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"forSeconds": 3601}, "1h at most"),
        ({"uses": 21}, "20 times at most"),
        ({"uses": None}, "20 times at most"),
        ({"reason": ""}, "`reason` is missing"),
        ({"forSeconds": None}, "`forSeconds` is missing"),
        ({"forSeconds": 0}, "`forSeconds` must be a whole number"),
        ({"forSeconds": 1.5}, "`forSeconds` must be a whole number"),
        ({"forSeconds": True}, "`forSeconds` must be a whole number"),
        ({"tool": "git.push"}, "nothing to grant"),
        ({"when": "args.message =="}, "when"),
        ({"policy": "no-such"}, "no-such"),
        ({"maxUses": 5}, "unknown field `maxUses`"),
    ],
)
async def test_a_grant_beyond_its_bounds_is_refused(change: parts.Json, said: str) -> None:
    async with parts.serving() as place:
        place.judge_by(POLICY)
        reply = await place.ask("POST", "/control/grants", WISH | change)
        assert reply.status == 422
        assert said in reply.detail
        assert await place.ledger.standing() == ()


async def test_before_the_first_policy_nothing_is_granted() -> None:
    async with parts.serving() as place:
        assert (await place.ask("POST", "/control/grants", WISH)).status == 409


@pytest.mark.promise("D42")
@pytest.mark.parametrize("name", ["hand-n", "hand-n11", "hand", "default%2Fhand-n1", "*"])
async def test_a_grant_is_revoked_by_its_whole_name_alone(name: str) -> None:
    async with parts.serving() as place:
        place.judge_by(POLICY)
        await place.ask("POST", "/control/grants", WISH)
        assert (await place.ask("DELETE", f"/control/grants/{name}")).status == 404
        standing = await place.ledger.standing()
        assert not isinstance(standing, protocol.Lost)
        assert [each.name for each in standing] == ["hand-n1"]


async def test_a_grant_of_a_file_is_removed_in_the_file() -> None:
    async with parts.serving() as place:
        place.judge_by(POLICY)
        reply = await place.ask("DELETE", "/control/grants/from-a-file")
        assert (reply.status, reply.detail) == (
            409,
            "grant `from-a-file` is written in a file of the folder – remove it there",
        )


@pytest.mark.promise("A10")
@pytest.mark.parametrize("agent", [None, "coder"])
async def test_a_kill_stops_everything_until_it_is_revoked(agent: str | None) -> None:
    async with parts.serving() as place:
        place.judge_by(POLICY)
        made = await place.ask("POST", "/control/kill", {"agent": agent, "reason": "runs wild"})
        assert made.status == 201
        assert {key: made.json[key] for key in ("name", "effect", "tools", "agent", "reason")} == {
            "name": "hand-n1",
            "effect": "Deny",
            "tools": ["*"],
            "agent": agent,
            "reason": "runs wild",
        }
        assert (await place.ask("DELETE", "/control/grants/hand-n1")).status == 200
        assert [(each.act, each.agent) for each in place.deeds] == [
            ("kill", agent or ""),
            ("revoke", ""),
        ]


@pytest.mark.promise("A10")
async def test_a_kill_needs_no_policy() -> None:
    """Nothing may keep a kill waiting."""
    async with parts.serving() as place:
        assert (await place.ask("POST", "/control/kill", {})).status == 201


async def test_a_standing_entry_that_cannot_be_read_is_listed_all_the_same() -> None:
    """Whoever writes to a shared ledger is hostile; people must be able to see and revoke it."""
    async with parts.serving() as place:
        for number, document in enumerate(("{", "[]", '{"spec":[]}', '{"spec":{"subject":1}}')):
            await place.ledger.stand(f"odd-{number}", document, "somebody")
        found = (await place.ask("GET", "/control/grants")).json["grants"]
        assert [(each["name"], each["effect"]) for each in found] == [
            (f"odd-{number}", None) for number in range(4)
        ]
        assert (await place.ask("DELETE", "/control/grants/odd-0")).status == 200
