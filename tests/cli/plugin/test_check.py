"""`kubectl mesh7 check`: each question answered, each trouble found, each with its page."""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import yaml

from mesh7_cli import plugin
from mesh7_cli.checks import admission, catalogue, findings, gathering, installing, report, rights
from mesh7_cli.checks.findings import Grade
from tests.cli.plugin import worlds
from tests.cli.plugin.worlds import Fake, Near, Object

ROOT = Path(__file__).resolve().parents[3]


def _shop() -> list[Object]:
    return [
        worlds.namespace("shop", injection="enabled", enforcement="Guarded"),
        worlds.delivered("shop"),
        worlds.fence("shop"),
        worlds.policy("support", "shop", pods=(1, 1)),
        worlds.guarded("web-1", "shop"),
        worlds.named("DaemonSet", "cilium", "kube-system"),
    ]


def _after(*objects: Object, **further: object) -> dict[str, Grade]:
    facts = gathering.after(Near(objects, **further), worlds.RELEASE, worlds.now)
    return {one.check.name: one.finding.grade for one in findings.answers(catalogue.AFTER, facts)}


def _troubles(objects: Iterable[Object], **further: object) -> dict[str, Grade]:
    found = _after(*objects, **further)
    return {name: grade for name, grade in found.items() if grade is not Grade.OK}


def test_an_installation_that_works_has_nothing_wrong() -> None:
    """Issue 6: the charts' own objects, as `check` wants them."""
    found = _after(*worlds.installed(), *_shop())
    assert set(found) == {check.name for category in catalogue.AFTER for check in category.checks}
    assert {name: grade for name, grade in found.items() if grade is not Grade.OK} == {}


def _without(kind: str, name: str) -> Callable[[list[Object]], list[Object]]:
    return lambda world: [
        one for one in world if (one["kind"], one["metadata"]["name"]) != (kind, name)
    ]


def _with(*further: Object) -> Callable[[list[Object]], list[Object]]:
    names = {(one["kind"], one["metadata"]["name"]) for one in further}
    return lambda world: [
        *(one for one in world if (one["kind"], one["metadata"]["name"]) not in names),
        *further,
    ]


def _changed(
    kind: str, name: str, change: Callable[[Object], object]
) -> Callable[[list[Object]], list[Object]]:
    def changed(world: list[Object]) -> list[Object]:
        for one in world:
            if (one["kind"], one["metadata"]["name"]) == (kind, name):
                change(one)
        return world

    return changed


def _stored(status: str, reason: str) -> Object:
    """A policy whose controller says how it stands with Redis."""
    found = worlds.policy("support", "shop", pods=(1, 1))
    found["status"]["conditions"].append(
        {"type": "StoreConnected", "status": status, "reason": reason}
    )
    return found


