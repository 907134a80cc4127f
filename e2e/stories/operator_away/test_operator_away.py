import time

import pytest

from e2e.stories.ground import Story, calls, is_refused, is_text, is_withheld
from e2e.stories.releases import Release

_READ, _COUNT = "files.read", "files.count"
_AWAY_S = 120.0
_LOST = "failed calling webhook"


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
    with release.without("controller", "injector", "exchange"):
        away = time.time()
        assert _LOST in story.refusal("agent", NAME="another", CALLS=wanted)
        assert _LOST in story.refusal("policy", ACTION="Deny")
        story.until(lambda: time.time() - away > _AWAY_S, "two minutes are over", _AWAY_S + 10)
        since = time.time() - 5
        story.await_said("agent", _READ, is_text("water the plants"), "it goes on", since=since)
        story.await_said("agent", _COUNT, is_refused("limit-exceeded"), "limits hold", since=since)
        read = story.said("agent", _READ, since=away)
        assert [line for line in read if not is_text("water the plants")(line)] == []
        assert story.pods() == ["agent", "tools"]
    changed = time.time()
    # Ready replicas are known to the node's network a moment later.
    story.until(lambda: not story.refusal("policy", ACTION="Deny"), "it can be changed again")
    story.await_said("agent", _READ, is_withheld, "it obeys", since=changed)
    story.apply("agent", NAME="another", CALLS=wanted)
    story.ready("pod/another")
