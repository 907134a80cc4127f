import re

import pytest

from e2e.cluster import helm
from e2e.stories import plugin
from e2e.stories.ground import Story, calls, is_text
from e2e.stories.releases import NAME, NAMESPACE, Release


@pytest.mark.promise("K11")
def test_what_was_installed_finds_itself_in_order(release: Release) -> None:
    """Issue 6: install; `helm test` asks for a sidecar and gets one."""
    shown = helm.of_admin(release.cluster)("test", NAME, "-n", NAMESPACE, "--timeout=90s")
    assert "Succeeded" in shown
    asked = ("check", "--wait", "30s", "--release-namespace", NAMESPACE)
    done = plugin.run(release.cluster, *asked)
    assert done.returncode == 0, done.stdout
    assert "fatal" not in done.stdout


@pytest.mark.promise("K5")
def test_status_says_what_is_guarded(story: Story) -> None:
    """docs/reference/kubectl-mesh7.md, `kubectl mesh7 status`: each column, of a real pod."""
    story.apply("tools", "source", "policy")
    wanted = calls({"source": "files", "tool": "read", "arguments": {"name": "notes.txt"}})
    story.apply("agent", NAME="agent", CALLS=wanted)
    story.ready("pod/agent")
    story.await_said("agent", "files.read", is_text("water the plants"), "an agent works")
    line = re.compile(
        rf"{story.namespace} +on-request +Cooperative +1/1 +Cooperative +0 +\d{{13}} +1/1 +1/1 +-"
    )
    # A sidecar's report takes its time to be counted.
    story.until(lambda: line.search(_status(story)) is not None, "one sidecar is current")
    pod = rf"{story.namespace} +agent +default +yes +Cooperative +yes +\S+/mesh7-sidecar:\S+ +-"
    assert re.search(pod, _status(story, "-o", "wide"))


def _status(story: Story, *further: str) -> str:
    done = plugin.run(story.cluster, "status", "-n", story.namespace, *further)
    assert done.returncode == 0, done.stderr
    return done.stdout
