"""The custom resources on a real API server: what it refuses, merges, explains and shows."""

import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.api import crd_cases
from e2e.api.crd_cases import Case
from e2e.cluster.clusters import Cluster
from e2e.cluster.kubectl import KubectlError
from e2e.cluster.waiting import until

CRDS = Path(__file__).parents[2] / "crds"
PLURALS = ("agentpolicies", "approvalrequests", "auditqueries", "grants", "toolsources")
BROKEN = crd_cases.read("broken")
ACCEPTED = crd_cases.read("accepted")
_AT = "2026-11-21T09:00:00Z"


@pytest.fixture(scope="module")
def served(cluster: Cluster) -> Cluster:
    """The session's cluster with the CRDs of this checkout."""
    cluster.kubectl.apply(CRDS, "--server-side", "--force-conflicts")
    names = [f"crd/{plural}.mesh7.dev" for plural in PLURALS]
    cluster.kubectl.wait("condition=Established", *names)
    # What `explain` reads is published a little later.
    until(lambda: all(map(_explaining(cluster), PLURALS)), "kinds explained", timeout_s=60)
    return cluster


def _explaining(cluster: Cluster) -> Callable[[str], bool]:
    def explains(plural: str) -> bool:
        try:
            return "status" in cluster.kubectl("explain", plural)
        except KubectlError:
            return False

    return explains


@pytest.fixture(scope="module")
def place(served: Cluster) -> Iterator[str]:
    """A namespace for the tests of this module; each object has a name of its own."""
    name = served.new_namespace("crds")
    yield name
    served.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


def _policy(name: str, **spec: object) -> dict[str, Any]:
    return {
        "apiVersion": "mesh7.dev/v1alpha1",
        "kind": "AgentPolicy",
        "metadata": {"name": name},
        "spec": {"selector": {}, **spec},
    }


def _fresh(prefix: str) -> str:
    return f"{prefix}-{secrets.token_hex(4)}"


def _apply(cluster: Cluster, place: str, manifest: dict[str, Any], *arguments: str) -> str:
    return cluster.kubectl.apply(yaml.safe_dump(manifest), "-n", place, *arguments)


def _condition(kind: str, status: str = "True", reason: str = "Served") -> dict[str, object]:
    return {
        "type": kind, "status": status, "reason": reason, "message": "as it should be",
        "lastTransitionTime": _AT, "observedGeneration": 1,
    }  # fmt: skip


def _set_status(cluster: Cluster, place: str, what: str, status: dict[str, object]) -> None:
    patch = yaml.safe_dump({"status": status})
    cluster.kubectl(
        "patch", what, "-n", place, "--subresource=status", "--type=merge", "-p", patch
    )  # fmt: skip


@pytest.mark.promise("K1")
@pytest.mark.parametrize("plural", PLURALS)
def test_a_crd_is_established_and_structural(served: Cluster, plural: str) -> None:
    found = served.kubectl.json("get", "crd", f"{plural}.mesh7.dev")
    conditions = {one["type"]: one["status"] for one in found["status"]["conditions"]}

    assert conditions == {"NamesAccepted": "True", "Established": "True"}


def test_there_are_at_least_forty_of_each() -> None:
    """Issue 5: forty broken manifests on the real API server."""
    assert len(BROKEN) >= 40
    assert len(ACCEPTED) >= 40


@pytest.mark.promise("K1")
@pytest.mark.parametrize("case", BROKEN, ids=[f"{at}-{one.told}" for at, one in enumerate(BROKEN)])
def test_a_broken_manifest_is_refused_with_its_field(
    served: Cluster, place: str, case: Case
) -> None:
    """Issue 5, CRDs: what the schema and CEL can know is refused before it is stored."""
    with pytest.raises(KubectlError) as refused:
        served.kubectl("create", "-n", place, "--dry-run=server", "-f", "-", stdin=case.text)

    said = refused.value.stderr
    expected = (f'{case.words} "{case.field}"', f"{case.field}: ")
    assert any(one in said for one in expected)
    assert case.words in said


