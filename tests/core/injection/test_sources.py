"""What a pod is told of a ToolSource."""

from typing import Any

import pytest

from mesh7_core.injection import sources
from mesh7_core.injection.inject import Source

_AUTH = {"key": "billing"}


def _source(spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": "ToolSource",
        "metadata": {"name": "billing", "namespace": "shop"},
        "spec": spec,
    }


@pytest.mark.parametrize(
    ("spec", "kind", "is_plain"),
    [
        ({"mcp": {"url": "https://billing.example.com/mcp"}, "auth": _AUTH}, "mcp", False),
        ({"mcp": {"url": "http://billing.shop.svc/mcp"}}, "mcp", False),
        ({"mcp": {"url": "http://billing.shop.svc/mcp"}, "auth": _AUTH}, "mcp", True),
        ({"http": {"url": "HTTP://api.example.com"}, "auth": _AUTH}, "http", True),
        ({"http": {"url": " http://api.example.com"}, "auth": _AUTH}, "http", True),
        ({"http": {"url": "https://api.example.com"}, "auth": _AUTH}, "http", False),
        ({"mcp": {"transport": "SSE", "url": "https://a.example.com/sse"}}, "mcp", False),
    ],
)
def test_a_source_is_a_door_and_may_have_a_credential_that_travels_bare(
    spec: dict[str, Any], kind: str, is_plain: bool
) -> None:
    """Design 9: Guarded refuses credentials over plain http."""
    found = sources.read(_source(spec))
    assert found == Source(name="billing", kind=kind, has_plain_credential=is_plain)


@pytest.mark.parametrize(
    "spec",
    [
        {"mcp": {"transport": "Stdio", "command": ["x"]}},
        {"cli": {"binary": "kubectl"}},
        {"openapi": {"url": "https://api.example.com/openapi.json"}},
        {"mcp": {"url": "https://a"}, "http": {"url": "https://b"}},
        {"mcp": 7},
        {"pinning": {}},
    ],
)
def test_what_no_sidecar_serves_no_pod_is_told_of(spec: dict[str, Any]) -> None:
    """Programs run as pods of their own in a cluster."""
    assert sources.read(_source(spec)) is None
