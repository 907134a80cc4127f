"""The controller with the rights that the chart gives it: it works, and can no more."""

import json
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e import charts
from e2e.api import approvals, controllers, installed
from e2e.api.controllers import Controller, Delivered
from e2e.cluster import api_server as api_servers
from e2e.cluster.api_server import ApiServer
from e2e.cluster.clusters import Cluster
from e2e.cluster.fixtures import need
from e2e.cluster.kubectl import Kubectl, KubectlError
from e2e.cluster.waiting import until
from mesh7_core import names

RELEASE = controllers.RELEASE
CONTROLLER = f"system:serviceaccount:{RELEASE}:mesh7-controller"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A cluster with our manifests, and the controller in it."""

    server: ApiServer
    controller: Controller

    @property
    def cluster(self) -> Cluster:
        return self.server.cluster


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    need("api")
    folder = tmp_path_factory.mktemp("rights")
    with api_servers.raised("rights") as server:
        cluster = server.cluster
        installed.install(cluster)
        cluster.apply(installed.admission(kinds=installed.POLICIES))
        cluster.apply(_webhooks())
        # Pods are counted once a minute, and at the start.
        controllers.enrol(cluster, "first")
        kubeconfig = installed.account(cluster, "mesh7-controller", folder)
        controller = Controller(kubeconfig, folder / "log")
        try:
            controller.await_line("everything is listed")
            yield Installed(server=server, controller=controller)
        finally:
            controller.process.kill()
            controller.process.wait()


def _webhooks() -> str:
    """The chart's, that ask nobody anything: there is no injector."""
    found = [one for one in charts.documents() if one["kind"] in installed.WEBHOOKS]
    for one in found:
        one["webhooks"] = [
            {
                **{key: hook[key] for key in ("name", "clientConfig", "admissionReviewVersions")},
                "sideEffects": "None",
            }
            for hook in one["webhooks"]
        ]
    return yaml.safe_dump_all(found)


def as_account(cluster: Cluster, name: str) -> Kubectl:
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{RELEASE}", "system:authenticated"]
    return cluster.kubectl_of(f"system:serviceaccount:{RELEASE}:{name}", groups)


def _work(there: Installed) -> str:
    """Have the controller do everything that it does, once."""
    cluster, controller = there.cluster, there.controller
    shop = controllers.enrol(cluster, cluster.new_namespace("shop"))
    cluster.kubectl("label", "namespace", shop, f"{names.ENFORCEMENT}=Guarded")
    cluster.apply(controllers.policy(shop, "support"))
    cluster.apply(controllers.policy(RELEASE, "fence", tools="git.*", action="Deny"))
    cluster.apply(f"""
apiVersion: {names.API_VERSION}
kind: ToolSource
metadata: {{name: billing, namespace: {shop}}}
spec: {{mcp: {{url: "https://billing.example.com/mcp"}}}}
---
apiVersion: {names.API_VERSION}
kind: Grant
metadata: {{name: stop, namespace: {shop}}}
spec: {{effect: Deny, subject: {{serviceAccount: support}}, reason: stop}}
""")
    delivered = Delivered(cluster, shop)
    both = {f"{shop}/support", f"{RELEASE}/fence"}
    controller.until(
        lambda: delivered.policies() == both and delivered.grants() == {"stop"}, "it is delivered"
    )
    for kind, name in (("agentpolicy", "support"), ("toolsource", "billing"), ("grant", "stop")):
        controller.until(lambda k=kind, n=name: _conditions(cluster, shop, k, n), f"{kind} status")  # type: ignore[misc]
    _ask(cluster, shop)
    _inquire(cluster, shop)
    empty = '{"data": {"ca.crt": ""}}'
    cluster.kubectl("patch", "secret", "mesh7-exchange-certificate", "-n", RELEASE, "-p", empty)
    floors = "{.metadata.annotations}"
    controller.until(
        lambda: (
            names.BUNDLE_FLOOR_ANNOTATION
            in cluster.kubectl("get", "namespace", shop, "-o", f"jsonpath={floors}")
        ),
        "the floors are noted",
    )
    return shop


def _ask(cluster: Cluster, shop: str) -> None:
    """Held calls of another time: one is closed long ago, and one waits for a pod that is gone."""
    writer = cluster.kubectl_of(CONTROLLER, ["system:masters"])
    closed = {
        "type": "Ready", "status": "False", "reason": "Withdrawn", "message": "it is over",
        "lastTransitionTime": "2026-01-01T09:00:00Z",
    }  # fmt: skip
    status = {"status": {"state": "Withdrawn", "conditions": [closed]}}
    for number in (1, 2):
        asked = approvals.request_of(shop, f"r-{number:026d}")
        approvals.made(writer, asked)
    which = ("approvalrequest", f"r-{1:026d}", "-n", shop, "--subresource=status")
    writer("patch", *which, "--type=merge", "-p", json.dumps(status))


