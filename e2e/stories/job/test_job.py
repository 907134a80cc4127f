import pytest

from e2e.stories.ground import Story, is_text, is_withheld


@pytest.mark.promise("K5")
def test_a_job_finishes_and_its_init_container_is_guarded_too(story: Story) -> None:
    """Issue 6: Jobs finish; what runs before the agent is governed as well."""
    story.apply("tools", "source", "policy")
    story.ready("pod/tools")
    story.apply("job")
    story.kubectl.wait("condition=Complete", "job/once", f"-n={story.namespace}", timeout_s=90)
    [pod] = story.pods("app=once")
    [read] = story.said(pod, "files.read")
    [refused] = story.said(pod, "files.delete")
    assert is_text("water the plants")(read)
    assert is_withheld(refused)
    [before] = [line for line in story.lines(pod, "before") if line.get("call") == "files.read"]
    assert is_text("42")(before)
    assert story.pod(pod)["status"]["phase"] == "Succeeded"
