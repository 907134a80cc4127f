"""Grants and kills as people ask for them in a hurry."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mesh7_core.compiling import compiler
from mesh7_core.compiling.drafting import Undrafted, Wish, draft, veto
from mesh7_core.compiling.grants import compile_standing
from mesh7_core.policy import bundle

NOW = datetime(2026, 11, 21, 9, 30, 0, 123_456, tzinfo=UTC)
POLICIES = b"""
apiVersion: mesh7.dev/v1alpha1
kind: AgentPolicy
metadata: {name: support}
spec:
  selector: {}
  defaultAction: RequireApproval
  rules:
  - name: secret
    tools: ["billing.delete_*"]
    action: RequireApproval
  - name: refunds
    tools: ["billing.*"]
    action: RequireApproval
    approval: {grantable: {maxDuration: 1h, maxUses: 20}}
  - {name: read, tools: ["web.*"], action: Allow}
---
apiVersion: mesh7.dev/v1alpha1
kind: AgentPolicy
metadata: {name: pushes}
spec:
  selector: {}
  serviceAccounts: ["support*"]
  rules:
  - name: refunds-too
    tools: ["billing.create_refund"]
    action: RequireApproval
    approval: {grantable: {maxDuration: 1h}}
  - name: push
    tools: ["git.push"]
    action: RequireApproval
  - name: audited
    tools: ["mail.*"]
    action: RequireApproval
    mode: Audit
    approval: {grantable: {maxDuration: 1h}}
"""
WISH = Wish(
    tool="billing.list",
    service_account="support",
    lasts=timedelta(minutes=30),
    reason=" INC-4711 ",
    uses=10,
)


def in_force() -> bundle.Bundle:
    compiled = compiler.compile_files({"policies.yaml": POLICIES})
    assert compiled.bundle is not None
    return compiled.bundle


def drafted(wish: Wish) -> dict[str, object] | Undrafted:
    return draft(wish, in_force().policies, namespace="default", suffix="a1b2", now=NOW)


@pytest.mark.promise("A9")
def test_a_wish_becomes_a_grant_that_compiles() -> None:
    found = drafted(replace(WISH, when="args.amount < 10"))
    assert found == {
        "apiVersion": "mesh7.dev/v1alpha1",
        "kind": "Grant",
        "metadata": {
            "name": "hand-a1b2",
            "namespace": "default",
            "creationTimestamp": "2026-11-21T09:30:00.123Z",
        },
        "spec": {
            "effect": "Allow",
            "subject": {"serviceAccount": "support"},
            "tools": ["billing.list"],
            "when": "args.amount < 10",
            "policyRef": {"namespace": "default", "name": "support"},
            "expiresAt": "2026-11-21T10:00:00.123Z",
            "maxUses": 10,
            "reason": "INC-4711",
        },
    }
    compiled = compile_standing(json.dumps(found), in_force())
    assert isinstance(compiled, bundle.Grant)
    assert (compiled.id, compiled.policy) == ("default/hand-a1b2", "default/support")


@pytest.mark.promise("A9")
@pytest.mark.parametrize(
    "wish",
    [
        replace(WISH, lasts=timedelta(hours=1), uses=20),
        replace(WISH, tool="billing.create_refund", policy="default/pushes", uses=None),
        replace(WISH, tool="billing.create_refund", policy="pushes"),
        replace(WISH, tool="billing.create_refund", service_account="sales"),
        replace(WISH, tool="billing.get_*"),
        # one rule that lets itself be relaxed is enough: the other still asks
        replace(WISH, tool="billing.delete_*"),
    ],
)
def test_what_a_rule_lets_itself_be_granted_is_drafted(wish: Wish) -> None:
    found = drafted(wish)
    assert isinstance(found, dict)
    assert isinstance(compile_standing(json.dumps(found), in_force()), bundle.Grant)


@pytest.mark.promise("A9")
@pytest.mark.parametrize(
    ("wish", "why"),
    [
        (
            replace(WISH, reason=" "),
            "a grant needs a reason, write one that others will understand",
        ),
        (
            replace(WISH, lasts=timedelta()),
            "a grant has to last for some time, write a duration such as `30m`",
        ),
        (
            replace(WISH, lasts=timedelta(seconds=-1)),
            "a grant has to last for some time, write a duration such as `30m`",
        ),
        (replace(WISH, uses=0), "a grant cannot be used 0 times, write 1 or more"),
        (
            replace(WISH, tool="billing"),
            (
                "glob `billing` has no dot between source and name, did you mean `billing.*` "
                "(all of a source) or `*.billing` (in every source)?"
            ),
        ),
        (
            replace(WISH, lasts=timedelta(hours=1, seconds=1)),
            ("rule `default/support/refunds` lets a grant last 1h at most, ask for no longer"),
        ),
        (
            replace(WISH, uses=21),
            ("rule `default/support/refunds` lets a grant be used 20 times at most, say how often"),
        ),
        (
            replace(WISH, uses=None),
            ("rule `default/support/refunds` lets a grant be used 20 times at most, say how often"),
        ),
        (
            replace(WISH, tool="git.push"),
            ("rule `default/pushes/push` cannot be relaxed, add `grantable` to its `approval`"),
        ),
        (
            replace(WISH, tool="billing.create_refund"),
            (
                "policies `default/pushes` and `default/support` ask about "
                "`billing.create_refund`, name one with --policy; a call that several ask about "
                "needs a grant for each"
            ),
        ),
        (
            replace(WISH, policy="elsewhere"),
            "no policy `elsewhere` bears on the agent, `mesh7 explain` names those that do",
        ),
        (
            replace(WISH, tool="mail.send"),
            (
                "only the `defaultAction` of policy `default/support` asks about `mail.send`, "
                "and no grant stands in for that, write a RequireApproval rule with `grantable`"
            ),
        ),
        (
            replace(WISH, tool="mail.send", policy="pushes"),
            "no rule asks people about `mail.send`, so there is nothing to grant",
        ),
    ],
)
def test_what_cannot_be_granted_is_refused_with_what_to_do(wish: Wish, why: str) -> None:
    assert drafted(wish) == Undrafted(why)


@pytest.mark.promise("A10")
@pytest.mark.parametrize(
    ("agent", "reason", "spec"),
    [
        (None, "", {"effect": "Deny", "subject": {}, "tools": ["*"]}),
        (
            "support",
            "it deletes\nthings\x1b[2J",
            {
                "effect": "Deny",
                "subject": {"serviceAccount": "support"},
                "tools": ["*"],
                "reason": "it deletes things [2J",
            },
        ),
    ],
)
def test_a_kill_compiles_whatever_its_reason_is(
    agent: str | None, reason: str, spec: dict[str, object]
) -> None:
    found = veto(agent, reason, namespace="default", suffix="x", now=NOW)
    assert found["spec"] == spec
    long = veto(agent, reason + "x" * 5000, namespace="default", suffix="x", now=NOW)
    for one in (found, long):
        compiled = compile_standing(json.dumps(one), in_force())
        assert isinstance(compiled, bundle.Grant)
        assert compiled.effect is bundle.Effect.DENY