def _inquire(cluster: Cluster, shop: str) -> None:
    """A question about the audit, which there is none of without Redis."""
    asker = cluster.kubectl_of("olga", ["system:masters"])
    asker(
        "create",
        "-n",
        shop,
        "-f",
        "-",
        stdin=f"""
apiVersion: {names.API_VERSION}
kind: AuditQuery
metadata: {{generateName: audit-}}
spec: {{requestedBy: olga}}
""",
    )


def _conditions(cluster: Cluster, namespace: str, kind: str, name: str) -> bool:
    found = cluster.kubectl.json("get", kind, name, "-n", namespace)
    return bool(found.get("status", {}).get("conditions"))


@pytest.mark.promise("K10")
def test_the_controller_works_with_its_rights_and_is_refused_nothing(there: Installed) -> None:
    """Issue 5: RBAC exactly as the chart will give it."""
    cluster, controller = there.cluster, there.controller
    shop = _work(there)
    events = cluster.kubectl("get", "events", "-n", shop)
    assert names.FIELD_MANAGER in cluster.kubectl("get", "events", "-n", shop, "-o", "yaml"), events
    # Nobody else may.
    own = as_account(cluster, "mesh7-controller")
    own("delete", "configmap", names.BUNDLE_CONFIG_MAP, "-n", shop, "--wait=false")
    delivered = Delivered(cluster, shop)
    controller.until(lambda: delivered.version() > 0, "it is written again")
    cluster.kubectl("label", "namespace", shop, f"{names.INJECTION_LABEL}-")
    controller.until(lambda: delivered.object() is None, "it is removed")
    gone = ("get", "networkpolicies", "-n", shop, "-o", "name")
    controller.until(lambda: not cluster.kubectl(*gone), "so is the NetworkPolicy")
    assert refused(there.server) == []
    assert controller.process.poll() is None


def _is_its(event: dict[str, Any]) -> bool:
    """Whether the process asked; tests ask as its account, too."""
    return bool(
        event["user"]["username"] == CONTROLLER and event.get("userAgent") == "mesh7-operator"
    )


def refused(server: ApiServer) -> list[Any]:
    """What our account asked for in vain because it may not."""
    return [
        (one["verb"], one["requestURI"], one["responseStatus"]["code"])
        for one in server.audit()
        if _is_its(one) and one.get("responseStatus", {}).get("code") in {401, 403}
    ]


