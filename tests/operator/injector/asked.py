"""Questions as the API server asks them, and an API server that is a table."""

import json
from collections.abc import AsyncIterator
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
    """A permission that the policy `shop/support` lets people give, made by one of `finance`."""
    written = {
        "effect": "Allow",
        "subject": {"serviceAccount": "support"},
        "tools": ["billing.create_refund"],
        "policyRef": {"namespace": SHOP, "name": "support"},
        "expiresAt": "2026-11-21T10:00:00Z",
        "maxUses": 5,
        "reason": "INC-4711",
        "grantedBy": {"username": "jane", "groups": ["finance"]},
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


DIGEST = "sha256:" + "0" * 64


def answer(name: str = "7f3k-support-x8d4q", **spec: Any) -> dict[str, Any]:
    """Somebody's yes to one held call, for the rules of `shop/support`."""
    written = {
        **dict.fromkeys(("tools", "expiresAt", "maxUses")),
        "subject": {"pod": "support-0"},
        "requestRef": {"name": "7f3k", "uid": "r-1"},
        "digest": DIGEST,
        **spec,
    }
    return grant(name, **written)


def pod(name: str = "support", **spec: Any) -> dict[str, Any]:
    """A pod as somebody writes it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": SHOP},
        "spec": {"containers": [{"name": "agent", "image": "agent:1"}], **spec},
    }


def source(name: str = "billing", **spec: Any) -> dict[str, Any]:
    """A source of tools."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.TOOL_SOURCE,
        "metadata": {"name": name, "namespace": SHOP},
        "spec": spec or {"mcp": {"url": "https://billing.example.com/mcp"}},
    }


def question(
    value: dict[str, Any], *, before: dict[str, Any] | None = None, **request: Any
) -> dict[str, Any]:
    """The AdmissionReview about it."""
    return {
        "apiVersion": reviews.API_VERSION,
        "kind": reviews.KIND,
        "request": {
            "uid": "0b1c",
            "kind": _kind(value["kind"]),
            "namespace": value["metadata"]["namespace"],
            "operation": "CREATE" if before is None else "UPDATE",
            "userInfo": {"username": "jane", "uid": "u-1", "groups": ["finance", "hr"]},
            "object": value,
            "oldObject": before,
            **request,
        },
    }


def spoilt(value: dict[str, Any], **request: Any) -> bytes:
    """The question about it, with other parts of the request; `...` leaves one out."""
    found = question(value)
    found["request"] |= request
    for key, part in request.items():
        if part is ...:
            del found["request"][key]
    return json.dumps(found).encode()


def _kind(kind: str) -> dict[str, str]:
    if kind == "Pod":
        return {"group": "", "version": "v1", "kind": kind}
    return {"group": names.GROUP, "version": names.VERSION, "kind": kind}


def review(value: dict[str, Any], **request: Any) -> Review:
    """The same, read."""
    about = reviews.NEW_PODS if value["kind"] == "Pod" else reviews.OURS
    read = reviews.read(json.dumps(question(value, **request)).encode(), about)
    assert isinstance(read, Review), read
    return read


class Table:
    """An API server that answers from a table, keyed by kind, namespace and name.

    A value that is an exception is raised.

    Attributes:
        powerless: users who have the verb `approve` on nothing.
        reviewed: what was asked about users.
    """

    def __init__(self, found: dict[tuple[str, str, str], Any] | None = None) -> None:
        self.found = found or {}
        self.asked: list[tuple[str, str, str]] = []
        self.published: dict[str, str] = {}
        self.powerless: set[str] = set()
        self.reviewed: list[shapes.Object] = []

    async def get(self, resource: resources.Resource, namespace: str, name: str) -> shapes.Object:
        self.asked.append((resource.kind, namespace, name))
        answer = self.found.get((resource.kind, namespace, name))
        if answer is None:
            raise api_server.NotFound(f"{resource.kind} `{namespace}/{name}`: not found")
        if isinstance(answer, Exception):
            raise answer
        found: shapes.Object = answer
        return found

    async def create(
        self, resource: resources.Resource, namespace: str, manifest: shapes.Object
    ) -> shapes.Object:
        self.asked.append((resource.kind, namespace, ""))
        failure = self.found.get((resource.kind, namespace, ""))
        if isinstance(failure, Exception):
            raise failure
        spec = shapes.mapping(manifest, "spec")
        self.reviewed.append(spec)
        is_allowed = spec["user"] not in self.powerless
        return {**manifest, "status": {"allowed": is_allowed}}

    async def list_remembered(
        self, resource: resources.Resource, namespace: str
    ) -> AsyncIterator[shapes.Object]:
        self.asked.append((resource.kind, namespace, ""))
        for (kind, where, _), answer in self.found.items():
            if (kind, where) == (resource.kind, namespace):
                if isinstance(answer, Exception):
                    raise answer
                yield answer

    async def merge(
        self, resource: resources.Resource, namespace: str, name: str, patch: shapes.Object
    ) -> shapes.Object:
        if (resource.kind, namespace, name) not in self.found:
            raise api_server.NotFound(f"{resource.kind} `{namespace}/{name}`: not found")
        self.published.update(shapes.texts(patch, "data"))
        return {}
