import pytest

from e2e.cluster.kubectl import KubectlError
from e2e.stories.ground import Story, calls
from e2e.stories.releases import Release

_ONE = calls({"source": "files", "tool": "read", "arguments": {}})
_CONFIGURATION = ("mutatingwebhookconfiguration", "mesh7")


@pytest.mark.promise("K6")
def test_without_an_injector_enrolled_pods_are_refused_and_others_run(
    story: Story, release: Release
) -> None:
    """Issue 6: webhook down; recovery needs nobody."""
    elsewhere = release.cluster.new_namespace()
    release.scale("injector", 0)
    try:
        with pytest.raises(KubectlError, match="failed calling webhook"):
            story.apply("agent", NAME="agent", CALLS=_ONE)
        story.apply("tools")
        release.cluster.kubectl(
            "run", "free", "--image=localhost/pause:3", "--image-pull-policy=Never", "-n", elsewhere
        )
    finally:
        release.scale("injector", 2)
    release.cluster.kubectl.wait("condition=Ready", "pod/free", f"-n={elsewhere}")
    story.apply("agent", NAME="agent", CALLS=_ONE)
    story.ready("pod/agent")


@pytest.mark.promise("K6")
def test_without_its_configuration_enrolled_pods_are_still_refused(
    story: Story, release: Release
) -> None:
    """Issue 6: webhook configuration deleted; the admission policies hold by themselves."""
    elsewhere = release.cluster.new_namespace()
    written = release.cluster.kubectl("get", *_CONFIGURATION, "-o", "yaml")
    release.cluster.kubectl("delete", *_CONFIGURATION)
    try:
        story.until(lambda: _refusal(story).startswith("policy"), "the admission policy refuses it")
        release.cluster.kubectl(
            "run", "free", "--image=localhost/pause:3", "--image-pull-policy=Never", "-n", elsewhere
        )
    finally:
        release.cluster.apply(written)
    story.until(lambda: _refusal(story) == "", "it is guarded again")
    story.ready("pod/agent")
    inits = story.pod("agent")["spec"]["initContainers"]
    assert [one["name"] for one in inits] == ["mesh7"]


def _refusal(story: Story) -> str:
    try:
        story.apply("agent", NAME="agent", CALLS=_ONE)
    except KubectlError as error:
        return "policy" if "ValidatingAdmissionPolicy" in error.stderr else error.stderr
    return ""
