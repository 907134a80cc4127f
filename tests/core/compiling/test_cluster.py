"""What a cluster does not serve, and the codes that statuses tell apart."""

import pytest

from mesh7_core.api.manifests import Document
from mesh7_core.compiling import cluster, compiler
from mesh7_core.compiling.diagnostics import Code, Severity
from tests.core.compiling.clustered import a_grant, a_policy, a_source, an_object

NOT_SERVED = "NotServedInCluster"


def said(*documents: Document, severity: Severity = Severity.ERROR) -> list[tuple[str, str, str]]:
    """Path, message and code of each finding."""
    compiled = compiler.compile_set(documents, namespace="shop", in_cluster=True)
    return [
        (one.path, one.message, one.code)
        for one in compiled.diagnostics
        if one.severity is severity
    ]


@pytest.mark.parametrize(
    ("spec", "path", "message"),
    [
        (
            {"mcp": {"transport": "Stdio", "command": ["mcp-server-time"]}},
            "spec.mcp.transport",
            (
                "`Stdio` is not served in a cluster, run the program as a pod of its own and use "
                "`StreamableHTTP`"
            ),
        ),
        (
            {"cli": {"binary": "terraform", "commands": [{"name": "plan"}]}},
            "spec.cli",
            "`cli` is not served in a cluster, run the program behind HTTP as a pod of its own",
        ),
        (
            {"openapi": {"file": "api.json"}},
            "spec.openapi.file",
            "`file` is not served in a cluster, use `configMapKeyRef` or `url`",
        ),
        (
            {"mcp": {"url": "http://127.0.0.1:7008/mcp"}},
            "spec.mcp.url",
            "the URL's host is never dialled in a cluster: it is the pod itself",
        ),
        (
            {"http": {"url": "http://169.254.169.254/latest"}},
            "spec.http.url",
            (
                "the URL's host is never dialled in a cluster: link-local and metadata addresses "
                "are the node's own"
            ),
        ),
        (
            {"http": {"url": "https://kubernetes.default.svc"}},
            "spec.http.url",
            "the URL's host is never dialled in a cluster: it is the API server",
        ),
    ],
)
def test_a_source_that_no_cluster_serves_is_refused_by_name(
    spec: dict[str, object], path: str, message: str
) -> None:
    """Design 4 and 10: a tenant's argv must not run beside the sidecar's credentials."""
    assert said(a_source("s", spec)) == [(path, message, NOT_SERVED)]


def test_the_laptop_serves_it_still() -> None:
    spec = {"mcp": {"transport": "Stdio", "command": ["mcp-server-time"]}}
    compiled = compiler.compile_set([a_source("s", spec)], namespace="shop")
    assert compiled.bundle is not None
    assert compiled.diagnostics == ()


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "a.localhost",
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",  # noqa: S104 - refused
        "0.1.2.3",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "169.254.1.1",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "100.100.100.200",
        "168.63.129.16",
        "metadata.google.internal",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc.cluster.local",
        "kubernetes.default.svc.example.org",
    ],
)
def test_a_host_that_is_the_nodes_or_the_clusters_own_is_never_dialled(host: str) -> None:
    """Design 10: loopback, link-local, metadata and API-server addresses."""
    assert cluster.never_dialled(host) is not None


@pytest.mark.parametrize(
    "host",
    ["10.0.0.7", "192.168.1.1", "fd00::7", "billing.shop.svc", "mcp.example.com", "8.8.8.8",
     "2600::1", "kubernetes.example.com", "localhost.example.com"],
)  # fmt: skip
def test_any_other_host_may_be_dialled(host: str) -> None:
    assert cluster.never_dialled(host) is None


def test_a_reference_to_the_environment_is_left_as_text_and_warned_of() -> None:
    """Design 4: `${NAME}` exists in the laptop's folder loader only."""
    source = a_source(
        "crm",
        {
            "mcp": {"url": "https://crm.example/${TENANT}"},
            "headers": [{"name": "X-Tenant", "value": "${TENANT}"}],
        },
    )

    told = said(source, severity=Severity.WARNING)
    compiled = compiler.compile_set([source], namespace="shop", in_cluster=True)

    assert [path for path, _, _ in told] == ["spec.headers[0].value", "spec.mcp.url"]
    assert compiled.bundle is not None
    assert compiled.bundle.sources["crm"].headers == (("x-tenant", "${TENANT}"),)


def test_credentials_are_nobodys_business_but_the_sidecars() -> None:
    """The operator never reads the Secret; no environment holds what would collide there."""
    sources = [
        a_source(name, {"mcp": {"url": "https://a.example"}, "auth": {"key": key}})
        for name, key in (("one", "a-b"), ("two", "a_b"))
    ]
    assert said(*sources) == []


