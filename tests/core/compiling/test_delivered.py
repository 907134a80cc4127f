"""What was delivered, as what a sidecar judges by."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mesh7_core.api.manifests import Document
from mesh7_core.compiling import compiler, delivered
from mesh7_core.delivery import payloads
from mesh7_core.delivery.payloads import BundleContent, OverlayContent
from mesh7_core.errors import BundleError
from mesh7_core.policy import judge
from mesh7_core.policy.bundle import Bundle, Effect, Grant, Roster
from mesh7_core.policy.globs import NameGlob
from mesh7_core.policy.reasons import Reason
from mesh7_core.policy.view import view_of
from tests.core.compiling.clustered import a_baseline, a_grant, a_policy, a_source, an_object
from tests.core.policy.building import AGENT, a_call

ASKING = a_policy("asking", {"selector": {}, "rules": [{
    "name": "ask", "tools": ["billing.*"], "action": "RequireApproval",
    "approval": {"grantable": {"maxDuration": "1h"}},
}]})  # fmt: skip
FENCE = a_baseline("fence", {"selector": {}, "namespaceSelector": {"matchLabels": {"env": "prod"}}})
SOURCE = a_source("billing", {"mcp": {"url": "https://billing.example/mcp"}})
CONTENT = BundleContent(
    namespace="shop",
    labels={"env": "prod"},
    documents=(ASKING, FENCE, SOURCE),
    roster=Roster(sidecars=3, agents={"support": 3}),
)
PERMISSION: dict[str, object] = {
    "effect": "Allow",
    "subject": {"serviceAccount": "support"},
    "tools": ["billing.refund"],
    "policyRef": {"namespace": "shop", "name": "asking"},
    "expiresAt": "2026-11-21T10:00:00Z",
    "reason": "INC-4711",
}
MEANT = Grant(
    id="shop/morning",
    effect=Effect.ALLOW,
    service_account="support",
    pod="",
    patterns=(NameGlob.parse("billing.refund"),),
    policy="shop/asking",
    expires_at=datetime(2026, 11, 21, 10, tzinfo=UTC),
    maximum_uses=None,
    reason="INC-4711",
    created_at=datetime(2026, 11, 21, 9, 30, tzinfo=UTC),
    groups=(),
)


def bundle_of(content: BundleContent = CONTENT) -> Bundle:
    return delivered.compile_bundle(payloads.read_bundle(payloads.write_bundle(content)))


def overlay_of(*grants: Document) -> tuple[Grant, ...]:
    payload = payloads.write_overlay(OverlayContent(namespace="shop", documents=grants))
    return delivered.compile_overlay(payloads.read_overlay(payload), bundle_of())


def a_veto_of_everything(name: str) -> Grant:
    return Grant(
        id=f"shop/{name}",
        effect=Effect.DENY,
        service_account="",
        pod="",
        patterns=(),
        policy="",
        expires_at=None,
        maximum_uses=None,
        reason="a veto cannot be read",
    )


def test_a_delivered_bundle_is_what_the_compiler_makes_of_the_written_set() -> None:
    """Design 4: the compiler that validates at admission is the one the sidecar trusts."""
    compiled = compiler.compile_set(
        CONTENT.documents, namespace="shop", namespace_labels={"env": "prod"}, in_cluster=True
    )
    assert compiled.bundle is not None
    assert compiled.bundle.roster is None
    assert bundle_of() == replace(compiled.bundle, roster=CONTENT.roster)


def test_a_baseline_bears_on_namespaces_with_its_labels() -> None:
    elsewhere = replace(CONTENT, labels={"env": "test"})
    assert [one.id for one in bundle_of().policies] == ["mesh7-system/fence", "shop/asking"]
    assert [one.id for one in bundle_of(elsewhere).policies] == ["shop/asking"]


def test_a_release_in_another_namespace_names_its_rules_by_it() -> None:
    fence = an_object("AgentPolicy", "fence", {"selector": {}}, "guards", is_baseline=True)
    content = BundleContent(
        namespace="shop", labels={}, documents=(fence,), release_namespace="guards"
    )
    assert [one.id for one in bundle_of(content).policies] == ["guards/fence"]


@pytest.mark.parametrize(
    "document",
    [
        a_policy("p", {"selector": {}, "fromTheFuture": True}),
        a_source("s", {"mcp": {"transport": "Stdio", "command": ["x"]}}),
    ],
)
def test_what_does_not_compile_is_refused_whole(document: Document) -> None:
    """The operator fences before it signs; so it is another release's, and nothing is guessed."""
    with pytest.raises(BundleError, match=f"{document.kind}/shop/.*update the sidecar$"):
        bundle_of(replace(CONTENT, documents=(*CONTENT.documents, document)))


