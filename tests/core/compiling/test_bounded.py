"""What a tenant writes to keep the compiler busy: each of these took from seconds to minutes."""

import time
from typing import Any

import pytest

from mesh7_core import names
from mesh7_core.compiling import compiler
from mesh7_core.delivery import payloads

Object = dict[str, Any]
LONGEST_S = 2.0
"""Of processor time, on a busy machine; a tenth of it is what they take alone."""


def written(kind: str, name: str, **spec: Any) -> Object:
    about = {"name": name, "namespace": "shop", "creationTimestamp": "2026-11-21T09:30:00Z"}
    return {"apiVersion": names.API_VERSION, "kind": kind, "metadata": about, "spec": spec}


def policy(name: str, *globs: list[str]) -> Object:
    approval = {"groups": ["people"], "grantable": {"maxDuration": "1h", "maxUses": 5}}
    rules = [
        {"name": f"r{at}", "tools": each, "action": "RequireApproval", "approval": approval}
        for at, each in enumerate(globs)
    ]
    return written(names.AGENT_POLICY, name, selector={}, rules=rules)


def grant(name: str, of: str, *tools: str) -> Object:
    return written(
        names.GRANT, name, effect="Allow", subject={"serviceAccount": "a"}, tools=list(tools),
        policyRef={"namespace": "shop", "name": of}, expiresAt="2026-11-21T10:00:00Z", maxUses=1,
        reason="r", grantedBy={"username": "jane", "groups": ["people"]},
    )  # fmt: skip


def said(*objects: Object) -> list[str]:
    """All that the compiler says, within its time."""
    documents = [payloads.document_of(one, is_baseline=False) for one in objects]
    before_s = time.process_time()
    compiled = compiler.compile_set(documents, namespace="shop", in_cluster=True)
    assert time.process_time() - before_s < LONGEST_S
    return [one.message for one in compiled.diagnostics]


def sources(many: int) -> list[Object]:
    url = {"url": "https://a.example/mcp"}
    return [written(names.TOOL_SOURCE, f"{'a' * 20}-{at:03d}", mcp=url) for at in range(many)]


@pytest.mark.promise("P6")
def test_a_thousand_misspelt_sources_are_told_and_the_first_explained() -> None:
    misspelt = [[f"{'a' * 18}b{at:02d}{no:02d}.x" for no in range(50)] for at in range(20)]

    found = said(policy("p", *misspelt), *sources(500))

    assert len([one for one in found if "matches no source" in one]) == 1000
    assert "did you mean" in found[0]
    assert found[-1].endswith("matches no source, see the names of the sources")


@pytest.mark.promise("P6")
def test_globs_over_sources_are_looked_at_up_to_a_bound() -> None:
    """Beyond it no warning: none is wrong."""
    patterns = [[f"*a*?{at:02d}*{no:02d}.x" for no in range(128)] for at in range(100)]

    found = said(policy("p", *patterns), *sources(500))

    assert 0 < len([one for one in found if "matches no source" in one]) < 1000


@pytest.mark.promise("P6")
def test_grants_of_unknown_policies_are_told() -> None:
    policies = [policy(f"policy-{'a' * 40}-{at}", ["a.b"]) for at in range(500)]

    found = said(*policies, *(grant(f"g{at}", f"policy-{'a' * 40}b{at}", "a.b")
                              for at in range(500)))  # fmt: skip

    assert len([one for one in found if "unknown policy" in one]) == 500


@pytest.mark.promise("P6")
def test_a_grant_that_takes_too_long_to_hold_against_its_policy_is_refused() -> None:
    """Never accepted unseen."""
    globs = [[f"*.*q{at:03d}x{no:02d}*y?z*" for no in range(128)] for at in range(100)]
    tools = [f"*.*z{no:03d}" + "?*" * 120 for no in range(64)]

    found = said(policy("p", *globs), grant("g", "p", *tools))

    (said_of_it,) = found
    assert said_of_it.startswith("holding them against all rules of policy `shop/p` would take")


def test_a_grant_of_many_tools_of_an_ordinary_policy_is_accepted() -> None:
    """The bound is far from what people write."""
    globs = [[f"billing.create_something_{at}_{no}*" for no in range(5)] for at in range(100)]
    tools = [f"billing.create_something_{at}_1" for at in range(20)]

    assert said(policy("p", *globs), grant("g", "p", *tools)) == []
