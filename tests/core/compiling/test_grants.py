"""Grants and vetoes from written to meant, in a folder and made by hand."""

import json
from datetime import UTC, datetime

import pytest

from mesh7_core.compiling import compiler
from mesh7_core.compiling.grants import compile_standing, read_standing
from mesh7_core.policy.bundle import Bundle, Effect, Grant
from mesh7_core.policy.conditions import compile_condition
from mesh7_core.policy.globs import NameGlob

POLICY = """
apiVersion: mesh7.dev/v1alpha1
kind: AgentPolicy
metadata: {name: support}
spec:
  selector: {}
  rules:
  - name: refunds
    tools: ["billing.*"]
    action: RequireApproval
    approval: {grantable: {maxDuration: 1h, maxUses: 20}}
"""
SPEC: dict[str, object] = {
    "effect": "Allow",
    "subject": {"serviceAccount": "support"},
    "tools": ["billing.create_refund"],
    "when": "args.amount < 2000",
    "policyRef": {"namespace": "default", "name": "support"},
    "expiresAt": "2026-11-21T10:00:00Z",
    "maxUses": 10,
    "reason": "INC-4711",
}
MEANT = Grant(
    id="default/morning",
    effect=Effect.ALLOW,
    service_account="support",
    pod="",
    patterns=(NameGlob.parse("billing.create_refund"),),
    policy="default/support",
    expires_at=datetime(2026, 11, 21, 10, tzinfo=UTC),
    maximum_uses=10,
    condition=compile_condition("args.amount < 2000"),
    reason="INC-4711",
    created_at=datetime(2026, 11, 21, 9, 30, tzinfo=UTC),
)


def manifest(spec: dict[str, object], **metadata: str) -> str:
    return json.dumps(
        {
            "apiVersion": "mesh7.dev/v1alpha1",
            "kind": "Grant",
            "metadata": {
                "name": "morning", "creationTimestamp": "2026-11-21T09:30:00Z", **metadata,
            },
            "spec": spec,
        }
    )  # fmt: skip


def in_force(*grants: str) -> Bundle:
    files = {f"{at}.json": text.encode() for at, text in enumerate(grants)}
    compiled = compiler.compile_files({"policy.yaml": POLICY.encode(), **files})
    assert compiled.bundle is not None, compiled.diagnostics
    return compiled.bundle


@pytest.mark.promise("A9")
def test_a_grant_means_what_is_written_in_a_folder_and_by_hand() -> None:
    assert in_force(manifest(SPEC)).grants == (MEANT,)
    assert compile_standing(manifest(SPEC), in_force()) == MEANT


@pytest.mark.promise("A10")
@pytest.mark.parametrize(
    ("spec", "patterns", "reason"),
    [
        ({"effect": "Deny", "subject": {}}, (), ""),
        (
            {"effect": "Deny", "subject": {}, "tools": ["*"], "reason": "closed"},
            (NameGlob.parse("*"),),
            "closed",
        ),
    ],
)
def test_a_veto_needs_no_policy_no_end_and_no_reason(
    spec: dict[str, object], patterns: tuple[NameGlob, ...], reason: str
) -> None:
    meant = Grant(
        id="default/morning",
        effect=Effect.DENY,
        service_account="",
        pod="",
        patterns=patterns,
        policy="",
        expires_at=None,
        maximum_uses=None,
        reason=reason,
        created_at=datetime(2026, 11, 21, 9, 30, tzinfo=UTC),
    )
    assert compile_standing(manifest(spec), in_force()) == meant
    assert in_force(manifest(spec)).grants == (meant,)


@pytest.mark.promise("D42")
@pytest.mark.parametrize("missing", ["reason", "expiresAt", "policyRef"])
def test_a_grant_needs_a_reason_an_end_and_a_policy(missing: str) -> None:
    """D42: a standing permission says why and how long."""
    spec = {key: value for key, value in SPEC.items() if key != missing}
    assert compile_standing(manifest(spec), in_force()) == (
        f"spec: `{missing}` is missing, effect `Allow` needs it",
    )


@pytest.mark.promise("A9")
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"policyRef": {"namespace": "default", "name": "suport"}},
            "spec.policyRef: unknown policy `default/suport`, did you mean `default/support`?",
        ),
        (
            {"maxUses": 21},
            (
                "spec.maxUses: rule `default/support/refunds` lets a grant be used 20 times at "
                "most, write `maxUses: 20` or less"
            ),
        ),
        (
            {"expiresAt": "2026-11-21T10:30:01Z"},
            (
                "spec.expiresAt: rule `default/support/refunds` lets a grant last 1h at most "
                "from `metadata.creationTimestamp`, write an earlier time"
            ),
        ),
        ({"when": "args.amount <"}, "spec.when: "),
        ({"tools": None}, "spec.tools: "),
        ({"nonsense": 1}, "spec.nonsense: "),
    ],
)
def test_a_grant_made_by_hand_is_held_to_what_is_in_force(
    changed: dict[str, object], message: str
) -> None:
    found = compile_standing(manifest({**SPEC, **changed}), in_force())
    assert isinstance(found, tuple)
    assert found[0].startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is no JSON object"),
        ("{", "it is no JSON object"),
        ("{}", "`apiVersion` is missing"),
        (manifest(SPEC, namespace="bank"), "namespace `bank` is not `default`"),
        (manifest(SPEC).replace('"Grant"', '"ToolSource"'), "it is not one manifest"),
        (
            manifest({
                "effect": "Allow", "subject": {"pod": "pod-1"}, "policyRef": SPEC["policyRef"],
                "requestRef": {"name": "r-1", "uid": "u"}, "digest": "sha256:" + "0" * 64,
            }),
            "it answers one held call and stands for no other",
        ),
        ("\ud800", ""),
        ("[" * 5000, ""),
    ],
)  # fmt: skip
def test_what_is_no_grant_made_by_hand_says_so_and_raises_nothing(text: str, message: str) -> None:
    """What lies in the ledger may be anything (forged or truncated entries)."""
    found = compile_standing(text, in_force())
    assert isinstance(found, tuple)
    assert message in found[0]


def test_no_rule_may_take_the_name_under_which_loops_ask() -> None:
    """A held call names who asked: `<policy>/loops` must be one thing."""
    text = POLICY.replace("name: refunds", "name: loops")
    told = [str(one) for one in compiler.compile_files({"a.yaml": text.encode()}).diagnostics]
    problem = "`loops` is the name of the policy's loops, choose another"
    assert told == [f"a.yaml:8: error: spec.rules[0].name: {problem}"]


@pytest.mark.promise("A10")
@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 100_000, '{"a":' * 20 + "1" + "}" * 20, f'"{"x" * 70_000}"', "[]"],
    ids=["lists", "objects", "deep", "long", "list"],
)
def test_a_document_made_by_hand_that_is_too_deep_or_too_long_is_not_read(text: str) -> None:
    """Whoever writes to the store ends no gateway by it."""
    assert read_standing(text) is None
    assert compile_standing(text, in_force()) == (
        "it is no JSON object of at most 65536 characters and 16 levels",
    )
