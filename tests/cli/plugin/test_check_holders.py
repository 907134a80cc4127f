"""`kubectl mesh7 check`: who both approves calls and makes the pods that ask."""

from collections.abc import Sequence

import pytest

from mesh7_cli.checks import catalogue, findings, gathering, holders
from mesh7_cli.checks.findings import Grade
from tests.cli.plugin import worlds
from tests.cli.plugin.worlds import Near, Object

APPROVER = {"apiGroups": ["mesh7.dev"], "resources": ["agentpolicies"], "verbs": ["approve"]}
MAKER = {"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}
DEPLOYER = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["*"]}
ANYTHING = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
JANE = {"kind": "User", "name": "jane"}
FINANCE = {"kind": "Group", "name": "finance"}
BOT = {"kind": "ServiceAccount", "name": "bot", "namespace": "ci"}
EVERYBODY = {"kind": "Group", "name": "system:authenticated"}


def _role(name: str, *rules: Object, where: str = "") -> Object:
    return worlds.named("Role" if where else "ClusterRole", name, where, rules=list(rules))


def _binding(role: str, *subjects: Object, where: str = "", kind: str = "ClusterRole") -> Object:
    return worlds.named(
        "RoleBinding" if where else "ClusterRoleBinding",
        f"{role}-{len(where)}",
        where,
        roleRef={"kind": kind, "name": role},
        subjects=list(subjects),
    )


_ROLES = (
    _role("approver", APPROVER),
    _role("maker", MAKER),
    _role("deployer", DEPLOYER),
    _role("admin", ANYTHING),
    _role("maker", MAKER, where="shop"),
)


@pytest.mark.parametrize(
    ("bindings", "expected"),
    [
        (
            [_binding("approver", JANE), _binding("maker", JANE)],
            {("User", "jane"): ["lab", "shop"]},
        ),
        (
            [_binding("approver", FINANCE, where="shop"), _binding("deployer", FINANCE)],
            {("Group", "finance"): ["shop"]},
        ),
        (
            [
                _binding("approver", BOT, where="lab"),
                _binding("maker", {"kind": "ServiceAccount", "name": "bot"}, where="ci"),
                _binding("maker", {"kind": "Group", "name": "system:serviceaccounts:ci"}),
            ],
            {("ServiceAccount", "ci:bot"): ["lab"]},
        ),
        ([_binding("approver", JANE, where="shop"), _binding("maker", JANE, where="lab")], {}),
        ([_binding("approver", JANE), _binding("maker", FINANCE)], {}),
        (
            [
                _binding("approver", JANE, where="shop"),
                _binding("maker", JANE, where="shop", kind="Role"),
            ],
            {("User", "jane"): ["shop"]},
        ),
        (
            # A baseline's approvals count in every namespace.
            [
                _binding("approver", JANE, where=worlds.RELEASE),
                _binding("maker", JANE, where="lab"),
            ],
            {("User", "jane"): ["lab"]},
        ),
        (
            [_binding("maker", EVERYBODY), _binding("approver", JANE, where="shop")],
            {("User", "jane"): ["shop"]},
        ),
        ([_binding("admin", FINANCE), _binding("approver", FINANCE)], {}),
        ([_binding("nowhere", JANE)], {}),
    ],
    ids=[
        "everywhere", "by a group that deploys", "by a group of accounts", "in two namespaces",
        "two people", "by a Role", "by the baseline", "because everybody makes pods",
        "an administrator", "a role that is gone",
    ],
)  # fmt: skip
def test_whoever_has_both_rights_is_named(
    bindings: Sequence[Object], expected: dict[holders.Holder, list[str]]
) -> None:
    """Issue 7: who holds both `approve` and `create pods`."""
    assert holders.of_both(_ROLES, bindings, ["shop", "lab"], worlds.RELEASE) == expected


def test_check_names_them_as_a_warning() -> None:
    """docs/administrator/troubleshooting.md#approvers-who-make-pods."""
    world = [
        *worlds.installed(),
        worlds.namespace("shop", injection="enabled"),
        *_ROLES,
        _binding("approver", FINANCE),
        _binding("maker", FINANCE),
    ]
    facts = gathering.after(Near(world), worlds.RELEASE, worlds.now)
    (found,) = [
        one.finding
        for one in findings.answers(catalogue.AFTER, facts)
        if one.check.name == "approvers-who-make-pods"
    ]
    assert (found.grade, found.details) == (Grade.WARN, ("Group finance: shop",))


def test_the_charts_own_roles_make_nobody_both() -> None:
    """Approving and making pods are apart in what we ship."""
    facts = gathering.after(
        Near([*worlds.installed(), worlds.namespace("shop", injection="enabled")]),
        worlds.RELEASE,
        worlds.now,
    )
    found = {one.check.name: one.finding.grade for one in findings.answers(catalogue.AFTER, facts)}
    assert found["approvers-who-make-pods"] is Grade.OK
