"""NetworkPolicy mesh7-guarded on a real API server: made, repaired, and nobody's to undo."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from e2e.api import controllers, installed
from e2e.api.controllers import Controller, Delivered
from e2e.cluster import api_server as api_servers
from e2e.cluster.api_server import Settings
from e2e.cluster.clusters import Cluster
from e2e.cluster.fixtures import need
from e2e.cluster.kubectl import Kubectl, KubectlError
from mesh7_core import names

RELEASE = controllers.RELEASE
POLICY = ("networkpolicy", names.NETWORK_POLICY)


@dataclass(frozen=True, slots=True, kw_only=True)
class There:
    """A cluster with our manifests, and the controller in it, with its own rights."""

    cluster: Cluster
    controller: Controller

    def guarded(self, level: str = "Guarded") -> str:
        """A new enrolled namespace at this level."""
        labels = {names.INJECTION_LABEL: "enabled", names.ENFORCEMENT: level}
        return self.cluster.new_namespace("shop", labels)

    def found(self, namespace: str) -> dict[str, Any] | None:
        """The NetworkPolicy, if it is there."""
        try:
            return self.cluster.kubectl.json("get", *POLICY, "-n", namespace)
        except KubectlError as error:
            if "NotFound" in error.stderr:
                return None
            raise

    def until_there(self, namespace: str) -> dict[str, Any]:
        """The NetworkPolicy, waited for."""
        self.controller.until(lambda: self.found(namespace) is not None, "it is there")
        found = self.found(namespace)
        assert found is not None
        return found

    def editor(self, namespace: str) -> Kubectl:
        """Somebody with the stock role `edit` there."""
        self.cluster.kubectl(
            "create", "rolebinding", "ed", "--clusterrole=edit", "--user=ed", "-n", namespace
        )
        return self.cluster.kubectl_of("ed")


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    need("api")
    folder = tmp_path_factory.mktemp("network")
    with api_servers.raised("network", Settings()) as server:
        cluster = server.cluster
        installed.install(cluster)
        cluster.apply(installed.admission(kinds=installed.POLICIES))
        kubeconfig = installed.account(cluster, "mesh7-controller", folder)
        controller = Controller(kubeconfig, folder / "log")
        try:
            controller.await_line("everything is listed")
            yield There(cluster=cluster, controller=controller)
        finally:
            controller.process.kill()
            controller.process.wait()


def _source(namespace: str, name: str, url: str, auth: str = "") -> str:
    return f"""
