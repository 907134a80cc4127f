"""Which namespaces are guarded, and from which version on, is not a tenant's to say."""

import json
from pathlib import Path

import pytest
import yaml

from e2e.api import asking, backstops, controllers, installed
from e2e.api.backstops import Ground, refusal, said
from e2e.cluster.kubectl import Kubectl
from mesh7_core import names

pytestmark = pytest.mark.promise("K15")
_NEEDS = "needs the verb `enrol`"
_LABELLER = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "labeller"},
    "rules": [
        {
            "apiGroups": [""],
            "resources": ["namespaces", "namespaces/status", "namespaces/finalize"],
            "verbs": ["get", "list", "create", "update", "patch", "delete"],
        }
    ],
}
ENROLLED, LEVEL = names.INJECTION_LABEL, names.ENFORCEMENT
WRITTEN = (
    names.BUNDLE_FLOOR_ANNOTATION,
    names.OVERLAY_FLOOR_ANNOTATION,
    names.TRUST_KEYS_ANNOTATION,
    names.AUTHORITIES_ANNOTATION,
)
"""The controller's annotations of a Namespace."""


@pytest.fixture
def labeller(ground: Ground) -> Kubectl:
    """Somebody who may write any Namespace, as many platforms let their own people."""
    ground.cluster.apply(yaml.safe_dump(_LABELLER))
    if said(ground.cluster.kubectl, "get", "clusterrolebinding", "labeller"):
        bound = ["--clusterrole=labeller", "--user=lena"]
        ground.cluster.kubectl("create", "clusterrolebinding", "labeller", *bound)
    return ground.cluster.kubectl_of("lena")


@pytest.mark.parametrize("role", ["edit", "admin"])
def test_a_tenant_changes_no_namespace(ground: Ground, role: str) -> None:
    """The stock roles' own bound, which the others add to."""
    shop = ground.shop()
    refused = said(ground.attacker(role, shop), "label", "namespace", shop, f"{ENROLLED}-")
    assert "cannot patch resource" in refused


CHANGES = {
    "removed": f"{ENROLLED}-",
    "weakened": f"{ENROLLED}=on-request",
    "level-removed": f"{LEVEL}-",
    "level-lowered": f"{LEVEL}=Cooperative",
    "level-raised": f"{LEVEL}=Enforced",
}


@pytest.mark.parametrize("change", CHANGES)
def test_who_may_label_namespaces_does_not_thereby_enrol(
    ground: Ground, labeller: Kubectl, change: str
) -> None:
    """Issue 6: changes of the enrolment label by anyone not allowed."""
    shop = ground.shop("Guarded")
    refused = said(labeller, "label", "namespace", shop, CHANGES[change], "--overwrite")
    assert _NEEDS in refused
    other = ground.cluster.new_namespace("other")
    refused = said(labeller, "label", "namespace", other, f"{ENROLLED}=enabled")
    assert _NEEDS in refused
    labeller("label", "namespace", shop, "team=shop", "--overwrite")


@pytest.mark.parametrize("part", ["status", "finalize"])
def test_nor_by_another_door(ground: Ground, labeller: Kubectl, part: str) -> None:
    """Labels come in by the subresources, too."""
    shop = ground.shop("Guarded")
    found = ground.cluster.kubectl.json("get", "namespace", shop)
    del found["metadata"]["labels"][ENROLLED]
    path = f"/api/v1/namespaces/{shop}/{part}"
    refused = said(labeller, "replace", "--raw", path, "-f", "-", stdin=json.dumps(found))
    assert _NEEDS in refused


def test_whoever_has_the_verb_enrols(ground: Ground, labeller: Kubectl) -> None:
    """For namespaces by name, or for all."""
    other, more = (ground.cluster.new_namespace("other") for _ in range(2))
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": f"enrol-{other}"},
        "rules": [
            {
                "apiGroups": [names.GROUP],
                "resources": ["namespaces"],
                "resourceNames": [other],
                "verbs": [names.VERB_ENROL],
            }
        ],
    }
    ground.cluster.apply(yaml.safe_dump(role))
    ground.bind_everywhere("lena", f"enrol-{other}")
    labeller("label", "namespace", other, f"{ENROLLED}=enabled", f"{LEVEL}=Guarded")
    labeller("label", "namespace", other, f"{ENROLLED}-", f"{LEVEL}-")
    assert _NEEDS in said(labeller, "label", "namespace", more, f"{ENROLLED}=enabled")
    ground.cluster.apply(yaml.safe_dump(_LABELLER))
    ground.bind_everywhere("ada", "labeller")
    ground.bind_everywhere("ada", "mesh7-admin")
    ada = ground.cluster.kubectl_of("ada")
    ada("label", "namespace", more, f"{ENROLLED}=on-request")


