"""A cluster where people answer held calls: the chart's admission, an injector, and a held call.

The held call is an ApprovalRequest as the controller would write it; nobody serves it here.
"""

import base64
import contextlib
import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from e2e.api import controllers, installed
from e2e.api.installed import Files, Injector
from e2e.cluster import api_server as api_servers
from e2e.cluster.api_server import ApiServer, Settings
from e2e.cluster.clusters import Cluster
from e2e.cluster.kubectl import Kubectl, KubectlError
from e2e.cluster.waiting import until
from mesh7_core import names

Object = dict[str, Any]
RELEASE = controllers.RELEASE
DIGEST = "sha256:" + "0" * 64
POD = "support-0"
KEPT = "example.com/kept"
PLURALS = ("agentpolicies", "toolsources", "grants", "approvalrequests", "auditqueries")
_RBAC = "rbac.authorization.k8s.io"
_WRITE = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]
_OURS = [*PLURALS, *(f"{one}/status" for one in PLURALS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Court:
    """The cluster.

    Attributes:
        shop: an enrolled namespace with the policies `refunds` and `orders`; both ask finance. The
            baseline has a policy `refunds`, too.
        bank: another enrolled namespace.
        folder: for kubeconfigs.
    """

    server: ApiServer
    injector: Injector
    files: Files
    shop: str
    bank: str
    folder: Path

    @property
    def cluster(self) -> Cluster:
        return self.server.cluster

    @property
    def controller(self) -> Kubectl:
        """Its account, which may write what it writes whatever the chart says meanwhile."""
        user = f"system:serviceaccount:{RELEASE}:mesh7-controller"
        return self.cluster.kubectl_of(user, ["system:authenticated", "writers"])

    def lead(self, url: str) -> None:
        """Have the API server ask there."""
        authority = self.files.authority.certificate
        kinds = installed.WEBHOOKS
        self.cluster.apply(installed.admission(kinds=kinds, url=url, authority=authority))

    def person(
        self, user: str, role: str, *, namespace: str = "", groups: Sequence[str] = ("hr",)
    ) -> Kubectl:
        """Somebody to whom a ClusterRole is bound in a namespace; shop if none is said."""
        where = namespace or self.shop
        bind(self.cluster, where, role, "User", user)
        return self.cluster.kubectl_of(user, groups)

    def account(self, namespace: str, name: str = "default") -> Kubectl:
        """A service account by its own token."""
        kubeconfig = installed.account(self.cluster, name, self.folder, namespace)
        return replace(self.cluster.kubectl, kubeconfig=kubeconfig)

    def held(self) -> Object:
        """An ApprovalRequest of its own for a test, as it is stored."""
        request = request_of(self.shop, f"r-{secrets.token_hex(4)}")
        return self.controller.json("create", "-f", "-", stdin=yaml.safe_dump(request))

    def answer(self, request: Object | None = None, **spec: object) -> Object:
        """A yes to a held call, not yet made; without `request` to one that nobody knows."""
        about = {"name": "nowhere", "uid": "u-1"} if request is None else request["metadata"]
        return answer(self.shop, about["name"], about["uid"], **spec)


def bind(cluster: Cluster, namespace: str, role: str, kind: str, name: str) -> None:
    """A ClusterRole to a User or Group in a namespace."""
    cluster.apply(
        yaml.safe_dump({
            "apiVersion": f"{_RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": f"{name}-{role}", "namespace": namespace},
            "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": _RBAC, "kind": kind, "name": name}],
        })
    )  # fmt: skip


def request_of(namespace: str, name: str) -> Object:
    """A held call."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.APPROVAL_REQUEST,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "tool": "billing.create_refund",
            "agent": {"serviceAccount": "support"},
            "pod": {"name": POD, "uid": "p-1"},
            "arguments": '{"amount":250}',
            "argumentsSize": 14,
            "digest": DIGEST,
            "rules": [{"rule": f"{namespace}/refunds/ask", "groups": ["finance"], "count": 1}],
            "openedAt": "2026-11-21T09:00:00Z",
            "expiresAt": "2026-11-21T09:10:00Z",
        },
    }


def answer(namespace: str, request: str, uid: str, **spec: object) -> Object:
    """A yes for the rules of `<namespace>/refunds`; what is None is left out."""
    written = {
        "effect": "Allow",
        "subject": {"pod": POD},
        "requestRef": {"name": request, "uid": uid},
        "digest": DIGEST,
        "policyRef": {"namespace": namespace, "name": "refunds"},
        "reason": "charged twice",
        **spec,
    }
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.GRANT,
        "metadata": {"name": f"{request}-{secrets.token_hex(4)}", "namespace": namespace},
        "spec": {key: value for key, value in written.items() if value is not None},
    }


def veto(namespace: str, name: str) -> Object:
    """A stop of every agent."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.GRANT,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"effect": "Deny", "subject": {}, "reason": "stop"},
    }


