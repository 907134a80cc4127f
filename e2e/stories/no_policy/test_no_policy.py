import pytest

from e2e.stories.ground import Story, calls, is_text, is_withheld

_READ = "files.read"


@pytest.mark.promise("K5")
def test_an_agent_that_was_there_before_its_policy_obeys_it(story: Story) -> None:
    """Issue 6: what nobody allowed is refused; a policy is obeyed without a restart."""
    story.apply("tools", "source")
    wanted = calls({"source": "files", "tool": "read", "arguments": {"name": "notes.txt"}})
    story.apply("agent", NAME="agent", CALLS=wanted)
    story.ready("pod/agent")
    story.await_said("agent", _READ, is_withheld, "nobody allowed anything")
    assert {line["reason"] for line in story.decisions("agent", _READ)} == {"no-policy"}
    assert story.done("tools", "read") == []
    before = story.pod("agent")["metadata"]["uid"]
    story.apply("policy")
    story.await_said("agent", _READ, is_text("water the plants"), "it may read")
    after = story.pod("agent")
    assert after["metadata"]["uid"] == before
    statuses = after["status"]
    [agent], [sidecar] = statuses["containerStatuses"], statuses["initContainerStatuses"]
    assert (agent["restartCount"], sidecar["restartCount"]) == (0, 0)