_POLICY, _BINDING = "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"
_TROUBLES: list[tuple[Callable[[list[Object]], list[Object]], dict[str, Grade]]] = [
    (_with(worlds.named("Node", "old", status={"nodeInfo": {"kubeletVersion": "v1.28.9"}})),
     {"kubelet-versions": Grade.FATAL}),
    (_without("CustomResourceDefinition", "grants.mesh7.dev"), {"kinds": Grade.FATAL}),
    (_changed("Deployment", "mesh7-injector", lambda one: one.update(status={})),
     {"programs": Grade.FATAL}),
    (_changed("Deployment", "mesh7-injector",
              lambda one: one.update(status={"availableReplicas": 1})), {"programs": Grade.WARN}),
    (_without("PodDisruptionBudget", "mesh7-injector"), {"disruption-budgets": Grade.WARN}),
    (_changed("Lease", "mesh7-controller",
              lambda one: one["spec"].update(renewTime="2026-11-21T11:50:00Z")),
     {"leader": Grade.FATAL}),
    (_changed("Deployment", "mesh7-injector", lambda one: one["metadata"]["labels"].update(
        {"app.kubernetes.io/version": "9.0.0"})), {"release-version": Grade.WARN}),
    (_with(_stored("False", "StoreLost")), {"store": Grade.FATAL}),
    (_with(_stored("Unknown", "NoStore")), {"store": Grade.WARN}),
    (_without("ClusterRole", "mesh7-approver"), {"our-roles": Grade.WARN}),
    (_without("Lease", "mesh7-controller"), {"leader": Grade.FATAL}),
    (_changed("ConfigMap", "mesh7-injection",
              lambda one: one.update(data={"injection.yaml": "kind: Else"})),
     {"settings": Grade.FATAL}),
    (_changed("ConfigMap", "mesh7-trust", lambda one: one.update(data={"key": "x"})),
     {"trust-key": Grade.FATAL}),
    (_changed("MutatingWebhookConfiguration", "mesh7", lambda one: one["webhooks"].pop()),
     {"webhooks": Grade.FATAL}),
    (_changed("MutatingWebhookConfiguration", "mesh7",
              lambda one: one["webhooks"][2].update(failurePolicy="Ignore")),
     {"webhooks": Grade.FATAL}),
    (_changed("ValidatingWebhookConfiguration", "mesh7",
              lambda one: one["webhooks"][0]["clientConfig"].pop("caBundle")),
     {"webhook-authorities": Grade.FATAL}),
    (_with(worlds.certificate("mesh7-injector", days=3)), {"certificates": Grade.WARN}),
    (_with(worlds.certificate("mesh7-injector", days=-1)), {"certificates": Grade.FATAL}),
    (_with(worlds.certificate("mesh7-injector", host="mesh7-other")),
     {"certificates": Grade.FATAL}),
    (_without("Secret", "mesh7-exchange-certificate"), {"certificates": Grade.FATAL}),
    (_changed("Secret", "mesh7-exchange-certificate", lambda one: one["data"].pop("ca.crt")),
     {"certificates": Grade.FATAL}),
    (_changed("Secret", "mesh7-exchange-certificate", lambda one: one["data"].update(
        {"ca.crt": worlds.certificate("any", vouching="theirs")["data"]["ca.crt"]})),
     {"certificates": Grade.FATAL}),
    (_with(worlds.certificate("mesh7-injector", vouching="theirs")),
     {"certificates": Grade.FATAL}),
    (_without(_POLICY, "mesh7-tokens"), {"admission-policies": Grade.FATAL}),
    (_changed(_BINDING, "mesh7-tokens",
              lambda one: one["spec"].update(validationActions=["Audit"])),
     {"admission-policies": Grade.FATAL}),
    (_with(worlds.named("ClusterRole", "edit", rules=[
        {"apiGroups": ["mesh7.dev"], "resources": ["agentpolicies"], "verbs": ["approve"]}])),
     {"stock-roles": Grade.FATAL}),
    (_with(worlds.named("ClusterRole", "edit", rules=[
        {"apiGroups": ["mesh7.dev"], "resources": ["grants"], "verbs": ["create"]}])),
     {"stock-roles": Grade.FATAL}),
    (_with(worlds.namespace("shop", injection="yes", enforcement="Guarded")),
     {"namespaces": Grade.FATAL}),
    (_with(worlds.pod("bare", "shop")), {"unguarded-pods": Grade.FATAL}),
    (_with(worlds.guarded("web-1", "shop", sidecar="old:1")), {"stale-sidecars": Grade.WARN}),
    (_with(worlds.guarded("web-1", "shop", "Cooperative")), {"levels": Grade.WARN}),
    (_without("NetworkPolicy", "mesh7-guarded"), {"network-policies": Grade.FATAL}),
    (_with(worlds.fence("shop", "open")), {"network-policies": Grade.WARN}),
    (_without("DaemonSet", "cilium"), {"enforcing-network": Grade.WARN}),
    (_without("ConfigMap", "mesh7-bundle"), {"bundles": Grade.FATAL}),
    (_with(worlds.policy("broken", "shop", "Invalid")), {"policies": Grade.WARN}),
]  # fmt: skip


@pytest.mark.parametrize(("trouble", "expected"), _TROUBLES)
def test_each_trouble_is_found_and_nothing_else(
    trouble: Callable[[list[Object]], list[Object]], expected: dict[str, Grade]
) -> None:
    """Issue 6: ordered checks, each ok, warn or fatal."""
    assert _troubles(trouble([*worlds.installed(), *_shop()])) == expected


def test_each_certificate_may_have_an_authority_of_its_own() -> None:
    """docs/administrator/certificates.md: `external`; the webhooks know nothing of the exchange."""
    theirs = worlds.certificate("mesh7-exchange", vouching="theirs")
    alone = worlds.certificate("mesh7-injector")
    del alone["data"]["ca.crt"]
    assert _troubles(_with(theirs, alone)([*worlds.installed(), *_shop()])) == {}


class _Noting(Near):
    """Remembers all that kubectl printed."""

    printed = ""

    def ran(
        self, *arguments: str, stdin: str | None = None, requests: int = 1
    ) -> tuple[int, str, str]:
        found = super().ran(*arguments, stdin=stdin, requests=requests)
        self.printed += found[1]
        return found


