"""In this folder a release is installed on a cluster with a node, as its users install it."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from e2e.cluster import images
from e2e.cluster.clusters import Cluster
from e2e.cluster.node import NodeCluster
from e2e.stories import ground, releases
from e2e.stories.finance import bob, jane, joan, mallory, order, shop
from e2e.stories.ground import Story
from e2e.stories.releases import Release
from tests.peers import phoenix
from tests.peers.phoenix import Phoenix

__all__ = ["bob", "jane", "joan", "mallory", "order", "shop"]
_HERE = Path(__file__).parent
_TIMEOUT_S = 300


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What comes before a story has bounds of its own: images, a cluster, an installation."""
    for item in items:
        if item.path.is_relative_to(_HERE) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_TIMEOUT_S, func_only=True))


@pytest.fixture(scope="session")
def cluster(node_cluster: NodeCluster) -> Cluster:
    """So `namespace` is a namespace of that one too."""
    return node_cluster.cluster


@pytest.fixture(scope="session")
def backend(
    node_cluster: NodeCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Phoenix]:
    """Where the release sends its traces, on the host's end of the node's link."""
    host = node_cluster.room.plan.host
    with phoenix.running(tmp_path_factory.mktemp("phoenix"), host) as running:
        yield running


@pytest.fixture(scope="session")
def release(cluster: Cluster, product_images: Mapping[str, str], backend: Phoenix) -> Release:
    """The chart, installed with an embedded Redis; all stories of a session share it."""
    values = releases.values(product_images)
    # A call in a hundred; the story of traces asks for all of its own.
    return releases.install(
        cluster, {**values, "telemetry": {"otlp": {"endpoint": backend.address}}}
    )


@pytest.fixture(scope="session")
def images_on_disk() -> tuple[Path, ...]:
    """What a further cluster has to load."""
    built = (images.operator_image, images.sidecar_image, images.agent_image, images.redis_image)
    return tuple(build().archive for build in built)


@pytest.fixture
def story(release: Release, request: pytest.FixtureRequest) -> Iterator[Story]:
    """A namespace where pods that ask for it are guarded, with the programs in it."""
    with _told(release.cluster, "on-request", request.path.parent) as told:
        yield told


@pytest.fixture
def enabled_story(release: Release, request: pytest.FixtureRequest) -> Iterator[Story]:
    """A namespace where every pod is guarded."""
    with _told(release.cluster, "enabled", request.path.parent) as told:
        yield told


def _told(cluster: Cluster, injection: str, folder: Path) -> ground.Told:
    return ground.told(cluster, folder, {"mesh7.dev/injection": injection})
