import pytest

from e2e.stories.ground import Story, is_refused, is_text, is_withheld

_READ, _DELETE, _COUNT = "files.read", "files.delete", "files.count"


@pytest.mark.promise("K5")
def test_an_agent_is_allowed_denied_and_throttled(story: Story) -> None:
    """Issue 6: a real `mcp` client in a loop, a real MCP server, two replicas, one limit."""
    story.apply("tools", "source", "policy")
    story.ready("pod/tools")
    story.apply("agents")
    story.ready("deployment/agent")
    pods = story.pods("app=agent")
    assert len(pods) == 2
    for pod in pods:
        story.await_said(pod, _READ, is_text("water the plants"), "a file is read")
        refused = story.await_said(pod, _READ, is_refused("denied-by-rule"), "not the ledger")
        assert refused["rule"] == f"{story.namespace}/files/ledger"
        assert "the ledger is for people" in refused["refused"]
        story.await_said(pod, _DELETE, is_withheld, "nothing is deleted")
        assert story.decisions(pod, _DELETE)[0]["rules"] == [f"{story.namespace}/files/deleting"]
        story.await_said(pod, _COUNT, is_refused("limit-exceeded"), "it is throttled")
    allowed = [line for pod in pods for line in story.said(pod, _COUNT) if is_text("counted")(line)]
    assert len(allowed) == 10
    assert len(story.done("tools", "count")) == 10
    assert story.done("tools", "delete") == []
    assert {line["name"] for line in story.done("tools", "read")} == {"notes.txt"}
