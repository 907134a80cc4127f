import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.cluster import helm, node
from e2e.cluster.clusters import Cluster
from e2e.stories import ground, releases
from e2e.stories.ground import Story, is_refused, is_text
from e2e.stories.releases import CHARTS, NAME, NAMESPACE, Release
from mesh7_core import names

_EARLIER = Path(__file__).with_name("earlier")
_READ = "files.read"
_ALL = (
    "configmap", "secret", "networkpolicy", "lease", "serviceaccount", "role", "rolebinding",
    "deployment", "service", "pod", "job", "poddisruptionbudget",
)  # fmt: skip
_CLUSTER_WIDE = (
    "mutatingwebhookconfiguration", "validatingwebhookconfiguration",
    "validatingadmissionpolicy", "validatingadmissionpolicybinding",
    "clusterrole", "clusterrolebinding",
)  # fmt: skip


@pytest.fixture
def fresh(images_on_disk: tuple[Path, ...]) -> Iterator[Cluster]:
    """A cluster on which nothing was ever installed."""
    with node.raised("test-lifetime") as raised:
        for archive in images_on_disk:
            raised.load(archive)
        yield raised.cluster


@pytest.mark.promise("K11")
@pytest.mark.timeout(480)
def test_a_release_comes_changes_and_goes(
    fresh: Cluster, product_images: dict[str, str], request: pytest.FixtureRequest
) -> None:
    """Issue 6: upgrade from an earlier commit's chart with pods running; uninstall leaves nothing."""
    labels = {"mesh7.dev/injection": "on-request"}
    release = releases.install(fresh, releases.values(product_images), charts=_EARLIER)
    with ground.told(fresh, request.path.parent, labels) as story:
        story.apply("tools", "source")
        story.apply("policy", ACTION="Allow")
        story.apply("agents")
        story.ready("deployment/agent")
        [agent] = story.pods("app=agent")
        story.await_said(agent, _READ, is_text("water the plants"), "an agent works")
        _upgrade(release, story, agent)
        _remove(story, agent)


def _upgrade(release: Release, story: Story, agent: str) -> None:
    began = time.time()
    release.upgrade(CHARTS)
    lines = story.said(agent, _READ, since=began)
    assert lines
    assert [line for line in lines if not is_text("water the plants")(line)] == []
    # An old pod may still be labelled, obeys what is written now, and is not restarted.
    story.kubectl("label", "pod", agent, "note=kept", "-n", story.namespace)
    changed = time.time()
    story.apply("policy", ACTION="Deny")
    story.await_said(agent, _READ, is_refused("denied-by-rule"), "it obeys", since=changed)
    [sidecar] = story.pod(agent)["status"]["initContainerStatuses"]
    assert sidecar["restartCount"] == 0


def _remove(story: Story, agent: str) -> None:
    admin = helm.of_admin(story.cluster)
    admin("uninstall", NAME, "-n", NAMESPACE, "--wait", "--timeout=120s")
    left = {one: _ours(story, one) for one in (*_CLUSTER_WIDE, *_ALL)}
    assert {kind: found for kind, found in left.items() if found} == {}
    annotations = story.kubectl.json("get", "namespace", story.namespace)["metadata"].get(
        "annotations", {}
    )
    assert [one for one in annotations if names.GROUP in one] == []
    story.kubectl("delete", "pod", agent, "-n", story.namespace, "--now")
    story.ready("deployment/agent")
    [anew] = story.pods("app=agent")
    assert "initContainers" not in story.pod(anew)["spec"]
    story.await_said(anew, _READ, is_text("water the plants"), "it runs unguarded")
    admin("uninstall", "mesh7-crds", "-n", NAMESPACE)
    assert "agentpolicies.mesh7.dev" in story.kubectl("get", "crds", "-o", "name")


def _ours(story: Story, kind: str) -> list[str]:
    """Objects that are called after us, but for what Helm itself keeps of the CRDs' chart."""
    found = story.kubectl(
        "get", kind, "-A", "-o", "jsonpath={range .items[*]}{.metadata.name} {end}"
    )
    return [
        one
        for one in found.split()
        if "mesh7" in one and not one.startswith("sh.helm.release.v1.mesh7-crds")
    ]