def test_whoever_makes_a_namespace_may_enrol_it(labeller: Kubectl) -> None:
    """It only adds a guard; to take it away again needs the verb."""
    for how in names.INJECTION_VALUES:
        name = f"made-{how}"
        labeller("create", "-f", "-", stdin=_namespace(name, {ENROLLED: how, LEVEL: "Guarded"}))
        assert _NEEDS in said(labeller, "label", "namespace", name, f"{ENROLLED}-")
        labeller("delete", "namespace", name, "--wait=false")


@pytest.mark.parametrize(
    ("label", "value"), [(ENROLLED, "disabled"), (ENROLLED, "Enabled"), (LEVEL, "guarded")]
)
def test_a_value_that_means_nothing_is_refused(ground: Ground, label: str, value: str) -> None:
    """Also for administrators: pods would be refused for it one by one."""
    admin = ground.cluster.kubectl
    refused = refusal(admin, yaml.safe_load(_namespace("wrong", {label: value})))
    assert "mesh7.dev/injection is `enabled` or `on-request`" in refused
    shop = ground.shop()
    refused = said(admin, "label", "namespace", shop, f"{label}={value}", "--overwrite")
    assert "mesh7.dev/injection is `enabled` or `on-request`" in refused


@pytest.mark.parametrize("name", ["kube-system", "kube-public", controllers.RELEASE])
def test_what_the_cluster_runs_on_is_not_enrolled(ground: Ground, name: str) -> None:
    """It would need the injector to come back."""
    refused = said(ground.cluster.kubectl, "label", "namespace", name, f"{ENROLLED}=enabled")
    assert "are never guarded" in refused


def _namespace(name: str, labels: dict[str, str]) -> str:
    about = {"name": name, "labels": labels}
    return yaml.safe_dump({"apiVersion": "v1", "kind": "Namespace", "metadata": about})


@pytest.mark.parametrize("name", WRITTEN)
def test_nobody_writes_what_the_controller_notes(
    ground: Ground, labeller: Kubectl, name: str
) -> None:
    """Below a floor an old bundle would be believed again; not even an administrator by mistake."""
    shop = ground.enrol()
    user = f"system:serviceaccount:{controllers.RELEASE}:mesh7-controller"
    controller = ground.cluster.kubectl_of(user, ["system:masters"])
    controller("annotate", "namespace", shop, f"{name}=7", "--overwrite")
    for who in (labeller, ground.cluster.kubectl):
        for how in (f"{name}=6", f"{name}-", f"{name}=8"):
            refused = said(who, "annotate", "namespace", shop, how, "--overwrite")
            assert "written by mesh7's controller alone" in refused
    labeller("annotate", "namespace", shop, "team=shop")
    controller("annotate", "namespace", shop, f"{name}=8", "--overwrite")


def test_programs_of_the_release_write_it_with_their_own_rights(
    ground: Ground, tmp_path: Path
) -> None:
    """The controller sets them, the sweep before an uninstall takes them away."""
    shop = ground.enrol()
    rights = [
        one
        for one in backstops.chart()
        if one["kind"] in installed.RIGHTS
        and one["metadata"].get("namespace", controllers.RELEASE) == controllers.RELEASE
    ]
    ground.cluster.apply(yaml.safe_dump_all(rights))
    for account, value in (("mesh7-controller", "3"), ("mesh7-sweep", None)):
        kubeconfig = installed.account(ground.cluster, account, tmp_path)
        patch = {"metadata": {"annotations": dict.fromkeys(WRITTEN, value)}}
        path = f"/api/v1/namespaces/{shop}"
        status, answer = asking.merge(ground.cluster, kubeconfig, path, patch)
        assert status == asking.OK, answer
    found = ground.cluster.kubectl.json("get", "namespace", shop)["metadata"]
    assert not set(WRITTEN) & set(found.get("annotations", {}))


def test_a_namespace_goes_with_its_labels_and_floors(ground: Ground, labeller: Kubectl) -> None:
    """Deletion changes no label, and its guarded pods go, too."""
    shop = ground.enrol("enabled", "Guarded")
    ground.cluster.kubectl("create", "-f", "-", stdin=yaml.safe_dump(
        backstops.guarded(shop, level="Guarded")))  # fmt: skip
    labeller("delete", "namespace", shop, "--timeout=60s", timeout_s=70)