def test_private_keys_are_not_read() -> None:
    """A check needs certificates, and nobody's keys."""
    noting = _Noting([*worlds.installed(), *_shop()])
    gathering.after(noting, worlds.RELEASE, worlds.now)
    certificate = worlds.certificate("mesh7-exchange")["data"]
    assert certificate["tls.crt"] in noting.printed
    assert certificate["tls.key"] not in noting.printed


def _agents(count: int) -> list[Object]:
    found = []
    for number in range(count):
        pod = worlds.guarded(f"agent-{number}", "shop")
        pod["spec"]["serviceAccountName"] = f"agent-{number:03}"
        found.append(pod)
    return found


def test_every_account_of_an_agent_is_asked_about() -> None:
    """docs/administrator/troubleshooting.md#powerful-agents: `ok` is said of all of them."""
    near = Near([*worlds.installed(), *_shop(), *_agents(120)], allowed=["get secrets"])
    facts = gathering.after(near, worlds.RELEASE, worlds.now)
    (found,) = [
        one
        for one in findings.answers([rights.CATEGORY], facts)
        if one.check.name == "powerful-agents"
    ]
    assert found.finding.details[-1] == "… and 111 more"


def test_accounts_that_nobody_can_see_are_not_called_harmless() -> None:
    """Who may not list pods does not know whom to ask about."""
    found = _troubles([*worlds.installed(), *_shop()], forbidden=["pods"])
    assert found["powerful-agents"] is Grade.WARN


@pytest.mark.parametrize(
    ("allowed", "told"),
    [
        (["get secrets"], "shop:support: may read Secret mesh7-tool-credentials"),
        (
            ["create pods", "approve agentpolicies"],
            "shop:support: may create pods and approve what they ask for",
        ),
        (["debug pods"], "shop:support: may look into sidecars"),
    ],
)
def test_agents_whose_account_gets_around_the_sidecar_are_told(
    allowed: list[str], told: str
) -> None:
    """Issue 6: accounts of guarded pods that read secrets, or create pods and approve."""
    near = Near([*worlds.installed(), *_shop()], allowed=allowed)
    facts = gathering.after(near, worlds.RELEASE, worlds.now)
    (found,) = [
        one
        for one in findings.answers([rights.CATEGORY], facts)
        if one.check.name == "powerful-agents"
    ]
    assert (found.finding.grade, found.finding.details) == (Grade.WARN, (told,))


@pytest.mark.parametrize(
    ("client", "server", "expected"),
    [
        ("v1.34.4", "v1.33.0-gke.1", {}),
        ("v1.29.0", "v1.30.0", {"kubectl-version": Grade.FATAL}),
        ("v1.34.0", "v1.31.0", {"kubectl-version": Grade.WARN}),
        ("v1.30.0", "v1.29.3", {"api-server-version": Grade.FATAL}),
    ],
)
def test_versions_are_held_to_what_is_needed(
    client: str, server: str, expected: dict[str, Grade]
) -> None:
    """Design 9: API server 1.30 or newer, kubelets 1.29; kubectl at most a minor version away."""
    version = {"clientVersion": {"gitVersion": client}, "serverVersion": {"gitVersion": server}}
    assert _troubles([*worlds.installed(), *_shop()], version=version) == expected


def test_before_an_installation_rights_and_foreign_kinds_are_told() -> None:
    """Issue 6: `--pre`."""
    foreign = worlds.named("CustomResourceDefinition", "grants.mesh7.dev", spec={
        "names": {"kind": "Grant", "categories": ["theirs"]}})  # fmt: skip
    node = worlds.named("Node", "one", status={"nodeInfo": {"kubeletVersion": "v1.30.1"}})
    near = Near([foreign, node], allowed=["create namespaces"])
    facts = gathering.before(near, worlds.RELEASE, worlds.now)
    found = findings.answers(catalogue.BEFORE, facts)
    assert {one.check.name for one in found if one.finding.grade is Grade.FATAL} == {
        "rights-to-install",
        "kinds-free",
    }


def test_what_may_not_be_seen_is_a_warning() -> None:
    """Issue 6: a viewer sees what it may."""
    hidden = ["secrets", "nodes", "clusterroles", "lease"]
    warned = [
        "kubelet-versions", "leader", "certificates", "stock-roles", "our-roles",
        "approvers-who-make-pods",
    ]  # fmt: skip
    found = _troubles([*worlds.installed(), *_shop()], forbidden=hidden)
    assert found == dict.fromkeys(warned, Grade.WARN)


