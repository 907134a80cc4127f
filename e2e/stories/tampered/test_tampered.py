import base64
import time

import pytest

from e2e.cluster.kubectl import KubectlError
from e2e.stories.ground import Story, calls, is_refused
from mesh7_core import names

_READ = "files.read"


@pytest.mark.promise("K9")
def test_a_forged_bundle_is_refused_ignored_and_repaired(story: Story) -> None:
    """Issue 6: tampered ConfigMap; by the role `edit`, then by an administrator."""
    story.apply("tools", "source")
    story.apply("policy", ACTION="Deny")
    wanted = calls({"source": "files", "tool": "read", "arguments": {"name": "notes.txt"}})
    story.apply("agent", NAME="agent", CALLS=wanted)
    story.ready("pod/agent")
    story.await_said("agent", _READ, is_refused("denied-by-rule"), "nothing is read")
    where = ("configmap", names.BUNDLE_CONFIG_MAP, "-n", story.namespace)
    forged = base64.b64encode(b"forged").decode()
    patch = f'{{"binaryData": {{"{names.BUNDLE_KEY}": "{forged}"}}}}'
    editor = story.editor()
    with pytest.raises(KubectlError, match="written and deleted by mesh7's controller alone"):
        editor("patch", *where, "--type=merge", "-p", patch)
    policies = ("validatingadmissionpolicybinding", "mesh7-bundle")
    binding = story.kubectl("get", *policies, "-o", "yaml")
    story.kubectl("delete", *policies)
    try:
        story.until(lambda: _is_patched(story, where, patch), "the API server forgets the policy")
        began = time.time()
        story.until(
            lambda: story.kubectl.json("get", *where)["binaryData"][names.BUNDLE_KEY] != forged,
            "the controller undoes it",
        )
    finally:
        story.cluster.apply(binding)
    story.await_said("agent", _READ, is_refused("denied-by-rule"), "still denied", since=began + 2)
    assert story.done("tools", "read") == []


def _is_patched(story: Story, where: tuple[str, ...], patch: str) -> bool:
    try:
        story.kubectl("patch", *where, "--type=merge", "-p", patch)
    except KubectlError:
        return False
    return True
