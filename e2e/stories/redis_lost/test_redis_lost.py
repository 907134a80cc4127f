import time

import pytest

from e2e.stories.ground import Story, calls, is_refused, is_text, is_withheld
from e2e.stories.releases import Release

_READ, _COUNT = "files.read", "files.count"


@pytest.mark.promise("K8")
def test_redis_is_killed_and_comes_back(story: Story, release: Release) -> None:
    """Issue 6: Redis killed and back; sidecars decide on, limits say what they are for."""
    story.apply("tools", "source", "policy")
    wanted = calls(
        {"source": "files", "tool": "read", "arguments": {"name": "notes.txt"}},
        {"source": "files", "tool": "count"},
    )
    story.apply("agent", NAME="agent", CALLS=wanted)
    story.ready("pod/agent")
    story.await_said("agent", _COUNT, is_text("counted"), "counts are kept")
    lost = time.time()
    with release.without("redis"):
        story.await_said("agent", _COUNT, is_refused("limit-unavailable"), "it closes", since=lost)
        since = time.time()
        story.await_said("agent", _READ, is_text("water the plants"), "others go on", since=since)
    back = time.time()
    story.await_said("agent", _COUNT, is_text("counted"), "counts are kept again", since=back)
    changed = time.time()
    story.kubectl("delete", "agentpolicy", "files", "-n", story.namespace)
    story.await_said("agent", _READ, is_withheld, "a change is obeyed", since=changed)
    [sidecar] = story.pod("agent")["status"]["initContainerStatuses"]
    assert sidecar["restartCount"] == 0