apiVersion: {names.API_VERSION}
kind: ToolSource
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{mcp: {{url: "{url}"}}{auth}}}
"""


def _as_controller(there: There) -> Kubectl:
    """By its name past the fence, and with the rights of an administrator."""
    name = f"system:serviceaccount:{RELEASE}:mesh7-controller"
    return there.cluster.kubectl_of(name, ["system:masters"])


def _annotation(found: dict[str, Any] | None, key: str) -> str:
    return str((found or {})["metadata"]["annotations"][f"{names.GROUP}/{key}"])


@pytest.mark.promise("K13")
def test_a_guarded_namespace_gets_it_and_it_follows_the_sources(there: There) -> None:
    """Design 9: NetworkPolicy rendered for the namespace, `egress: open` said."""
    shop = there.guarded()
    first = there.until_there(shop)
    assert first["spec"]["podSelector"] == {"matchLabels": {names.INJECTED_LABEL: "true"}}
    assert _annotation(first, "egress") == "closed"
    there.cluster.apply(_source(shop, "api", "https://api.example.com/mcp"))
    there.controller.until(
        lambda: _annotation(there.found(shop), "egress") == "open", "it is open, and says so"
    )
    found = there.found(shop)
    assert _annotation(found, "egress-open-to") == "outside hosts: api.example.com:443"
    # Nothing more is to be done with it: the API server spells it as we do.
    version = (found or {})["metadata"]["resourceVersion"]
    there.cluster.apply(controllers.policy(shop, "support"))
    delivered = Delivered(there.cluster, shop)
    there.controller.until(lambda: bool(delivered.policies()), "another change is delivered")
    assert (there.found(shop) or {})["metadata"]["resourceVersion"] == version


def test_it_is_repaired_and_made_again(there: There) -> None:
    """Design 8: level-triggered; drift is repaired."""
    shop = there.guarded("Enforced")
    before = there.until_there(shop)
    own = _as_controller(there)
    edited = '{"spec": {"egress": [{}], "ingress": [{}], "policyTypes": ["Ingress", "Egress"]}}'
    own("patch", *POLICY, "-n", shop, "--type=merge", f"--patch={edited}")
    there.controller.until(
        lambda: (there.found(shop) or {}).get("spec") == before["spec"], "it is repaired"
    )
    own("delete", *POLICY, "-n", shop)
    there.controller.until(
        lambda: (there.found(shop) or {}).get("spec") == before["spec"], "it is made again"
    )


@pytest.mark.parametrize(
    "change", [f"{names.ENFORCEMENT}=Cooperative", f"{names.INJECTION_LABEL}-"]
)
def test_it_goes_with_the_level_or_the_enrolment(there: There, change: str) -> None:
    shop = there.guarded()
    there.until_there(shop)
    there.cluster.kubectl("label", "namespace", shop, "--overwrite", change)
    there.controller.until(lambda: there.found(shop) is None, "it is gone")


@pytest.mark.promise("K13")
def test_a_credential_over_plain_http_is_refused(there: There) -> None:
    """Design 9, Guarded; the sidecars never hear of the source."""
    shop = there.guarded()
    there.cluster.apply(
        _source(shop, "billing", "http://billing.shop.svc/mcp", ", auth: {key: token}")
    )
    path = '{.status.conditions[?(@.type=="Accepted")].reason}'
    there.controller.until(
        lambda: (
            there.cluster.kubectl("get", "toolsource/billing", "-n", shop, f"-ojsonpath={path}")
            == "PlainCredential"
        ),
        "it is refused",
    )


def _other(namespace: str, spec: str) -> str:
    return f"""
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: other, namespace: {namespace}}}
spec: {spec}
"""


@pytest.mark.promise("K15")
def test_an_editor_neither_changes_nor_deletes_it(there: There) -> None:
    """The stock role `edit` may write NetworkPolicies."""
    shop = there.guarded()
    there.until_there(shop)
    editor = there.editor(shop)
    for attack in (
        ("delete", *POLICY),
        ("delete", "networkpolicies", "--all"),
        ("patch", *POLICY, "--type=merge", '--patch={"spec": {"egress": [{}]}}'),
        ("label", *POLICY, "a=b"),
    ):
        with pytest.raises(KubectlError, match="written and deleted by mesh7's controller alone"):
            editor(*attack, "-n", shop)


def _open_to(selector: str) -> str:
    return f"{{podSelector: {selector}, policyTypes: [Egress], egress: [{{}}]}}"


def _expression(words: str) -> str:
    return f"{{matchExpressions: [{{key: {words}}}]}}"


_OURS = names.INJECTED_LABEL
_OPENING = [
    _open_to("{}"),
    "{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 203.0.113.0/24}}]}]}",
    _open_to(f'{{matchLabels: {{{_OURS}: "true"}}}}'),
    _open_to(_expression(f'{_OURS}, operator: In, values: ["true", "no"]')),
    _open_to(_expression(f"{_OURS}, operator: Exists")),
    _open_to(_expression("app, operator: DoesNotExist")),
]
_HARMLESS = [
    "{podSelector: {}, policyTypes: [Egress]}",
    "{podSelector: {}, policyTypes: [Ingress], ingress: [{}]}",
    _open_to(_expression(f"{_OURS}, operator: DoesNotExist")),
    _open_to(_expression(f'{_OURS}, operator: NotIn, values: ["true"]')),
    _open_to(_expression(f'{_OURS}, operator: In, values: ["no"]')),
    _open_to(f'{{matchLabels: {{{_OURS}: "no"}}}}'),
]


@pytest.mark.promise("K15")
@pytest.mark.parametrize("spec", _OPENING)
def test_an_editor_lets_no_guarded_pod_out_by_another_one(there: There, spec: str) -> None:
    """NetworkPolicies add up: one more is enough to undo ours."""
    shop = there.guarded()
    with pytest.raises(KubectlError, match="it would let guarded pods out"):
        there.editor(shop).apply(_other(shop, spec))


@pytest.mark.parametrize("spec", _HARMLESS)
def test_an_editor_writes_what_does_not_open_anything(there: There, spec: str) -> None:
    shop = there.guarded()
    there.editor(shop).apply(_other(shop, spec))


def test_one_that_was_there_before_is_not_widened_but_may_be_labelled(there: There) -> None:
    """A namespace that becomes Guarded does not freeze what is in it."""
    shop = there.guarded("Cooperative")
    editor = there.editor(shop)
    spec = "{podSelector: {}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}]}"
    editor.apply(_other(shop, spec))
    there.cluster.kubectl("label", "namespace", shop, "--overwrite", f"{names.ENFORCEMENT}=Guarded")
    there.until_there(shop)
    editor("label", "networkpolicy/other", "-n", shop, "a=b")
    with pytest.raises(KubectlError, match="it would let guarded pods out"):
        editor.apply(_other(shop, _open_to("{}")))
    editor("delete", "networkpolicy/other", "-n", shop)


def test_whoever_may_enrol_may_open(there: There) -> None:
    """The verb `enrol` on the namespace (ClusterRole mesh7-admin)."""
    shop = there.guarded()
    editor = there.editor(shop)
    there.cluster.apply(f"""
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: enrols-{shop}}}
rules:
- {{apiGroups: [mesh7.dev], resources: [namespaces], resourceNames: [{shop}], verbs: [enrol]}}
""")
    there.cluster.kubectl(
        "create",
        "clusterrolebinding",
        f"enrols-{shop}",
        f"--clusterrole=enrols-{shop}",
        "--user=ed",
    )
    there.controller.until(
        lambda: _applied(editor, _other(shop, _open_to("{}"))),
        "the right counts",
    )


def _applied(kubectl: Kubectl, manifest: str) -> bool:
    try:
        kubectl.apply(manifest)
    except KubectlError:
        return False
    return True


def test_it_goes_with_its_namespace(there: There) -> None:
    """K11: no stuck object."""
    shop = there.guarded()
    there.until_there(shop)
    there.cluster.kubectl("delete", "namespace", shop, "--timeout=60s")
