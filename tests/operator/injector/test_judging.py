import copy
from typing import Any

import pytest

from mesh7_core import names
from mesh7_operator.injector import judging, reviews
from mesh7_operator.injector.judging import PolicyRef
from tests.operator.injector import asked
from tests.operator.injector.asked import RELEASE, SHOP


def _paths(verdict: reviews.Verdict) -> list[str]:
    assert isinstance(verdict, reviews.Refused), verdict
    return [one.path for one in verdict.causes]


def test_a_policy_that_compiles_is_allowed() -> None:
    assert judging.judge(asked.review(asked.policy()), RELEASE) == reviews.Allowed()


def test_what_the_compiler_refuses_is_refused_by_field() -> None:
    """Design 4: validation is parsing, by the compiler that the sidecar trusts."""
    rules = [
        {"name": "all", "tools": ["*"], "action": "Deny"},
        {"name": "some", "tools": ["git.push"], "when": "args.x <", "action": "Allow"},
    ]
    verdict = judging.judge(asked.review(asked.policy(rules=rules)), RELEASE)
    assert _paths(verdict) == ["spec.rules[1]", "spec.rules[1].when"]
    assert isinstance(verdict, reviews.Refused)
    assert (verdict.code, verdict.reason) == (422, "Invalid")


def test_a_namespace_selector_is_for_the_baseline_alone() -> None:
    chosen: dict[str, Any] = {"namespaceSelector": {}}
    here = judging.judge(asked.review(asked.policy(**chosen)), RELEASE)
    assert _paths(here) == ["spec.namespaceSelector"]
    there = asked.review(asked.policy(namespace=RELEASE, **chosen))
    assert judging.judge(there, RELEASE) == reviews.Allowed()


def test_the_release_namespace_holds_policies_only() -> None:
    value = asked.grant()
    value["metadata"]["namespace"] = RELEASE
    assert _paths(judging.judge(asked.review(value), RELEASE)) == ["metadata.namespace"]


def test_what_no_cluster_serves_is_refused() -> None:
    """Design 4: a tenant's argv must not run beside the sidecar's credentials."""
    source = {
        "apiVersion": names.API_VERSION, "kind": names.TOOL_SOURCE,
        "metadata": {"name": "git", "namespace": SHOP},
        "spec": {"mcp": {"transport": "Stdio", "command": ["git"]}},
    }  # fmt: skip
    assert _paths(judging.judge(asked.review(source), RELEASE)) == ["spec.mcp.transport"]


def test_a_grant_is_judged_with_its_policy() -> None:
    found = asked.review(asked.grant())
    assert judging.judge(found, RELEASE, asked.policy()) == reviews.Allowed()


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"maxUses": 21}, "spec.maxUses"),
        ({"maxUses": None}, "spec.maxUses"),
        ({"expiresAt": "2026-11-21T10:30:01Z"}, "spec.expiresAt"),
        ({"expiresAt": "2026-11-21T09:00:00Z"}, "spec.expiresAt"),
        ({"when": "args.amount <"}, "spec.when"),
        ({"policyRef": {"namespace": SHOP, "name": "suport"}}, "spec.policyRef"),
        ({"policyRef": {"namespace": "other", "name": "support"}}, "spec.policyRef"),
    ],
)
def test_a_grant_keeps_within_what_its_policy_lets_people_give(
    spec: dict[str, Any], path: str
) -> None:
    verdict = judging.judge(asked.review(asked.grant(**spec)), RELEASE, asked.policy())
    assert _paths(verdict) == [path]


@pytest.mark.parametrize("approval", [{"groups": ["finance"]}, {"count": 2}])
def test_a_grant_that_would_bypass_groups_or_count_is_not_stored(approval: dict[str, Any]) -> None:
    """docs/administrator/approvers.md: the verb alone replaces neither a group nor two people."""
    rule = asked.policy()["spec"]["rules"][0]
    grantable = {"maxDuration": "1h", "maxUses": 20}
    policy = asked.policy(rules=[{**rule, "approval": {**approval, "grantable": grantable}}])
    mallory = asked.grant(grantedBy={"username": "mallory"})
    assert _paths(judging.judge(asked.review(mallory), RELEASE, policy)) == ["spec.policyRef"]


