import pytest

from e2e.cluster.kubectl import KubectlError
from e2e.stories.ground import Story


@pytest.fixture
def guarded(story: Story) -> Story:
    """The same namespace, at the level Guarded."""
    story.kubectl("label", "namespace", story.namespace, "mesh7.dev/enforcement=Guarded")
    story.until(
        lambda: "mesh7-guarded" in story.kubectl("get", "networkpolicy", "-n", story.namespace),
        "the controller writes the NetworkPolicy",
    )
    return story


@pytest.mark.promise("K13")
def test_what_the_release_cannot_give_is_not_said_to_be_given(guarded: Story) -> None:
    """Issue 6: never overstated; the Redis for trials speaks no TLS, so nothing is Guarded with it."""
    with pytest.raises(KubectlError, match="plain-redis"):
        guarded.apply("agent", NAME="agent", DROP="ALL")