@pytest.mark.promise("K1")
@pytest.mark.parametrize("kind", sorted({one.kind for one in ACCEPTED}))
def test_good_manifests_are_stored(served: Cluster, place: str, kind: str) -> None:
    texts = [one.text for one in ACCEPTED if one.kind == kind]

    said = served.kubectl("create", "-n", place, "-f", "-", stdin="---\n".join(texts))

    assert said.count(" created") == len(texts)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("agentpolicy.spec.rules.when", "A CEL expression; the rule matches only calls"),
        ("agentpolicy.spec.rules", "the first that matches a call speaks"),
        ("agentpolicy.spec.limits.window", "Default: the whole lifetime"),
        ("agentpolicy.spec.selector", "`{}` is every guarded pod"),
        ("agentpolicy.spec.rules.approval.grantable", "no Grant answers for this rule"),
        ("toolsource.spec.mcp.url", "https://billing.example.com/mcp"),
        ("toolsource.spec.auth.key", "Which entry of the Secret"),
        ("toolsource.status.tools.drift", "Added, Changed or Removed"),
        ("grant.spec.expiresAt", "Required for `Allow`"),
        ("grant.status.phase", "`Exhausted` after"),
        ("approvalrequest.spec.arguments", "canonical JSON"),
    ],
)
@pytest.mark.promise("K2")
def test_kubectl_explains_every_field(served: Cluster, field: str, words: str) -> None:
    """Issue 5: `kubectl explain` is documentation."""
    said = served.kubectl("explain", field)

    assert words in " ".join(said.split())


@pytest.mark.promise("K2")
def test_short_names_and_the_category_lead_to_the_kinds(served: Cluster) -> None:
    said = served.kubectl("api-resources", "--categories=mesh7", "--no-headers", "-o", "wide")

    found = {line.split()[0]: line.split()[1] for line in said.splitlines()}
    assert found == {
        "agentpolicies": "m7p", "toolsources": "m7s", "grants": "m7g", "approvalrequests": "m7r",
        "auditqueries": "m7a",
    }  # fmt: skip


@pytest.mark.promise("K2")
def test_get_shows_a_policy_in_columns(served: Cluster, place: str) -> None:
    name = _fresh("columns")
    _apply(served, place, _policy(name, defaultAction="Allow"))
    conditions = [_condition("Ready"), _condition("Accepted", reason="Compiled")]
    status = {"bundleVersion": 7, "pods": {"matched": 3, "current": 2}, "conditions": conditions}
    _set_status(served, place, f"m7p/{name}", status)

    header, line = served.kubectl("get", "m7p", name, "-n", place, "-o", "wide").splitlines()

    assert header.split() == [
        "NAME", "READY", "MODE", "PODS", "CURRENT", "VERSION", "AGE", "DEFAULT", "ACCEPTED",
    ]  # fmt: skip
    assert line.split()[1:6] == ["True", "Enforce", "3", "2", "7"]
    assert line.split()[-2:] == ["Allow", "Compiled"]


@pytest.mark.promise("K2")
def test_get_shows_a_source_in_columns(served: Cluster, place: str) -> None:
    name = _fresh("source")
    manifest = _policy(name) | {"kind": "ToolSource"}
    manifest["spec"] = {"mcp": {"url": "https://billing.example.com/mcp"}}
    _apply(served, place, manifest)
    conditions = [_condition("Ready"), _condition("Drifted", "False")]
    _set_status(
        served, place, f"m7s/{name}", {"kind": "mcp", "toolCount": 12, "conditions": conditions}
    )

    header, line = served.kubectl("get", "m7s", name, "-n", place, "-o", "wide").splitlines()

    assert header.split() == [
        "NAME", "READY", "KIND", "TOOLS", "DRIFTED", "AGE", "URL", "PROTOCOL",
    ]  # fmt: skip
    assert line.split()[1:5] == ["True", "mcp", "12", "False"]
    assert "https://billing.example.com/mcp" in line


