"""Checks before an installation: may this person install, and is nothing in the way.

Pure: no clock, no network, no logging.
"""

import json
from typing import Final

from mesh7_cli import reading
from mesh7_cli.checks.findings import Category, Check, Facts, Finding, fatal, ok, warn
from mesh7_core import names

KINDS: Final = {
    "agentpolicies": names.AGENT_POLICY,
    "approvalrequests": names.APPROVAL_REQUEST,
    "auditqueries": names.AUDIT_QUERY,
    "grants": names.GRANT,
    "toolsources": names.TOOL_SOURCE,
}
CRDS: Final = tuple(f"{plural}.{names.GROUP}" for plural in KINDS)
CATEGORY_OF_OURS: Final = "mesh7"

_CLUSTER: Final = (
    ("", "namespaces"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("rbac.authorization.k8s.io", "clusterroles"),
    ("rbac.authorization.k8s.io", "clusterrolebindings"),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
)
_RELEASE: Final = (
    ("", "configmaps"),
    ("", "secrets"),
    ("", "serviceaccounts"),
    ("", "services"),
    ("apps", "deployments"),
    ("apps", "statefulsets"),
    ("batch", "jobs"),
    ("networking.k8s.io", "networkpolicies"),
    ("policy", "poddisruptionbudgets"),
    ("rbac.authorization.k8s.io", "roles"),
    ("rbac.authorization.k8s.io", "rolebindings"),
)


def reviews(release: str) -> str:
    """What is asked of the API server about the person's own rights, as one manifest."""
    asked = [
        *({"group": group, "resource": resource} for group, resource in _CLUSTER),
        *(
            {"group": group, "resource": resource, "namespace": release}
            for group, resource in _RELEASE
        ),
    ]
    items = [
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"verb": "create", **one}},
        }
        for one in asked
    ]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def _rights(facts: Facts) -> Finding:
    refused = [
        ".".join(filter(None, (reading.text(one, "resource"), reading.text(one, "group"))))
        for review in facts.items("rights")
        if not reading.truth(review, "status", "allowed")
        for one in [reading.one(review, "spec", "resourceAttributes")]
    ]
    if not facts.items("rights"):
        return warn("the API server did not say what you may do")
    if refused:
        return fatal(
            "you may not create all that an installation has – let an administrator of the "
            "cluster install it",
            refused,
        )
    return ok()


def is_ours(crd: dict[str, object]) -> bool:
    """Whether a CustomResourceDefinition of our name is of our making."""
    plural = reading.text(crd, "metadata", "name").partition(".")[0]
    return reading.text(crd, "spec", "names", "kind") == KINDS.get(
        plural
    ) and CATEGORY_OF_OURS in reading.texts(crd, "spec", "names", "categories")


def _kinds(facts: Facts) -> Finding:
    found = facts.named("crds")
    foreign = [name for name, crd in found.items() if not is_ours(crd)]
    if foreign:
        return fatal("kinds of these names are somebody else's – remove them first", foreign)
    if not found:
        return ok("none is there yet")
    return ok("they are there already")


CATEGORY: Final = Category(
    name="before an installation",
    checks=(
        Check(
            name="rights-to-install",
            title="you may install mesh7",
            judge=_rights,
            needs=("rights",),
        ),
        Check(
            name="kinds-free",
            title="nobody else has kinds of our names",
            judge=_kinds,
            needs=("crds",),
        ),
    ),
)
