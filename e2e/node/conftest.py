"""In this folder the cluster is one with a node."""

import pytest

from e2e.cluster.clusters import Cluster
from e2e.cluster.node import NodeCluster


@pytest.fixture(scope="session")
def cluster(node_cluster: NodeCluster) -> Cluster:
    """So `namespace` is a namespace of that one too."""
    return node_cluster.cluster