@pytest.mark.promise("K2")
def test_get_shows_a_grant_in_columns(served: Cluster, place: str) -> None:
    name = _fresh("grant")
    _apply(served, place, _veto(name))
    _set_status(served, place, f"m7g/{name}", {"phase": "Active", "uses": 4})

    header, line = served.kubectl("get", "m7g", name, "-n", place).splitlines()

    assert header.split() == [
        "NAME", "EFFECT", "SUBJECT", "TOOLS", "BY", "EXPIRES", "USES", "PHASE", "AGE",
    ]  # fmt: skip
    assert line.split()[1:4] == ["Deny", "support", '["billing.*"]']
    assert line.split()[4:7] == ["2026-11-21T10:00:00Z", "4", "Active"]


def _veto(name: str) -> dict[str, Any]:
    return _policy(name) | {
        "kind": "Grant",
        "spec": {
            "effect": "Deny",
            "subject": {"serviceAccount": "support"},
            "tools": ["billing.*"],
            "expiresAt": "2026-11-21T10:00:00Z",
        },
    }


def _request(name: str) -> str:
    (text, *_) = [one.text for one in ACCEPTED if one.kind == "ApprovalRequest"]
    return re.sub(r"metadata: \{name: .*\}", f"metadata: {{name: {name}}}", text)


@pytest.mark.promise("K2")
def test_get_shows_a_request_in_columns(served: Cluster, place: str) -> None:
    """Design 4: plain kubectl shows what waits."""
    name = _fresh("request")
    served.kubectl.apply(_request(name), "-n", place)
    _set_status(served, place, f"m7r/{name}", {"state": "Pending"})

    header, line = served.kubectl("get", "m7r", name, "-n", place).splitlines()

    assert header.split() == ["NAME", "STATE", "TOOL", "AGENT", "RULE", "EXPIRES", "AGE"]
    assert line.split()[1:6] == [
        "Pending", "billing.create_refund", "support", "shop/support/big-refunds",
        "2026-11-21T09:10:00Z",
    ]  # fmt: skip


@pytest.mark.promise("K2")
def test_two_managers_bring_rules_of_their_own(served: Cluster, place: str) -> None:
    """Server-side apply merges `rules` and `limits` by name."""
    name = _fresh("merged")
    one = {"name": "one", "tools": ["a.*"], "action": "Allow"}
    two = {"name": "two", "tools": ["b.*"], "action": "Deny"}
    mine, theirs = ("--server-side", "--field-manager=mine"), ("--server-side", "--field-manager=x")
    _apply(served, place, _policy(name, rules=[one]), *mine)
    _apply(served, place, _policy(name, rules=[two], limits=[_limit("a")]), *theirs)

    both = served.kubectl.json("get", "m7p", name, "-n", place)["spec"]
    _apply(served, place, _policy(name), *mine)
    left = served.kubectl.json("get", "m7p", name, "-n", place)["spec"]

    assert [rule["name"] for rule in both["rules"]] == ["one", "two"]
    assert [rule["name"] for rule in left["rules"]] == ["two"]
    assert [limit["name"] for limit in left["limits"]] == ["a"]


def _limit(name: str) -> dict[str, object]:
    return {"name": name, "per": "Pod", "max": 3}


@pytest.mark.promise("K2")
def test_two_managers_cannot_disagree_about_one_rule(served: Cluster, place: str) -> None:
    name = _fresh("conflict")
    rule = {"name": "one", "tools": ["a.*"], "action": "Deny"}
    _apply(served, place, _policy(name, rules=[rule]), "--server-side", "--field-manager=mine")

    with pytest.raises(KubectlError, match='conflict with "mine"'):
        _apply(
            served, place, _policy(name, rules=[rule | {"action": "Allow"}]),
            "--server-side", "--field-manager=theirs",
        )  # fmt: skip