ASKING = a_policy(
    "support",
    {
        "selector": {},
        "rules": [
            {
                "name": "refunds",
                "tools": ["billing.*"],
                "action": "RequireApproval",
                "approval": {"grantable": {"maxDuration": "1h", "maxUses": 5}},
            }
        ],
    },
)
PLAIN = a_policy("plain", {"selector": {}})
GRANT: dict[str, object] = {
    "effect": "Allow",
    "subject": {"serviceAccount": "support"},
    "tools": ["billing.refund"],
    "policyRef": {"namespace": "shop", "name": "support"},
    "expiresAt": "2026-11-21T10:00:00Z",
    "maxUses": 5,
    "reason": "INC-4711",
    "grantedBy": {"username": "ada", "stamp": "c3RhbXA="},
}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"policyRef": {"namespace": "shop", "name": "other"}}, Code.UNKNOWN_POLICY),
        ({"policyRef": {"namespace": "shop", "name": "plain"}}, Code.BEYOND_GRANTABLE),
        ({"maxUses": 6}, Code.BEYOND_GRANTABLE),
        ({"expiresAt": "2026-11-21T11:00:00Z"}, Code.BEYOND_GRANTABLE),
        ({"when": "args."}, ""),
    ],
)
def test_what_keeps_a_grant_out_of_force_has_a_code(changed: dict[str, object], code: str) -> None:
    """Issue 5: refused by condition beyond `grantable`; reasons are stable."""
    grant = a_grant("g", {**GRANT, **changed})
    assert [found for _, _, found in said(ASKING, PLAIN, grant)] == [code]


def _asking(**approval: object) -> Document:
    rule = {
        "name": "refunds", "tools": ["billing.*"], "action": "RequireApproval",
        "approval": {"grantable": {"maxDuration": "1h", "maxUses": 5}, **approval},
    }  # fmt: skip
    return a_policy("support", {"selector": {}, "rules": [rule]})


@pytest.mark.parametrize(
    ("approval", "why"),
    [
        (
            {"groups": ["finance"]},
            "it asks people of `finance`, and whoever made the grant is not one of them",
        ),
        ({"count": 2}, "it asks 2 people, and a grant is the word of one"),
    ],
)
def test_a_grant_that_would_bypass_groups_or_count_is_refused(
    approval: dict[str, object], why: str
) -> None:
    """docs/reference/grant.md: it is the word of one person."""
    message = f"it does not stand in for rule `shop/support/refunds`: {why}"
    expected = [("spec.policyRef", message, Code.BEYOND_GRANTABLE)]
    assert said(_asking(**approval), a_grant("g", GRANT)) == expected


def test_a_grant_of_somebody_whom_the_rule_asks_is_in_force_with_their_groups() -> None:
    granted_by = {"username": "ada", "groups": ["finance"], "stamp": "c3RhbXA="}
    documents = [
        _asking(groups=["finance"]), a_grant("g", {**GRANT, "grantedBy": granted_by})
    ]  # fmt: skip
    in_cluster, on_laptop = (
        compiler.compile_set(documents, namespace="shop", in_cluster=each).bundle
        for each in (True, False)
    )
    assert in_cluster is not None
    assert on_laptop is not None
    assert [one.groups for one in in_cluster.grants] == [("finance",)]
    assert [one.groups for one in on_laptop.grants] == [None]


def test_a_stamped_grant_is_at_home_in_a_cluster() -> None:
    """On a laptop the stamp means nothing, which is warned of there."""
    for severity in Severity:
        assert said(ASKING, a_grant("g", GRANT), severity=severity) == []


def test_the_baseline_is_where_the_release_is() -> None:
    """Its rules are named by it, so that a Grant can say whose rule it relaxes."""
    fence = an_object("AgentPolicy", "fence", {"selector": {}}, "guards", is_baseline=True)

    compiled = compiler.compile_set(
        [fence], namespace="shop", in_cluster=True, release_namespace="guards"
    )

    assert compiled.bundle is not None
    assert [one.id for one in compiled.bundle.policies] == ["guards/fence"]
    assert said(fence) == [
        (
            "metadata.namespace",
            "the baseline is in namespace `mesh7-system`, remove `namespace` or move the file",
            "",
        )
    ]


def test_a_mistake_without_lines_names_fields_instead() -> None:
    """`kubectl` shows fields; a cluster's objects have no lines."""
    rules = [{"name": "a", "tools": ["x.*"], "action": "Deny"},
             {"name": "b", "tools": ["x.y"], "action": "Allow"}]  # fmt: skip
    assert said(a_policy("p", {"selector": {}, "rules": rules})) == [
        (
            "spec.rules[1]",
            (
                "rule `b` can never speak: rule `a` in `spec.rules[0]` already matches all that "
                "it names, move it up or remove it"
            ),
            "",
        )
    ]
