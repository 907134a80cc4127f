import contextlib
from collections.abc import Iterator

import pytest

from e2e.stories.ground import Story, calls
from e2e.stories.releases import Release
from mesh7_core import names

_ONE = calls({"source": "files", "tool": "read", "arguments": {}})
_CONFIGURATION = ("mutatingwebhookconfiguration", names.WEBHOOKS)


@pytest.fixture
def elsewhere(release: Release) -> Iterator[str]:
    """A namespace that has nothing to do with mesh7."""
    namespace = release.cluster.new_namespace()
    yield namespace
    release.cluster.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.mark.promise("K6")
def test_without_an_injector_enrolled_pods_are_refused_and_others_run(
    story: Story, release: Release, elsewhere: str
) -> None:
    """Issue 6: webhook down; recovery needs nobody."""
    with release.without("injector"):
        assert "failed calling webhook" in _refusal(story)
        _run(release, elsewhere)
    story.until(lambda: _refusal(story) == "", "it is guarded again")
    story.ready("pod/agent")


@pytest.mark.promise("K6")
def test_without_its_configuration_enrolled_pods_are_still_refused(
    story: Story, release: Release, elsewhere: str
) -> None:
    """Issue 6: webhook configuration deleted; the admission policies hold by themselves."""
    with _deleted(release):
        story.until(lambda: "ValidatingAdmissionPolicy" in _refusal(story), "a policy refuses it")
        _run(release, elsewhere)
    story.until(lambda: _refusal(story) == "", "it is guarded again")
    story.ready("pod/agent")
    inits = story.pod("agent")["spec"]["initContainers"]
    assert [one["name"] for one in inits] == ["mesh7"]


@contextlib.contextmanager
def _deleted(release: Release) -> Iterator[None]:
    release.cluster.kubectl("delete", *_CONFIGURATION)
    try:
        yield
    finally:
        release.upgrade()


def _run(release: Release, namespace: str) -> None:
    """A pod elsewhere, that really starts."""
    release.cluster.kubectl(
        "run", "free", "--image=localhost/pause:3", "--image-pull-policy=Never", "-n", namespace
    )
    release.cluster.kubectl.wait("condition=Ready", "pod/free", "-n", namespace)


def _refusal(story: Story) -> str:
    return story.refusal("agent", NAME="agent", CALLS=_ONE)