def test_a_grant_may_relax_a_baseline_policy() -> None:
    ref = {"namespace": RELEASE, "name": "fence"}
    found = asked.review(asked.grant(policyRef=ref))
    assert judging.policy_of(found, RELEASE) == PolicyRef(RELEASE, "fence")
    baseline = asked.policy(name="fence", namespace=RELEASE)
    assert judging.judge(found, RELEASE, baseline) == reviews.Allowed()


def test_a_policy_that_does_not_compile_is_named_beside_the_grant() -> None:
    broken = asked.policy(rules=[{"name": "x", "tools": ["billing.*"], "action": "Perhaps"}])
    verdict = judging.judge(asked.review(asked.grant()), RELEASE, broken)
    assert isinstance(verdict, reviews.Refused)
    assert "does not compile: spec.rules[0].action" in verdict.causes[-1].message


@pytest.mark.parametrize(
    "ref",
    [
        {"namespace": "other", "name": "support"}, {"namespace": SHOP, "name": "../../secrets/x"},
        {"namespace": SHOP, "name": ".."}, {"namespace": SHOP}, {"namespace": SHOP, "name": 7},
        "support", None,
    ],
)  # fmt: skip
def test_no_policy_is_read_that_no_grant_could_mean(ref: object) -> None:
    """Whoever may make a grant has the injector read nothing else."""
    assert judging.policy_of(asked.review(asked.grant(policyRef=ref)), RELEASE) is None


@pytest.mark.parametrize("effect", ["Allow", "Deny"])
def test_an_answer_to_a_held_call_is_judged_with_its_policy(effect: str) -> None:
    found = asked.review(asked.answer(effect=effect))
    assert judging.is_decision(found)
    assert judging.policy_of(found, RELEASE) == PolicyRef(SHOP, "support")
    assert judging.judge(found, RELEASE, asked.policy()) == reviews.Allowed()
    assert _paths(judging.judge(found, RELEASE)) == ["spec.policyRef"]


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"subject": {"serviceAccount": "support"}}, "spec.subject"),
        ({"when": "args.amount < 5"}, "spec.when"),
        ({"maxUses": 1}, "spec.maxUses"),
        ({"requestRef": None}, "spec"),
        ({"digest": None}, "spec"),
    ],
)
def test_an_answer_is_for_one_call_and_bounded_no_further(spec: dict[str, Any], path: str) -> None:
    verdict = judging.judge(asked.review(asked.answer(**spec)), RELEASE, asked.policy())
    assert _paths(verdict) == [path]


def test_a_veto_waits_for_no_policy() -> None:
    """Design 6.7: a kill needs nothing that could be missing."""
    veto = asked.review(asked.grant(effect="Deny"))
    assert judging.policy_of(veto, RELEASE) is None
    verdict = judging.judge(veto, RELEASE)
    assert isinstance(verdict, reviews.Allowed)
    assert len(verdict.warnings) == 2


def test_what_changes_nothing_that_is_compiled_always_passes() -> None:
    """Else a finalizer could not be taken from an object that later rules refuse."""
    broken = asked.policy(rules=[{"name": "x", "tools": ["no dot"], "action": "Allow"}])
    after = copy.deepcopy(broken)
    after["metadata"] |= {"deletionTimestamp": "2026-11-21T09:00:00Z", "labels": {"a": "b"}}
    assert judging.judge(asked.review(after, before=broken), RELEASE) == reviews.Allowed()
    after["spec"]["rules"][0]["tools"] = ["still no dot"]
    changed = asked.review(after, before=broken)
    assert _paths(judging.judge(changed, RELEASE)) == ["spec.rules[0].tools[0]"]


@pytest.mark.promise("K1")
def test_what_the_controller_would_not_compile_is_refused_before_it_is_compiled() -> None:
    """Else a policy of 1.5 MB of `when` takes the compiler seven seconds, and whoever waits."""
    when = "[" + ",".join(["1"] * 2000) + "].size() > "
    rules = [
        {"name": f"r{at}", "tools": ["a.b"], "when": when + str(at), "action": "Allow"}
        for at in range(360)
    ]
    verdict = judging.judge(asked.review(asked.policy(rules=rules)), RELEASE)
    assert isinstance(verdict, reviews.Refused)
    (cause,) = verdict.causes
    assert cause.path == "spec"
    assert cause.message.startswith("more than 262144 characters in `when`")
