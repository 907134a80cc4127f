import time

import pytest

from e2e.cluster.kubectl import KubectlError
from e2e.stories.ground import Story, calls, is_refused, is_text
from e2e.stories.releases import Release

_READ, _COUNT = "files.read", "files.count"
_PROGRAMS = {"controller": 2, "injector": 2, "exchange": 2}
_AWAY_S = 120.0


@pytest.mark.promise("K8")
@pytest.mark.timeout(400)
def test_agents_go_on_while_the_operator_is_away(story: Story, release: Release) -> None:
    """Issue 6: operator scaled to zero for two minutes."""
    story.apply("tools", "source")
    story.apply("policy", ACTION="Allow")
    wanted = calls(
        {"source": "files", "tool": "read", "arguments": {"name": "notes.txt"}},
        {"source": "files", "tool": "count"},
    )
    story.apply("agent", NAME="agent", CALLS=wanted)
    story.ready("pod/agent")
    story.await_said("agent", _READ, is_text("water the plants"), "a file is read")
    try:
        for program in _PROGRAMS:
            release.scale(program, 0)
        away = time.time()
        story.apply("policy", ACTION="Allow")
        with pytest.raises(KubectlError, match="failed calling webhook"):
            story.apply("agent", NAME="another", CALLS=wanted)
        with pytest.raises(KubectlError, match="failed calling webhook"):
            story.apply("policy", ACTION="Deny")
        story.until(lambda: time.time() - away > _AWAY_S, "two minutes are over", _AWAY_S + 10)
        since = time.time() - 5
        story.await_said("agent", _READ, is_text("water the plants"), "it goes on", since=since)
        story.await_said("agent", _COUNT, is_refused("limit-exceeded"), "limits hold", since=since)
        assert not [line for line in story.said("agent", _READ, since=away)
                    if not is_text("water the plants")(line)]  # fmt: skip
    finally:
        for program, replicas in _PROGRAMS.items():
            release.scale(program, replicas)
    changed = time.time()
    story.apply("policy", ACTION="Deny")
    story.await_said("agent", _READ, is_refused("denied-by-rule"), "it obeys", since=changed)
    story.apply("agent", NAME="another", CALLS=wanted)
    story.ready("pod/another")