def made(kubectl: Kubectl, manifest: Object) -> Object:
    """The object as it is stored."""
    return kubectl.json("create", "-f", "-", stdin=yaml.safe_dump(manifest))


def refusal(kubectl: Kubectl, manifest: Object, *flags: str) -> str:
    """What the API server says against it; empty = it would store it."""
    text = yaml.safe_dump(manifest)
    return said(kubectl, "create", "--dry-run=server", "-f", "-", *flags, stdin=text)


def said(kubectl: Kubectl, *arguments: str, stdin: str | None = None) -> str:
    """What is said against a command; empty = it was done."""
    try:
        kubectl(*arguments, stdin=stdin)
    except KubectlError as error:
        return error.stderr
    return ""


def keep(court: Court, namespace: str, name: str) -> None:
    """Put a finalizer on a Grant, as one may have that is older than what admission says of it."""
    policy = "validatingadmissionpolicy,validatingadmissionpolicybinding"
    court.cluster.kubectl("delete", policy, "mesh7-finalizers")
    try:
        until(lambda: finalized(court.cluster.kubectl, namespace, name) == "", "it is kept",
              timeout_s=60)  # fmt: skip
    finally:
        court.cluster.apply(installed.admission(kinds=installed.POLICIES))


def finalized(kubectl: Kubectl, namespace: str, name: str, *finalizers: str) -> str:
    """What is said against finalizers, these or one, on a Grant; empty = it has them."""
    patch = json.dumps({"metadata": {"finalizers": [*finalizers] or [KEPT]}})
    return said(kubectl, "patch", "grant", name, "-n", namespace, "--type=merge", "-p", patch)


def trusted(court: Court) -> list[bytes]:
    """Public keys of stamps, as the controller reads them."""
    found = court.cluster.kubectl.json("get", "configmap", "mesh7-stamp-public", "-n", RELEASE)
    return [base64.b64decode(one) for one in found["data"].values()]


@contextlib.contextmanager
def sitting(folder: Path) -> Iterator[Court]:
    """All of it, while the block runs."""
    with api_servers.raised(f"approvals-{secrets.token_hex(3)}", Settings()) as server:
        cluster = server.cluster
        installed.install(cluster)
        cluster.apply(installed.admission(kinds=installed.POLICIES))
        cluster.apply(yaml.safe_dump_all(_ROLES))
        shop, bank = (controllers.enrol(cluster, name) for name in ("shop", "bank"))
        kubeconfig = installed.account(cluster, "mesh7-injector", folder)
        files = Files(folder)
        with installed.injecting(kubeconfig, files, "first") as injector:
            court = Court(
                server=server, injector=injector, files=files, shop=shop, bank=bank, folder=folder
            )
            court.lead(injector.url)
            for namespace, name in ((shop, "refunds"), (shop, "orders"), (RELEASE, "refunds")):
                until(lambda n=namespace, m=name: _is_there(cluster, n, m), name, timeout_s=60)  # type: ignore[misc]
            await_in_force(court)
            yield court


def await_in_force(court: Court) -> None:
    """The API server takes policies and configurations up a moment after they are stored."""
    shop, admin = court.shop, court.cluster.kubectl
    forged = request_of(shop, "forged")
    until(lambda: "controller alone" in refusal(admin, forged), "policies", timeout_s=60)
    nobody = court.person("nora", "mesh7-policy-editor")
    until(lambda: "`nora` has no verb" in refusal(nobody, court.answer()), "asked", timeout_s=60)
    until(lambda: not refusal(admin, court.answer()), "answers are stamped", timeout_s=60)


def _is_there(cluster: Cluster, namespace: str, name: str) -> bool:
    approval = {"groups": ["finance"]}
    rule = {
        "name": "ask",
        "tools": ["billing.*"],
        "action": "RequireApproval",
        "approval": approval,
    }
    policy = {
        "apiVersion": names.API_VERSION,
        "kind": names.AGENT_POLICY,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {}, "rules": [rule]},
    }
    return not said(cluster.kubectl, "apply", "-f", "-", stdin=yaml.safe_dump(policy))


def _role(name: str, resources: Sequence[str], verbs: Sequence[str]) -> Object:
    rule = {"apiGroups": [names.GROUP], "resources": [*resources], "verbs": [*verbs]}
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": [rule],
    }


_ROLES: Sequence[Object] = (
    # As tenants' roles often are: everything of a group's kinds; and even all its verbs.
    _role("writer", _OURS, _WRITE),
    _role("wildcard", ["*"], ["*"]),
    {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "writers"},
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": "writer"},
        "subjects": [{"apiGroup": _RBAC, "kind": "Group", "name": "writers"}],
    },
)