def test_the_policies_that_are_looked_for_are_those_of_the_chart() -> None:
    """One that the chart adds is looked for from then on."""
    chart = [one for one in yaml.load_all(worlds.CHART.read_text(), yaml.CSafeLoader) if one]
    for kind in (_POLICY, _BINDING):
        names = sorted(one["metadata"]["name"] for one in chart if one["kind"] == kind)
        assert names == sorted(admission.POLICIES)
    hooks = {
        one["kind"]: [hook["name"] for hook in one["webhooks"]]
        for one in chart
        if "webhooks" in one
    }
    assert hooks == {
        "MutatingWebhookConfiguration": list(admission.MUTATING),
        "ValidatingWebhookConfiguration": list(admission.VALIDATING),
    }


def test_every_check_has_its_section() -> None:
    """Issue 6: each with a hint and a docs anchor."""
    page = (ROOT / findings.PAGE).read_text()
    headings = re.findall(r"^### (\S+)$", page, re.MULTILINE)
    every = {
        check.name
        for category in (*catalogue.BEFORE, *catalogue.AFTER)
        for check in category.checks
    }
    assert every <= set(headings)


def test_people_read_lines_and_hints(kubectl: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    """docs/reference/kubectl-mesh7.md."""
    kubectl.tell([worlds.named("Node", "n", status={"nodeInfo": {"kubeletVersion": "v1.28.0"}})])
    assert plugin.exit_code(["check", "--pre"]) == 1
    assert capsys.readouterr().out == (
        "kubernetes\n"
        "  ok     the API server answers\n"
        "  ok     kubectl is new enough (1.34)\n"
        "  ok     the API server is new enough (1.34)\n"
        "  fatal  every kubelet runs native sidecars\n"
        "         kubelets need 1.29 or newer, else sidecars start as containers that never end – "
        "upgrade these nodes, or keep guarded pods away from them\n"
        "           n: 1.28\n"
        "         see docs/administrator/troubleshooting.md#kubelet-versions\n"
        "  ok     the API server has admission policies\n"
        "  ok     clocks agree (the API server does not say its time)\n"
        "\n"
        "before an installation\n"
        "  fatal  you may install mesh7\n"
        "         you may not create all that an installation has – let an administrator of the "
        "cluster install it\n"
        "           namespaces\n"
        "           customresourcedefinitions.apiextensions.k8s.io\n"
        "           clusterroles.rbac.authorization.k8s.io\n"
        "           clusterrolebindings.rbac.authorization.k8s.io\n"
        "           mutatingwebhookconfigurations.admissionregistration.k8s.io\n"
        "           validatingwebhookconfigurations.admissionregistration.k8s.io\n"
        "           validatingadmissionpolicies.admissionregistration.k8s.io\n"
        "           validatingadmissionpolicybindings.admissionregistration.k8s.io\n"
        "           configmaps\n"
        "           secrets\n"
        "           … and 9 more\n"
        "         see docs/administrator/troubleshooting.md#rights-to-install\n"
        "  ok     nobody else has kinds of our names (none is there yet)\n"
        "\n"
        "something is broken\n"
    )


def test_a_cluster_that_does_not_answer_is_the_one_finding(
    kubectl: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/reference/kubectl-mesh7.md."""
    kubectl.tell([], stderr="The connection to the server x was refused")
    assert plugin.exit_code(["check", "-o", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["result"] == "fatal"
    ((category,),) = (found["categories"],)
    ((check,),) = (category["checks"],)
    assert (category["name"], check["name"]) == ("kubernetes", "api-server")


def test_wait_asks_again_until_nothing_is_fatal(
    kubectl: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    """Issue 6: `--wait` polls."""
    reviews = json.loads(installing.reviews(worlds.RELEASE))["items"]
    asked = [one["spec"]["resourceAttributes"] for one in reviews]
    kubectl.tell(
        [], stderr="The connection to the server x was refused", refused_calls=1,
        allowed=[f"create {one['resource']}" for one in asked],
    )  # fmt: skip
    # As long as this test may take at all: no machine is so slow that it asks but once.
    assert plugin.exit_code(["check", "--pre", "--wait", "30s"]) == 0
    assert capsys.readouterr().out.startswith("kubernetes\n  ok     the API server answers\n")


def test_wait_ends_when_the_time_is_over(kubectl: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    """The same."""
    kubectl.tell([], stderr="The connection to the server x was refused")
    assert plugin.exit_code(["check", "--wait", "1s"]) == 1
    assert capsys.readouterr().out.endswith("something is broken\n")


def test_json_says_what_people_read() -> None:
    """docs/reference/kubectl-mesh7.md."""
    near = Near([*worlds.installed(), *_shop()])
    facts = gathering.after(near, worlds.RELEASE, worlds.now)
    answers = findings.answers(catalogue.AFTER, facts)
    found = report.as_object(answers)
    assert found["result"] == "ok"
    assert [line for _, line in report.lines(answers)][-1] == "nothing is wrong"
