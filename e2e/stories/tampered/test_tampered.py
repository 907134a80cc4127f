import base64
import contextlib
import json
import time
from collections.abc import Iterator

import pytest

from e2e.cluster.kubectl import KubectlError
from e2e.stories.ground import Story, calls, is_withheld
from e2e.stories.releases import Release
from mesh7_core import names

_READ = "files.read"
_FORGED = base64.b64encode(b"forged").decode()
_PATCH = json.dumps({"binaryData": {names.BUNDLE_KEY: _FORGED}})


@pytest.mark.promise("K9")
def test_a_forged_bundle_is_refused_ignored_and_repaired(story: Story, release: Release) -> None:
    """Issue 6: tampered ConfigMap; by the role `edit`, then by an administrator."""
    story.apply("tools", "source")
    story.apply("policy", ACTION="Deny")
    wanted = calls({"source": "files", "tool": "read", "arguments": {"name": "notes.txt"}})
    story.apply("agent", NAME="agent", CALLS=wanted)
    story.ready("pod/agent")
    story.await_said("agent", _READ, is_withheld, "nothing is read")
    where = ("configmap", names.BUNDLE_CONFIG_MAP, "-n", story.namespace)
    editor = story.editor()
    with pytest.raises(KubectlError, match="written and deleted by mesh7's controller alone"):
        editor("patch", *where, "--type=merge", "-p", _PATCH)
    # A controller would undo it before any kubelet brings it.
    with release.without("controller"), _without_policy(story):
        story.until(lambda: _is_patched(story, where), "the API server forgets the policy")
        # Its kubelet looks at a pod that changes at once.
        story.kubectl("annotate", "pod", "agent", "hurried=1", "-n", story.namespace)
        story.until(lambda: "is ignored (" in _log(story), "the sidecar tells of it")
        since = time.time()
        story.await_said("agent", _READ, is_withheld, "still denied", since=since)
    story.until(
        lambda: story.kubectl.json("get", *where)["binaryData"][names.BUNDLE_KEY] != _FORGED,
        "the controller undoes it",
    )
    assert story.done("tools", "read") == []


@contextlib.contextmanager
def _without_policy(story: Story) -> Iterator[None]:
    binding = ("validatingadmissionpolicybinding", "mesh7-bundle")
    written = story.kubectl.json("get", *binding)
    story.kubectl("delete", *binding)
    try:
        yield
    finally:
        about = written["metadata"]
        kept = {key: about[key] for key in ("name", "labels", "annotations") if key in about}
        story.kubectl("create", "-f", "-", stdin=json.dumps({**written, "metadata": kept}))


def _is_patched(story: Story, where: tuple[str, ...]) -> bool:
    try:
        story.kubectl("patch", *where, "--type=merge", "-p", _PATCH)
    except KubectlError:
        return False
    return True


def _log(story: Story) -> str:
    return story.kubectl("logs", "agent", "-c", names.SIDECAR_CONTAINER, "-n", story.namespace)
