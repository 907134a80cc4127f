import pytest

from e2e.stories.ground import Story, calls, is_text, is_withheld

_READ, _DELETE = "files.read", "files.delete"


@pytest.mark.promise("P4")
def test_a_namespace_cannot_loosen_the_baseline(story: Story) -> None:
    """Issue 6: a baseline that the namespace tries and fails to loosen."""
    story.cluster.apply(story.written("baseline"))
    try:
        story.apply("tools", "source", "policy")
        wanted = calls(
            {"source": "files", "tool": "read", "arguments": {"name": "ledger.txt"}},
            {"source": "files", "tool": "delete", "arguments": {"name": "ledger.txt"}},
        )
        story.apply("agent", NAME="agent", CALLS=wanted)
        story.ready("pod/agent")
        story.await_said("agent", _READ, is_text("42"), "a file is read")
        story.await_said("agent", _DELETE, is_withheld, "nothing is deleted")
        [denied, *_] = story.decisions("agent", _DELETE)
        assert denied["rules"] == ["mesh7-system/no-deleting/deleting"]
        assert story.done("tools", "delete") == []
    finally:
        story.kubectl("delete", "agentpolicy", "no-deleting", "-n", "mesh7-system")
