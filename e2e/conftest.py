"""Tests on a real cluster: its fixtures, and the time that they may take."""

from pathlib import Path

import pytest

from e2e.cluster.fixtures import (
    api_server,
    cluster,
    namespace,
    node_cluster,
    own_root,
    product_images,
    raise_cluster,
    session_api_server,
)

__all__ = [
    "api_server",
    "cluster",
    "namespace",
    "node_cluster",
    "own_root",
    "product_images",
    "raise_cluster",
    "session_api_server",
]
_HERE = Path(__file__).parent
_TIMEOUT_S = 300


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Unit tests have two minutes; what a session shares is raised beside the first test's time."""
    for item in items:
        if item.path.is_relative_to(_HERE) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_TIMEOUT_S, func_only=True))
