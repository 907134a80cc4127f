"""Questions as the API server asks them, and an API server that is a table."""

import json
from typing import Any

from mesh7_core import names
from mesh7_operator.cluster import api_server, resources, shapes
from mesh7_operator.injector import reviews
from mesh7_operator.injector.reviews import Review

SHOP = "shop"
RELEASE = names.RELEASE_NAMESPACE


def policy(name: str = "support", namespace: str = SHOP, **spec: Any) -> dict[str, Any]:
    """A policy with a rule that people of `finance` may be asked about, and that grants relax."""
    rule = {
        "name": "refunds", "tools": ["billing.*"], "action": "RequireApproval",
        "approval": {"groups": ["finance"], "grantable": {"maxDuration": "1h", "maxUses": 20}},
    }  # fmt: skip
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.AGENT_POLICY,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {}, "rules": [rule], **spec},
    }


def grant(name: str = "friday", **spec: Any) -> dict[str, Any]:
    """A permission that the policy `shop/support` lets people give."""
    written = {
        "effect": "Allow",
        "subject": {"serviceAccount": "support"},
        "tools": ["billing.create_refund"],
        "policyRef": {"namespace": SHOP, "name": "support"},
        "expiresAt": "2026-11-21T10:00:00Z",
        "maxUses": 5,
        "reason": "INC-4711",
        **spec,
    }
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.GRANT,
        "metadata": {
            "name": name, "namespace": SHOP, "creationTimestamp": "2026-11-21T09:30:00Z",
        },
        "spec": {key: value for key, value in written.items() if value is not None},
    }  # fmt: skip


def question(
    value: dict[str, Any], *, before: dict[str, Any] | None = None, **request: Any
) -> dict[str, Any]:
    """The AdmissionReview about it."""
    return {
        "apiVersion": reviews.API_VERSION,
        "kind": reviews.KIND,
        "request": {
            "uid": "0b1c",
            "kind": {"group": names.GROUP, "version": names.VERSION, "kind": value["kind"]},
            "namespace": value["metadata"]["namespace"],
            "operation": "CREATE" if before is None else "UPDATE",
            "userInfo": {"username": "jane", "uid": "u-1", "groups": ["finance", "hr"]},
            "object": value,
            "oldObject": before,
            **request,
        },
    }


def review(value: dict[str, Any], **request: Any) -> Review:
    """The same, read."""
    read = reviews.read(json.dumps(question(value, **request)).encode())
    assert isinstance(read, Review), read
    return read


class Table:
    """An API server that answers from a table, keyed by kind, namespace and name.

    A value that is an exception is raised.
    """

    def __init__(self, found: dict[tuple[str, str, str], Any] | None = None) -> None:
        self.found = found or {}
        self.published: dict[str, str] = {}

    async def get(self, resource: resources.Resource, namespace: str, name: str) -> shapes.Object:
        answer = self.found.get((resource.kind, namespace, name))
        if answer is None:
            raise api_server.NotFound(f"{resource.kind} `{namespace}/{name}`: not found")
        if isinstance(answer, Exception):
            raise answer
        found: shapes.Object = answer
        return found

    async def merge(
        self, resource: resources.Resource, namespace: str, name: str, patch: shapes.Object
    ) -> shapes.Object:
        if (resource.kind, namespace, name) not in self.found:
            raise api_server.NotFound(f"{resource.kind} `{namespace}/{name}`: not found")
        self.published.update(shapes.texts(patch, "data"))
        return {}