@pytest.mark.promise("A9")
def test_grants_and_vetoes_mean_what_is_written() -> None:
    veto = a_grant("stop", {"effect": "Deny", "subject": {"pod": "p-1"}, "reason": "INC-1"})

    assert overlay_of(a_grant("morning", PERMISSION), veto) == (
        MEANT,
        replace(
            a_veto_of_everything("stop"),
            pod="p-1",
            reason="INC-1",
            created_at=datetime(2026, 11, 21, 9, 30, tzinfo=UTC),
        ),
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"policyRef": {"namespace": "shop", "name": "later"}},
        {"expiresAt": "2030-01-01T00:00:00Z"},
        {"when": "args."},
        {"fromTheFuture": True},
    ],
)
def test_a_permission_that_cannot_be_compiled_is_left_out(changed: dict[str, object]) -> None:
    """Perhaps its policy comes with the next bundle: the overlay is compiled again then."""
    grants = (a_grant("bad", {**PERMISSION, **changed}), a_grant("morning", PERMISSION))
    assert overlay_of(*grants) == (MEANT,)


@pytest.mark.promise("A10")
@pytest.mark.parametrize(
    "spec",
    [
        {"effect": "Deny", "subject": {}, "fromTheFuture": True},
        {"effect": "Deny", "subject": {}, "when": "args."},
        {"effect": "Freeze"},
        None,
    ],
)
def test_a_veto_that_cannot_be_compiled_stops_everything(spec: object) -> None:
    """As on the laptop: what does not say that it allows may be a veto."""
    assert overlay_of(a_grant("stop", spec)) == (a_veto_of_everything("stop"),)


@pytest.mark.parametrize("effect", ["Allow", "Deny"])
def test_what_answers_one_held_call_stands_for_no_other(effect: str) -> None:
    exact = {
        "effect": effect,
        "subject": {"pod": "p-1"},
        "requestRef": {"name": "r", "uid": "u"},
        "digest": "sha256:" + "0" * 64,
        "policyRef": {"namespace": "shop", "name": "asking"},
        "expiresAt": "2026-11-21T10:00:00Z",
        "reason": "INC-4711",
    }
    assert overlay_of(a_grant("exact", exact)) == ()


def test_an_overlay_lies_over_a_bundle_of_its_own_namespace() -> None:
    with pytest.raises(BundleError, match="of namespace `bank`, not `shop`"):
        delivered.compile_overlay(OverlayContent(namespace="bank", documents=()), bundle_of())


@pytest.mark.promise("P1")
@pytest.mark.parametrize(
    ("asked", "makers", "reason"),
    [
        ({}, [], Reason.GRANTED),
        ({"groups": ["finance"]}, ["finance"], Reason.GRANTED),
        ({"groups": ["finance"]}, [], Reason.APPROVAL_REQUIRED),
        ({"groups": ["finance"], "count": 2}, ["finance"], Reason.APPROVAL_REQUIRED),
    ],
)
def test_a_delivered_grant_does_not_bypass_groups_and_count(
    asked: dict[str, object], makers: list[str], reason: Reason
) -> None:
    """Also when the policy that asks is newer than the grant, which was in force before."""
    rule = {
        "name": "ask", "tools": ["billing.*"], "action": "RequireApproval",
        "approval": {"grantable": {"maxDuration": "1h"}, **asked},
    }  # fmt: skip
    documents = (a_policy("asking", {"selector": {}, "rules": [rule]}),)
    bundle = bundle_of(BundleContent(namespace="shop", labels={}, documents=documents))
    granted_by = {"username": "jane", "groups": makers, "stamp": "c3RhbXA="}
    grant = a_grant("morning", {**PERMISSION, "grantedBy": granted_by})
    payload = payloads.write_overlay(OverlayContent(namespace="shop", documents=(grant,)))
    current = delivered.compile_overlay(payloads.read_overlay(payload), bundle)
    before = tuple(replace(one, groups=tuple(makers)) for one in overlay_of(grant))
    now = datetime(2026, 11, 21, 9, 45, tzinfo=UTC)

    for grants in (current, before):
        needs = judge.needs(view_of(bundle, AGENT, grants), a_call(), now)
        facts = judge.admitting(needs, a_call(), now)
        decision = judge.decide(needs, facts)
        assert decision.reason is reason
