"""Objects of a cluster for tests: as the API server has them, as documents."""

from collections.abc import Mapping

from mesh7_core.api.manifests import Document
from mesh7_core.delivery import payloads
from mesh7_core.policy.calls import Agent

SUPPORT = Agent(namespace="shop", service_account="support", pod="p-1", labels={"app": "support"})
BOT = Agent(namespace="shop", service_account="bot", pod="p-2", labels={"app": "bot"})
OTHER = Agent(namespace="shop", service_account="other", pod="p-3", labels={})
AGENTS = (SUPPORT, BOT, OTHER)


def an_object(
    kind: str, name: str, spec: object, namespace: str = "shop", *, is_baseline: bool = False
) -> Document:
    value: Mapping[str, object] = {
        "apiVersion": "mesh7.dev/v1alpha1",
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "creationTimestamp": "2026-11-21T09:30:00Z",
        },
        "spec": spec,
    }
    return payloads.document_of(value, is_baseline=is_baseline)


def a_policy(name: str, spec: object) -> Document:
    return an_object("AgentPolicy", name, spec)


def a_baseline(name: str, spec: object) -> Document:
    return an_object("AgentPolicy", name, spec, "mesh7-system", is_baseline=True)


def a_source(name: str, spec: object) -> Document:
    return an_object("ToolSource", name, spec)


def a_grant(name: str, spec: object) -> Document:
    return an_object("Grant", name, spec)
