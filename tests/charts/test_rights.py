"""Who may what: the rights that the chart renders held to a list, right by right."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.charts import rendered

Right = tuple[str, str, str, str]
"""Verb, resource, name (`*` = any), where (`everywhere`, `release` or `test`)."""
_OURS = ("agentpolicies", "toolsources", "grants")

ALLOWED: dict[str, set[Right]] = {
    "mesh7-controller": {
        *((verb, f"{plural}.mesh7.dev", "*", "everywhere")
          for plural in _OURS for verb in ("list", "watch")),
        *(("patch", f"{plural}/status.mesh7.dev", "*", "everywhere")
          for plural in (*_OURS, "approvalrequests", "auditqueries")),
        *((verb, "approvalrequests.mesh7.dev", "*", "everywhere")
          for verb in ("list", "watch", "create", "delete")),
        *((verb, "auditqueries.mesh7.dev", "*", "everywhere")
          for verb in ("list", "watch", "delete")),
        ("list", "namespaces", "*", "everywhere"),
        ("watch", "namespaces", "*", "everywhere"),
        ("patch", "namespaces", "*", "everywhere"),  # two annotations; see admission/
        ("list", "configmaps", "mesh7-bundle", "everywhere"),
        ("watch", "configmaps", "mesh7-bundle", "everywhere"),
        ("create", "configmaps", "mesh7-bundle", "everywhere"),
        ("patch", "configmaps", "mesh7-bundle", "everywhere"),
        ("delete", "configmaps", "mesh7-bundle", "everywhere"),
        *((verb, "networkpolicies.networking.k8s.io", "mesh7-guarded", "everywhere")
          for verb in ("list", "watch", "create", "patch", "delete")),
        # By name before a decision: whether the pod that asked is still that one.
        *((verb, "pods", "*", "everywhere") for verb in ("get", "list")),
        ("create", "events", "*", "everywhere"),
        ("create", "secrets", "*", "release"),
        ("get", "secrets", "mesh7-signing-keys", "release"),
        ("get", "secrets", "mesh7-redis-master", "release"),
        ("get", "secrets", "mesh7-redis-operator", "release"),
        *((verb, "secrets", f"mesh7-{name}", "release") for verb in ("get", "update")
          for name in ("authority", "injector-certificate", "exchange-certificate",
                       "redis-certificate")),
        ("get", "configmaps", "mesh7-stamp-public", "release"),
        # Which names these may be, admission says: mesh7-audit-<namespace>.
        *((verb, "configmaps", "*", "release")
          for verb in ("get", "list", "create", "update", "delete")),
        *((verb, "configmaps", "mesh7-trust", "release") for verb in ("get", "create", "patch")),
        *((verb, f"{kind}webhookconfigurations.admissionregistration.k8s.io", "mesh7", "everywhere")
          for kind in ("mutating", "validating") for verb in ("get", "patch")),
        ("create", "leases.coordination.k8s.io", "*", "release"),
        ("get", "leases.coordination.k8s.io", "mesh7-controller", "release"),
        ("update", "leases.coordination.k8s.io", "mesh7-controller", "release"),
    },
    "mesh7-injector": {
        ("get", "agentpolicies.mesh7.dev", "*", "everywhere"),
        ("create", "subjectaccessreviews.authorization.k8s.io", "*", "everywhere"),
        ("list", "toolsources.mesh7.dev", "*", "everywhere"),
        ("get", "namespaces", "*", "everywhere"),
        ("get", "networkpolicies.networking.k8s.io", "mesh7-guarded", "everywhere"),
        ("patch", "configmaps", "mesh7-stamp-public", "release"),
    },
    "mesh7-exchange": {
        ("create", "tokenreviews.authentication.k8s.io", "*", "everywhere"),
        ("get", "namespaces", "*", "everywhere"),
    },
    "mesh7-keys": {
        ("get", "secrets", "mesh7-signing-keys", "release"),
        ("update", "secrets", "mesh7-signing-keys", "release"),
    },
    "mesh7-certificates": {
        ("get", "secrets", "mesh7-authority", "release"),
        ("update", "secrets", "mesh7-authority", "release"),
    },
    "mesh7-sweep": {
        *((verb, f"{kind}webhookconfigurations.admissionregistration.k8s.io", "mesh7", "everywhere")
          for kind in ("mutating", "validating") for verb in ("get", "delete")),
        *((verb, "configmaps", "mesh7-bundle", "everywhere") for verb in ("list", "delete")),
        *((verb, "networkpolicies.networking.k8s.io", "mesh7-guarded", "everywhere")
          for verb in ("list", "delete")),
        *((verb, f"{plural}.mesh7.dev", "*", "everywhere")
          for plural in ("approvalrequests", "auditqueries") for verb in ("list", "delete")),
        *((verb, "namespaces", "*", "everywhere") for verb in ("list", "patch")),
        *((verb, "secrets", f"mesh7-{name}", "release") for verb in ("get", "delete")
          for name in ("authority", "injector-certificate", "exchange-certificate",
                       "redis-certificate", "signing-keys", "stamp-key", "redis-master",
                       "redis-operator")),
        *((verb, "configmaps", "mesh7-trust", "release") for verb in ("get", "delete")),
        *((verb, "configmaps", "*", "release") for verb in ("list", "delete")),
        *((verb, "configmaps", "mesh7-stamp-public", "release") for verb in ("get", "patch")),
        ("create", "leases.coordination.k8s.io", "*", "release"),
        *((verb, "leases.coordination.k8s.io", "mesh7-controller", "release")
          for verb in ("get", "update", "delete")),
        ("patch", "deployments/scale.apps", "mesh7-controller", "release"),
        ("list", "pods", "*", "release"),
    },
    # What it makes is not stored; and the namespace is there for the test alone.
    "mesh7-verify": {("create", "pods", "*", "test")},
}  # fmt: skip
_READ = {
    (verb, f"{plural}.mesh7.dev", "*", "everywhere")
    for plural in (*_OURS, "approvalrequests")
    for verb in ("get", "list", "watch")
}
_WRITE = {
    (verb, f"{plural}.mesh7.dev", "*", "everywhere")
    for plural in ("agentpolicies", "toolsources")
    for verb in ("create", "update", "patch", "delete")
}
PEOPLE: dict[str, set[Right]] = {
    "mesh7-viewer": _READ,
    "mesh7-policy-editor": _READ | _WRITE | {("create", "grants.mesh7.dev", "*", "everywhere")},
    "mesh7-approver": _READ
    | {
        ("create", "grants.mesh7.dev", "*", "everywhere"),
        ("approve", "agentpolicies.mesh7.dev", "*", "everywhere"),
    },
    "mesh7-admin": _READ
    | _WRITE
    | {
        (verb, "grants.mesh7.dev", "*", "everywhere")
        for verb in ("create", "update", "patch", "delete")
    }
    | {
        ("approve", "agentpolicies.mesh7.dev", "*", "everywhere"),
        ("accept", "toolsources.mesh7.dev", "*", "everywhere"),
        ("debug", "pods.mesh7.dev", "*", "everywhere"),
        ("enrol", "namespaces.mesh7.dev", "*", "everywhere"),
    },
    "mesh7-auditor": {
        (verb, "auditqueries.mesh7.dev", "*", "everywhere")
        for verb in ("get", "list", "watch", "create", "delete")
    },
}
_ANCHORS = "mesh7-anchors-reader"
_EVERYBODY = "mesh7-settings-reader"
_ISSUER = "system:service-account-issuer-discovery"
_PLACES = {"": "everywhere", "mesh7-system": "release", "mesh7-system-test": "test"}
_FEWER = [name for name in rendered.SETS if name not in {"default", rendered.TASKS}]


def _of_kind(kind: str, name: str = "default") -> dict[str, dict[str, Any]]:
    """Of a set, the tasks beside it."""
    return {**rendered.of_kind(kind, rendered.TASKS), **rendered.of_kind(kind, name)}


def _rights(role: dict[str, Any]) -> Iterator[Right]:
    where = _PLACES[role["metadata"].get("namespace", "")]
    for rule in role["rules"]:
        assert set(rule) <= {"apiGroups", "resources", "resourceNames", "verbs"}
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for name in rule.get("resourceNames", ["*"]):
                    for verb in rule["verbs"]:
                        yield verb, f"{resource}.{group}".rstrip("."), name, where


def _bound(account: str, name: str = "default") -> Iterator[Right]:
    """What a service account may do by all that binds it."""
    for kind in ("ClusterRoleBinding", "RoleBinding"):
        for binding in _of_kind(kind, name).values():
            if binding["metadata"]["name"] == _EVERYBODY:
                continue
            named = {one["name"] for one in binding["subjects"]}
            ref = binding["roleRef"]
            assert {one["kind"] for one in binding["subjects"]} == {"ServiceAccount"}
            if account in named and ref["name"] != _ISSUER:
                yield from _rights(_of_kind(ref["kind"], name)[ref["name"]])


@pytest.mark.promise("K10")
@pytest.mark.parametrize("account", ALLOWED)
def test_a_program_has_the_rights_of_the_list_and_no_other(account: str) -> None:
    """Whoever adds a right adds it here, too, and so has to think of it."""
    found = list(_bound(account))
    assert sorted(found) == sorted(ALLOWED[account])


@pytest.mark.promise("K10")
@pytest.mark.parametrize("name", _FEWER)
def test_other_values_give_nobody_more(name: str) -> None:
    for account in rendered.of_kind("ServiceAccount", name):
        assert set(_bound(account, name)) <= ALLOWED[account]


@pytest.mark.promise("K10")
@pytest.mark.parametrize("name", ["cert-manager", "external"])
def test_with_certificates_of_others_the_controller_writes_none(name: str) -> None:
    found = set(_bound("mesh7-controller", name))
    assert ("get", "secrets", "mesh7-exchange-certificate", "release") in found
    assert not [right for right in found if right[:2] == ("update", "secrets")]
    assert not [right for right in found if "webhookconfigurations" in right[1]]


@pytest.mark.promise("K10")
def test_nobody_has_a_wildcard_or_may_do_what_opens_everything() -> None:
    """No secret of a tenant, no pod, no impersonation, no rights that give rights."""
    everything = set().union(*ALLOWED.values(), *PEOPLE.values())
    words = {word for right in everything for word in right[:2]}
    assert not words & {"*", "escalate", "bind", "impersonate", "proxy"}
    pods = {right for right in everything if right[1] == "pods" and right[3] != "test"}
    assert {right[0] for right in pods} == {"get", "list"}
    assert {right[3] for right in everything if right[1] == "secrets"} == {"release"}
    assert not any(right[1] == "secrets" and right[0] in {"list", "watch"} for right in everything)


def test_every_account_is_in_the_list_and_bound() -> None:
    accounts = _of_kind("ServiceAccount")
    assert sorted(accounts) == sorted(ALLOWED)
    assert {one["metadata"]["namespace"] for one in accounts.values()} == {"mesh7-system"}
    assert {one["automountServiceAccountToken"] for one in accounts.values()} == {False}


def test_only_the_exchange_reads_who_issues_tokens() -> None:
    bindings = _of_kind("ClusterRoleBinding").values()
    found = [one for one in bindings if one["roleRef"]["name"] == _ISSUER]
    assert [one["subjects"][0]["name"] for one in found] == ["mesh7-exchange"]


@pytest.mark.promise("K10")
@pytest.mark.parametrize("name", ["default", *_FEWER])
def test_whoever_is_logged_in_reads_two_objects_without_secrets(name: str) -> None:
    """docs/administrator/install.md: what stands in each guarded pod anyway."""
    binding = rendered.of_kind("RoleBinding", name)[_EVERYBODY]
    assert [(one["kind"], one["name"]) for one in binding["subjects"]] == [
        ("Group", "system:authenticated")
    ]
    assert set(_rights(rendered.of_kind("Role", name)[_EVERYBODY])) == {
        ("get", "configmaps", "mesh7-injection", "release"),
        ("get", "configmaps", "mesh7-trust", "release"),
    }


@pytest.mark.promise("K10")
@pytest.mark.parametrize("role", PEOPLE)
def test_a_role_for_people_is_as_listed(role: str) -> None:
    found = rendered.of_kind("ClusterRole")
    assert sorted(found) == sorted({*PEOPLE, *(one for one in ALLOWED if one in found)})
    assert set(_rights(found[role])) == PEOPLE[role]


@pytest.mark.promise("K10", "T5")
def test_nobody_reads_the_audit_but_auditors() -> None:
    """Whoever sees policies, writes them or approves does not thereby see what everybody called."""
    readers = {
        name
        for name, role in rendered.of_kind("ClusterRole").items()
        if any("auditqueries" in right[1] for right in _rights(role))
    }
    # The sweep deletes them.
    assert readers == {"mesh7-auditor", "mesh7-controller", "mesh7-sweep"}


@pytest.mark.promise("K10")
def test_signed_heads_are_read_by_whom_an_administrator_names() -> None:
    found = rendered.of_kind("Role")[_ANCHORS]
    assert set(_rights(found)) == {("get", "configmaps", "*", "release")}
    bound = {one["roleRef"]["name"] for one in rendered.of_kind("RoleBinding").values()}
    assert _ANCHORS not in bound


def test_approving_reaches_nobody_by_the_stock_roles() -> None:
    """Design 14: who may change pods must not thereby approve what they do."""
    for role in rendered.of_kind("ClusterRole").values():
        labels = role["metadata"].get("labels", {})
        assert not [key for key in labels if "aggregate-to" in key]
        assert "aggregationRule" not in role
