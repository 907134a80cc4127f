"""Which resources of the API server the operator knows, the path of each, and Secrets of ours.

Pure: no clock, no network, no logging.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mesh7_core import names


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One kind as the API server serves it.

    Attributes:
        group: empty = the core group.
        plural: as it stands in paths.
    """

    group: str
    version: str
    plural: str
    kind: str
    is_namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As it stands in manifests."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The path from the server's root.

        Args:
            namespace: empty = all of them, or the resource has none.
            name: empty = the collection.
            subresource: empty = the object itself.
        """
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if self.is_namespaced and namespace:
            parts += ["namespaces", namespace]
        return "/" + "/".join([*parts, self.plural, *filter(None, (name, subresource))])


def _ours(plural: str, kind: str) -> Resource:
    return Resource(group=names.GROUP, version=names.VERSION, plural=plural, kind=kind)


def _core(plural: str, kind: str) -> Resource:
    return Resource(group="", version="v1", plural=plural, kind=kind)


AGENT_POLICIES: Final = _ours("agentpolicies", names.AGENT_POLICY)
TOOL_SOURCES: Final = _ours("toolsources", names.TOOL_SOURCE)
GRANTS: Final = _ours("grants", names.GRANT)
APPROVAL_REQUESTS: Final = _ours("approvalrequests", names.APPROVAL_REQUEST)
AUDIT_QUERIES: Final = _ours("auditqueries", names.AUDIT_QUERY)
CONFIG_MAPS: Final = _core("configmaps", "ConfigMap")
SECRETS: Final = _core("secrets", "Secret")
PODS: Final = _core("pods", "Pod")
EVENTS: Final = _core("events", "Event")
NAMESPACES: Final = Resource(
    group="", version="v1", plural="namespaces", kind="Namespace", is_namespaced=False
)
NETWORK_POLICIES: Final = Resource(
    group="networking.k8s.io", version="v1", plural="networkpolicies", kind="NetworkPolicy"
)
DEPLOYMENTS: Final = Resource(group="apps", version="v1", plural="deployments", kind="Deployment")
LEASES: Final = Resource(group="coordination.k8s.io", version="v1", plural="leases", kind="Lease")
TOKEN_REVIEWS: Final = Resource(
    group="authentication.k8s.io",
    version="v1",
    plural="tokenreviews",
    kind="TokenReview",
    is_namespaced=False,
)
SUBJECT_ACCESS_REVIEWS: Final = Resource(
    group="authorization.k8s.io",
    version="v1",
    plural="subjectaccessreviews",
    kind="SubjectAccessReview",
    is_namespaced=False,
)
WEBHOOKS: Final = tuple(
    Resource(
        group="admissionregistration.k8s.io",
        version="v1",
        plural=f"{kind.lower()}webhookconfigurations",
        kind=f"{kind}WebhookConfiguration",
        is_namespaced=False,
    )
    for kind in ("Mutating", "Validating")
)
OURS: Final = {
    resource.kind: resource
    for resource in (AGENT_POLICIES, TOOL_SOURCES, GRANTS, APPROVAL_REQUESTS, AUDIT_QUERIES)
}
WATCHED: Final = (*OURS.values(), NAMESPACES, CONFIG_MAPS, NETWORK_POLICIES)
"""What the controller's watch follows."""


def secret(
    namespace: str, name: str, held: Mapping[str, bytes], *, version: str = ""
) -> dict[str, object]:
    """A Secret of ours; at the version that it was read from, if it was."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": names.FIELD_MANAGER},
            **({"resourceVersion": version} if version else {}),
        },
        "data": {key: base64.b64encode(value).decode() for key, value in held.items()},
    }
