import json
import urllib.request

import pytest

from e2e.cluster.kubectl import KubectlError
from e2e.stories.ground import Story, is_text

_WAYS = {"curl", "tcp", "tcp6", "udp", "udp6", "raw", "name", "bound"}
"""Of `programs/ways_out.py`."""
_STRICT = {
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}
_UNDOING = {
    "must-run-as-other-user": {**_STRICT, "runAsNonRoot": False, "runAsUser": 0},
    "user-conflict": {**_STRICT, "runAsUser": 77007},
    "escalation": {**_STRICT, "allowPrivilegeEscalation": True},
    "capability": {**_STRICT, "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}},
}


@pytest.fixture
def enforced(story: Story) -> Story:
    """The same namespace, at the highest level."""
    story.raise_level("Enforced")
    story.apply("tools", "source", "policy")
    story.ready("pod/tools")
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
        shown = _tried(story, "agent", container)
        assert shown.keys() == _WAYS
        assert [way for way, came in shown.items() if came == "OUT"] == [], shown
    # Where nobody enforces anything, so that the attempts mean something.
    shown = _tried(story, "tools", "tools")
    assert {way for way, came in shown.items() if came != "OUT"} <= {"raw"}, shown
    address = story.pod("agent")["status"]["podIP"]
    with urllib.request.urlopen(f"http://{address}:8080/", timeout=5) as answer:
        assert answer.status == 200


@pytest.mark.promise("K13")
def test_a_job_finishes_at_the_highest_level_too(enforced: Story) -> None:
    """Issue 6: Jobs finish; neither sidecar nor rules keep one running."""
    story = enforced
    story.apply("job")
    story.kubectl.wait("condition=Complete", "job/once", f"-n={story.namespace}", timeout_s=90)
    [pod] = story.pods("app=once")
    [read] = story.said(pod, "files.read")
    assert is_text("water the plants")(read)
    found = story.pod(pod)
    assert found["status"]["phase"] == "Succeeded"
    assert found["metadata"]["annotations"]["mesh7.dev/enforcement"] == "Enforced"
    first, *_ = found["spec"]["initContainers"]
    assert first["name"] == "mesh7-enforce"


@pytest.mark.promise("K13")
def test_a_pod_that_could_undo_it_is_refused(enforced: Story) -> None:
    """Issue 6: admission refuses what undoes it; the level is never overstated."""
    for reason, security in _UNDOING.items():
        with pytest.raises(KubectlError, match=reason):
            enforced.apply("undoing", SECURITY=json.dumps(security))
    assert enforced.pods("app=agent") == []


def _tried(story: Story, pod: str, container: str) -> dict[str, str]:
    """What comes of each way that a program in the container tries."""
    address = story.pod("tools")["status"]["podIP"]
    asked = ("python3", "/programs/ways_out.py", address)
    found: dict[str, str] = json.loads(story.run(pod, *asked, container=container, timeout_s=90))
    return found
