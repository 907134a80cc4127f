"""What `helm test` says of the pod that the API server would store."""

from typing import Any

import pytest

from mesh7_core import errors
from mesh7_operator import verifying


def _pod(*init_containers: dict[str, Any]) -> dict[str, Any]:
    return {
        "metadata": {"annotations": {"mesh7.dev/enforcement": "Cooperative"}},
        "spec": {"initContainers": list(init_containers)},
    }


def test_a_guarded_pod_is_told_with_its_level_and_image() -> None:
    """docs/administrator/install.md: `helm test` shows them."""
    sidecar = {"name": "mesh7", "image": "mesh7-sidecar:0.1.0", "restartPolicy": "Always"}
    found = verifying.judge(_pod({"name": "setup"}, sidecar))
    assert found == {"level": "Cooperative", "image": "mesh7-sidecar:0.1.0"}


def test_a_pod_without_a_sidecar_says_where_to_look() -> None:
    with pytest.raises(errors.ClusterError, match="MutatingWebhookConfiguration `mesh7`"):
        verifying.judge(_pod({"name": "setup"}))


def test_a_sidecar_that_would_end_is_none() -> None:
    """API servers before 1.29 drop the field without a word."""
    with pytest.raises(errors.ClusterError, match=r"needs Kubernetes 1\.30"):
        verifying.judge(_pod({"name": "mesh7", "image": "x"}))
