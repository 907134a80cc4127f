import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.cluster import helm, images, node
from e2e.cluster.clusters import Cluster
from e2e.stories import earlier, ground, inventory, plugin, releases
from e2e.stories.ground import Line, Story, calls, is_text, is_withheld
from e2e.stories.inventory import Object
from e2e.stories.releases import NAME, NAMESPACE, Release, Values
from mesh7_core import names

_READ = "files.read"
_ONE = calls({"source": "files", "tool": "read", "arguments": {"name": "notes.txt"}})
_KINDS = tuple(
    f"{one}.{names.GROUP}"
    for one in ("agentpolicies", "toolsources", "grants", "approvalrequests", "auditqueries")
)  # fmt: skip
_OF_KINDS = {
    f"Namespace /{NAMESPACE}",
    f"ServiceAccount {NAMESPACE}/default",
    f"ConfigMap {NAMESPACE}/kube-root-ca.crt",
    f"APIService /{names.VERSION}.{names.GROUP}",
    *(f"CustomResourceDefinition /{one}" for one in _KINDS),
}
"""What an uninstallation leaves: the kinds, whose chart is another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """A cluster on which nothing was ever installed, and what may be said of two releases."""

    cluster: Cluster
    earlier: Values
    today: Values


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Fresh]:
    """With all images on its node."""
    today = {
        "operator": images.operator_image(),
        "sidecar": images.sidecar_image(),
        "agent": images.agent_image(),
        "redis": images.redis_image(),
    }
    old = {
        one: earlier.image(today[one], tmp_path / f"{one}.tar") for one in ("operator", "sidecar")
    }
    with node.raised(f"lifetime-{os.getpid()}") as raised:
        for image in (*today.values(), *old.values()):
            raised.load(image.archive)
        known = {one: image.name for one, image in today.items()}
        before = releases.values(known | {one: image.name for one, image in old.items()})
        yield Fresh(
            cluster=raised.cluster,
            # No key that an earlier chart does not know.
            earlier={one: before[one] for one in ("image", "redis")},
            today=releases.values(known),
        )


@pytest.mark.promise("K11")
@pytest.mark.timeout(780)
def test_a_release_comes_changes_goes_and_comes_again(
    fresh: Fresh, request: pytest.FixtureRequest
) -> None:
    """Issue 6: upgrade of an earlier commit's release with pods running; nothing of it is left."""
    labels = {names.INJECTION_LABEL: "on-request"}
    with ground.told(fresh.cluster, request.path.parent, labels) as story:
        before = inventory.held(story.kubectl)
        release = releases.install(fresh.cluster, fresh.earlier, earlier.CHARTS)
        story.apply("tools", "source")
        story.apply("policy", ACTION="Allow")
        story.apply("agents")
        story.ready("deployment/agent")
        agents = story.pods("app=agent")
        for agent in agents:
            story.await_said(agent, _READ, is_text("water the plants"), "an agent works")
        _upgrade(release, fresh.today, story, agents)
        _live_on(story, agents)
        _uninstall(story, before)
        _restart_unguarded(story)
        releases.install(fresh.cluster, fresh.today)
        _restart_guarded(story)
        _uninstall(story, before)
        _forget(story, before)


def _upgrade(release: Release, values: Values, story: Story, agents: list[str]) -> None:
    """As docs/administrator/upgrade.md says."""
    began = time.time()
    release.upgrade(values=values)
    story.apply("agent", NAME="new", CALLS=_ONE)
    done = plugin.run(story.cluster, "check", "--wait", "60s")
    assert done.returncode == 0, done.stdout + done.stderr
    for agent in agents:
        lines = story.said(agent, _READ, since=began)
        assert len(lines) > 10
        assert [line for line in lines if not is_text("water the plants")(line)] == []
    story.ready("pod/new")
    assert _sidecars(story.pod("new")) == [_image(values)]
    story.await_said("new", _READ, is_text("water the plants"), "a new agent works")


def _live_on(story: Story, agents: list[str]) -> None:
    """Pods of the earlier release are as good as others: changed, told, deleted."""
    one, other = agents
    story.kubectl("label", "pod", one, "note=kept", "-n", story.namespace)
    changed = time.time()
    story.apply("policy", ACTION="Deny")
    for agent in agents:
        story.await_said(agent, _READ, is_withheld, "it obeys", since=changed)
        [sidecar] = story.pod(agent)["status"]["initContainerStatuses"]
        assert sidecar["restartCount"] == 0
    story.delete("pod", other)
    story.until(lambda: other not in story.pods("app=agent"), "it is gone")
    story.ready("deployment/agent")


def _uninstall(story: Story, before: dict[str, Object]) -> None:
    """As docs/administrator/uninstall.md says."""
    admin = helm.of_admin(story.cluster)
    admin("uninstall", NAME, "-n", NAMESPACE, "--wait", "--timeout=120s")
    admin("uninstall", "mesh7-crds", "-n", NAMESPACE)
    _await_left(story, before, _OF_KINDS)


def _forget(story: Story, before: dict[str, Object]) -> None:
    """The rest of that page."""
    story.kubectl("delete", "crd", *_KINDS)
    story.kubectl("delete", "namespace", NAMESPACE)
    _await_left(story, before, set())


def _await_left(story: Story, before: dict[str, Object], expected: set[str]) -> None:
    """Nothing of ours is anywhere, but this; what ends may take a moment for it."""
    left: set[str] = set()

    def is_clean() -> bool:
        now = inventory.held(story.kubectl)
        left.clear()
        for line, one in now.items():
            is_ours = line not in before
            if inventory.namespace_of(one) == story.namespace:
                is_ours = "mesh7" in one["metadata"]["name"]
            if is_ours or (one["kind"] == "Namespace" and inventory.marks(one)):
                left.add(line)
        return left == expected

    try:
        story.until(is_clean, "nothing is left")
    finally:
        assert left == expected


def _restart_unguarded(story: Story) -> None:
    for agent in _restarted(story):
        assert "initContainers" not in agent["spec"]
        name = agent["metadata"]["name"]
        story.await_said(name, _READ, is_text("water the plants"), "it runs unguarded")


def _restart_guarded(story: Story) -> None:
    for agent in _restarted(story):
        name = agent["metadata"]["name"]
        story.await_said(name, _READ, is_withheld, "it is guarded, by the policy of before")


def _restarted(story: Story) -> list[Line]:
    """The agents' pods, all made anew."""
    before = set(story.pods("app=agent"))
    story.kubectl("rollout", "restart", "deployment/agent", "-n", story.namespace)
    story.kubectl("rollout", "status", "deployment/agent", "-n", story.namespace, "--timeout=60s")
    story.until(lambda: before.isdisjoint(story.pods("app=agent")), "those of before are gone")
    return [story.pod(name) for name in story.pods("app=agent")]


def _sidecars(pod: Line) -> list[str]:
    inits = pod["spec"].get("initContainers", [])
    return [one["image"] for one in inits if one["name"] == names.SIDECAR_CONTAINER]


def _image(values: Values) -> str:
    chosen = values["image"]["sidecar"]
    return f"{chosen['repository']}:{chosen['tag']}"