@pytest.mark.promise("K10")
def test_no_right_of_the_controllers_is_idle(there: Installed) -> None:
    """What is granted and never used is granted to an attacker."""
    _work(there)
    granted = {
        (verb, resource)
        for role in _roles(there.cluster)
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    # What is created by server-side apply the log calls a patch.
    elsewhere = {
        (verb, resource)
        for verb in ("create", "delete")
        for resource in ("configmaps", "networkpolicies")
    }
    # There is no Redis here, so nobody asks (`test_approvals`).
    elsewhere.add(("create", "approvalrequests"))
    # Anchors of audits, which need Redis, too (`test_audit_queries`).
    elsewhere.add(("update", "configmaps"))
    # After five minutes (`test_audit_queries`: sooner, where there are many).
    elsewhere.add(("delete", "auditqueries"))
    # Nobody answers there, so the module's other tests could store no policy.
    there.cluster.apply(installed.rendered(kinds=installed.WEBHOOKS))
    secret = ("secret", "mesh7-injector-certificate", "-n", RELEASE)
    there.cluster.kubectl("patch", *secret, "-p", '{"data": {"tls.crt": ""}}')
    # Some are used now and then only: a Lease is renewed each few seconds.
    try:
        there.controller.until(
            lambda: granted - _used(there.server) <= elsewhere, f"all of {granted} are used"
        )
    finally:
        there.cluster.kubectl("delete", ",".join(installed.WEBHOOKS), names.WEBHOOKS)
    assert _used(there.server) - granted == set()


def _used(server: ApiServer) -> set[tuple[str, str]]:
    """Verbs and resources that the process asked for."""
    used = set()
    for one in server.audit():
        ref = one.get("objectRef", {})
        if _is_its(one) and "resource" in ref:
            resource = "/".join(filter(None, (ref["resource"], ref.get("subresource", ""))))
            used.add((one["verb"], resource))
    return used


def _roles(cluster: Cluster) -> list[dict[str, Any]]:
    return [
        cluster.kubectl.json("get", "clusterrole", "mesh7-controller"),
        cluster.kubectl.json("get", "role", "mesh7-controller", "-n", RELEASE),
    ]


_FORBIDDEN = [
    ("mesh7-controller", "list secrets --all-namespaces"),
    ("mesh7-controller", "get secrets -n default"),
    ("mesh7-controller", f"list secrets -n {RELEASE}"),
    ("mesh7-controller", f"get secret/mesh7-stamp-key -n {RELEASE}"),
    ("mesh7-controller", f"update secret/mesh7-signing-keys -n {RELEASE}"),
    ("mesh7-controller", f"delete secret/mesh7-signing-keys -n {RELEASE}"),
    ("mesh7-controller", "create secrets -n default"),
    ("mesh7-controller", "create pods -n default"),
    ("mesh7-controller", "patch pods -n default"),
    ("mesh7-controller", "delete pods -n default"),
    ("mesh7-controller", "create pods/exec -n default"),
    ("mesh7-controller", "get configmap/other -n default"),
    ("mesh7-controller", "patch configmap/other -n default"),
    ("mesh7-controller", "get networkpolicy/other -n default"),
    ("mesh7-controller", "create networkpolicies -n default"),
    ("mesh7-controller", "delete networkpolicy/other -n default"),
    ("mesh7-controller", "list configmaps --all-namespaces"),
    ("mesh7-controller", f"patch configmap/mesh7-stamp-public -n {RELEASE}"),
    ("mesh7-controller", "create agentpolicies -n default"),
    ("mesh7-controller", "patch agentpolicies -n default"),
    ("mesh7-controller", "create grants -n default"),
    ("mesh7-controller", "delete grants -n default"),
    ("mesh7-controller", "approve agentpolicies -n default"),
    ("mesh7-controller", "delete namespaces"),
    ("mesh7-controller", "create tokenreviews"),
    ("mesh7-controller", "create serviceaccounts/token -n default"),
    ("mesh7-controller", "impersonate users"),
    ("mesh7-controller", "create clusterrolebindings"),
    ("mesh7-controller", "delete validatingwebhookconfigurations"),
    ("mesh7-controller", "patch validatingadmissionpolicies"),
    ("mesh7-controller", "patch customresourcedefinitions"),
    ("mesh7-injector", "get secrets --all-namespaces"),
    ("mesh7-injector", f"get secret/mesh7-signing-keys -n {RELEASE}"),
    ("mesh7-injector", f"get secret/mesh7-stamp-key -n {RELEASE}"),
    ("mesh7-injector", "list agentpolicies --all-namespaces"),
    ("mesh7-injector", "create grants -n default"),
    ("mesh7-injector", "approve agentpolicies -n default"),
    ("mesh7-injector", "create localsubjectaccessreviews.authorization.k8s.io -n default"),
    ("mesh7-injector", "impersonate users"),
    ("mesh7-injector", "patch configmap/mesh7-bundle -n default"),
    ("mesh7-injector", "patch mutatingwebhookconfigurations"),
    ("mesh7-injector", "get pods -n default"),
    ("mesh7-exchange", "get secrets --all-namespaces"),
    ("mesh7-exchange", f"get secret/mesh7-redis-master -n {RELEASE}"),
    ("mesh7-exchange", "list pods --all-namespaces"),
    ("mesh7-exchange", "create serviceaccounts/token -n default"),
    ("mesh7-exchange", "list namespaces"),
]


@pytest.mark.promise("K10")
def test_what_no_program_may_is_a_no(there: Installed) -> None:
    """Asked of the API server itself, so that nothing is missed that another role gives."""
    allowed = [
        (name, question)
        for name, question in _FORBIDDEN
        if _can(as_account(there.cluster, name), *question.split())
    ]
    assert allowed == []


def _patch(cluster: Cluster, namespace: str, metadata: dict[str, Any]) -> str:
    """As the controller's account, which may read no namespace as kubectl would; empty = done."""
    request = urllib.request.Request(  # noqa: S310 - https
        f"{cluster.url}/api/v1/namespaces/{namespace}",
        json.dumps({"metadata": metadata}).encode(),
        {
            "Authorization": f"Bearer {cluster.token(RELEASE, 'mesh7-controller')}",
            "Content-Type": "application/merge-patch+json",
        },
        method="PATCH",
    )
    context = ssl.create_default_context(cafile=str(cluster.ca))
    try:
        with urllib.request.urlopen(request, timeout=10, context=context):  # noqa: S310
            return ""
    except urllib.error.HTTPError as error:
        return str(json.loads(error.read())["message"])


def test_of_a_namespace_the_controller_changes_its_own_annotations_alone(there: Installed) -> None:
    """RBAC gives the whole object; the admission policy does not."""
    shop = there.cluster.new_namespace("plain")
    there.cluster.kubectl("annotate", "namespace", shop, "owner=jane")
    ours = names.BUNDLE_FLOOR_ANNOTATION
    assert _patch(there.cluster, shop, {"annotations": {ours: "7"}}) == ""
    for metadata in (
        {"annotations": {"owner": "mallory"}},
        {"annotations": {"owner": None}},
        {"annotations": {"other": "x"}},
        {"annotations": {"x.mesh7.dev/bundle-floor": "1"}},
        {"labels": {names.INJECTION_LABEL: "enabled"}},
        {"finalizers": ["mallory.example/stuck"]},
    ):
        refused = _patch(there.cluster, shop, metadata)
        # Of several policies that refuse, one is told.
        is_told = "the controller changes n" in refused or "needs the verb `enrol`" in refused
        assert is_told, (metadata, refused)
    assert _patch(there.cluster, shop, {"annotations": {ours: "8"}}) == ""


def test_nobody_else_writes_the_bundle(there: Installed) -> None:
    """Not even an administrator; every other ConfigMap is left alone."""
    shop = there.cluster.new_namespace("plain")
    there.cluster.kubectl("create", "configmap", "mine", "-n", shop)
    with pytest.raises(KubectlError, match="written and deleted by mesh7's controller alone"):
        there.cluster.kubectl("create", "configmap", names.BUNDLE_CONFIG_MAP, "-n", shop)


def test_people_have_what_their_role_says(there: Installed) -> None:
    """ClusterRoles of ours say all of it; stock roles have none."""
    cluster = there.cluster
    shop = cluster.new_namespace("roles")
    people = {
        "vera": "mesh7-viewer", "ed": "mesh7-policy-editor", "jane": "mesh7-approver",
        "ada": "mesh7-admin",
    }  # fmt: skip
    auditor = {"olga": "mesh7-auditor"}
    stock = {f"stock-{role}": role for role in ("view", "edit", "admin")}
    for person, role in (people | stock | auditor).items():
        cluster.kubectl(
            "create", "rolebinding", person, f"--clusterrole={role}", f"--user={person}", "-n", shop
        )
    questions = {
        "list agentpolicies": set(people),
        "list approvalrequests": set(people),
        "create agentpolicies": {"ed", "ada"},
        "create grants": {"ed", "jane", "ada"},
        "delete grants": {"ada"},
        "approve agentpolicies": {"jane", "ada"},
        "create approvalrequests": set(),
        "patch approvalrequests --subresource=status": set(),
        "patch grants --subresource=status": set(),
        "impersonate users": set(),
        "accept toolsources": {"ada"},
        "list auditqueries": {"olga"},
        "create auditqueries": {"olga"},
        "patch auditqueries --subresource=status": set(),
    }
    found = {
        question: {
            person
            for person in people | stock | auditor
            if _can(cluster.kubectl_of(person), *question.split(), "-n", shop)
        }
        for question in questions
    }
    assert found == questions


def test_whoever_is_logged_in_reads_settings_and_public_keys_and_nothing_else(
    there: Installed,
) -> None:
    """docs/administrator/install.md; without any binding of their own."""
    anybody = there.cluster.kubectl_of("anybody")
    readable = {"configmaps/mesh7-injection", "configmaps/mesh7-trust"}
    others = {"configmaps/mesh7-settings", "configmaps", "secrets/mesh7-stamp-key", "pods"}
    found = {one for one in readable | others if _can(anybody, "get", one, "-n", RELEASE)}
    assert found == readable
    assert not _can(anybody, "patch", "configmaps/mesh7-injection", "-n", RELEASE)


def _can(kubectl: Kubectl, *question: str) -> bool:
    try:
        return kubectl("auth", "can-i", *question).strip() == "yes"
    except KubectlError as error:
        if error.code == 1 and not error.stderr.startswith("error"):
            return False
        raise


def test_the_rotating_job_may_do_just_that(there: Installed, tmp_path: Path) -> None:
    """A rotation as docs/administrator/keys.md has it."""
    cluster = there.cluster
    cluster.apply(installed.rendered("tasks", kinds=installed.RIGHTS))
    before = controllers.operator(cluster, "keys", "show")
    kubeconfig = installed.account(cluster, "mesh7-keys", tmp_path)
    rotate = [*installed.PROGRAM, "keys", "rotate", f"--kubeconfig={kubeconfig}"]
    subprocess.run(rotate, check=True, capture_output=True)
    until(
        lambda: controllers.operator(cluster, "keys", "show") != before, "another key",
        timeout_s=controllers.PATIENCE_S,
    )  # fmt: skip