@pytest.mark.promise("K2")
def test_a_status_is_written_apart_from_the_spec(served: Cluster, place: str) -> None:
    name = _fresh("apart")
    _apply(served, place, _policy(name) | {"status": {"bundleVersion": 9}})
    written = served.kubectl.json("get", "m7p", name, "-n", place)

    _set_status(served, place, f"m7p/{name}", {"bundleVersion": 7})
    found = served.kubectl.json("get", "m7p", name, "-n", place)

    assert "status" not in written
    assert found["status"] == {"bundleVersion": 7}
    assert found["metadata"]["generation"] == written["metadata"]["generation"] == 1


@pytest.mark.promise("K1")
def test_a_grant_cannot_be_changed(served: Cluster, place: str) -> None:
    """Design 4: immutable; revoke = delete."""
    name = _fresh("immutable")
    _apply(served, place, _veto(name))

    with pytest.raises(KubectlError, match="a Grant cannot be changed, delete it and make another"):
        served.kubectl(
            "patch", f"m7g/{name}", "-n", place, "--type=merge", "-p", '{"spec":{"maxUses":99}}'
        )
    served.kubectl("label", f"m7g/{name}", "-n", place, "team=support")


def test_what_is_asked_cannot_be_changed(served: Cluster, place: str) -> None:
    """Design 6: people approve one exact call."""
    name = _fresh("asked")
    served.kubectl.apply(_request(name), "-n", place)

    with pytest.raises(KubectlError, match="what is asked cannot be changed"):
        served.kubectl(
            "patch", f"m7r/{name}", "-n", place, "--type=merge", "-p", '{"spec":{"tool":"a.b"}}'
        )


def _query(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "mesh7.dev/v1alpha1",
        "kind": "AuditQuery",
        "metadata": {"name": name},
        "spec": {"requestedBy": "jane@example.com", "decision": "Deny"},
    }


@pytest.mark.promise("K2")
def test_get_shows_a_question_about_the_audit_in_columns(served: Cluster, place: str) -> None:
    name = _fresh("audit")
    _apply(served, place, _query(name))
    _set_status(served, place, f"m7a/{name}", {"phase": "Done", "records": ["{}"]})

    header, line = served.kubectl("get", "m7a", name, "-n", place).splitlines()

    assert header.split() == ["NAME", "VERIFY", "DECISION", "PHASE", "AGE"]
    assert line.split()[1:3] == ["Deny", "Done"]


def test_a_question_about_the_audit_cannot_be_changed(served: Cluster, place: str) -> None:
    """Its answer would be one to another question."""
    name = _fresh("audit")
    _apply(served, place, _query(name))

    with pytest.raises(KubectlError, match="what is asked cannot be changed, ask anew"):
        served.kubectl(
            "patch", f"m7a/{name}", "-n", place, "--type=merge", "-p", '{"spec":{"limit":5}}'
        )


def test_a_condition_without_text_is_kept_to_be_refused(served: Cluster, place: str) -> None:
    """D23: an unfinished `when:` must not vanish and mean "always"; the compiler refuses it.

    kubectl itself drops such a key when it applies without `--server-side`
    (docs/reference/custom-resources.md#what-the-api-server-cannot-see).
    """
    name = _fresh("unfinished")
    rule = {"name": "one", "tools": ["a.*"], "action": "Allow", "when": None}

    _apply(served, place, _policy(name, rules=[rule]), "--server-side")

    found = served.kubectl.json("get", "m7p", name, "-n", place)["spec"]["rules"]
    assert found == [rule]


def test_defaults_are_stored_where_their_parent_stands(served: Cluster, place: str) -> None:
    name = _fresh("defaults")
    _apply(
        served, place, _policy(name, limits=[_limit("a")], loops={"identical": 3, "window": "9s"})
    )

    found = served.kubectl.json("get", "m7p", name, "-n", place)["spec"]

    assert found == {
        "selector": {},
        "mode": "Enforce",
        "limits": [{**_limit("a"), "onStoreLoss": "Deny"}],
        "loops": {"identical": 3, "window": "9s", "per": "Pod", "action": "Deny"},
    }
