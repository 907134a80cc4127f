import time

import pytest

from e2e.stories.ground import Story, calls, is_text, is_withheld

_READ = "files.read"


@pytest.mark.promise("K4")
def test_a_change_is_obeyed_by_a_running_agent(story: Story) -> None:
    """Issue 6: policy change while running; the pod is the same one throughout."""
    story.apply("tools", "source")
    story.apply("policy", ACTION="Allow")
    wanted = calls({"source": "files", "tool": "read", "arguments": {"name": "notes.txt"}})
    story.apply("agent", NAME="agent", CALLS=wanted)
    story.ready("pod/agent")
    uid = story.pod("agent")["metadata"]["uid"]
    story.await_said("agent", _READ, is_text("water the plants"), "a file is read")
    for action, claim in (("Deny", is_withheld), ("Allow", is_text("water the plants"))):
        changed = time.time()
        story.apply("policy", ACTION=action)
        found = story.await_said("agent", _READ, claim, f"it obeys {action}", since=changed,
                                 timeout_s=60)  # fmt: skip
        assert found["at"] - changed < 30
    assert story.pod("agent")["metadata"]["uid"] == uid
