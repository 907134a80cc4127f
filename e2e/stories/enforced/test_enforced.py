import urllib.request

import pytest

from e2e.cluster.kubectl import KubectlError
from e2e.stories.ground import Story, is_text

_WAYS = ("curl", "tcp", "tcp6", "udp", "raw", "name", "bound")
"""Of `programs/ways_out.py`."""
_POSSIBLE = {"curl", "tcp", "tcp6", "udp", "name", "bound"}
"""Where nobody enforces anything, so that the attempts mean something."""


@pytest.fixture
def enforced(story: Story) -> Story:
    """The same namespace, at the highest level."""
    story.kubectl("label", "namespace", story.namespace, "mesh7.dev/enforcement=Enforced")
    story.apply("tools", "source", "policy")
    story.ready("pod/tools")
    story.until(
        lambda: "mesh7-guarded" in story.kubectl("get", "networkpolicy", "-n", story.namespace),
        "the controller writes the NetworkPolicy",
    )
    return story


@pytest.mark.promise("K13")
def test_nothing_leaves_an_enforced_pod_but_the_sidecar(enforced: Story) -> None:
    """Issue 6: Enforced against curl, Python sockets, UDP, IPv6, another UID."""
    story = enforced
    story.apply("agent")
    story.ready("pod/agent")
    annotations = story.pod("agent")["metadata"]["annotations"]
    assert annotations["mesh7.dev/enforcement"] == "Enforced"
    story.await_said("agent", "files.read", is_text("water the plants"), "the sidecar gets out")
    for container in ("agent", "asked"):
        shown = {way: _tried(story, "agent", container, way) for way in _WAYS}
        assert [way for way in _WAYS if "OUT" in shown[way]] == [], shown
    shown = {way: _tried(story, "tools", "tools", way) for way in _POSSIBLE}
    assert {way for way in _POSSIBLE if "OUT" in shown[way]} == _POSSIBLE, shown
    address = story.pod("agent")["status"]["podIP"]
    with urllib.request.urlopen(f"http://{address}:8080/", timeout=5) as answer:
        assert answer.status == 200


@pytest.mark.promise("K13")
def test_a_pod_that_could_undo_it_is_refused(enforced: Story) -> None:
    """Issue 6: admission refuses what undoes it; the level is never overstated."""
    with pytest.raises(KubectlError, match="must-run-as-other-user"):
        enforced.apply("root")


def _tried(story: Story, pod: str, container: str, way: str) -> str:
    address = story.pod("tools")["status"]["podIP"]
    service = ("service", "kube-dns", "-n", "kube-system")
    dns = story.kubectl("get", *service, "-o", "jsonpath={.spec.clusterIP}")
    asked = ("python3", "/programs/ways_out.py", way, address, dns)
    return story.run(pod, *asked, container=container)
