import json
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.cluster import binaries, helm
from e2e.stories.ground import Story, calls, is_text
from e2e.stories.releases import NAME, NAMESPACE, Release


@pytest.mark.promise("K11")
def test_what_was_installed_finds_itself_in_order(release: Release) -> None:
    """Issue 6: install; `helm test` asks for a sidecar and gets one."""
    shown = helm.of_admin(release.cluster)("test", NAME, "-n", NAMESPACE, "--timeout=90s")
    assert "Succeeded" in shown
    assert _plugin(release, "check", "--release-namespace", NAMESPACE).returncode == 0


@pytest.mark.promise("K5")
def test_status_says_what_is_guarded(story: Story, release: Release) -> None:
    """Issue 6: the plugin on a real cluster with real pods."""
    story.apply("tools", "source", "policy")
    wanted = calls({"source": "files", "tool": "read", "arguments": {"name": "notes.txt"}})
    story.apply("agent", NAME="agent", CALLS=wanted)
    story.ready("pod/agent")
    story.await_said("agent", "files.read", is_text("water the plants"), "an agent works")
    done = _plugin(release, "status", "-n", story.namespace, "-o", "json")
    assert done.returncode == 0, done.stderr
    shown = json.dumps(json.loads(done.stdout))
    assert story.namespace in shown
    assert "Cooperative" in shown


def _plugin(release: Release, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`kubectl mesh7 …` as the administrator."""
    here = Path(sys.executable).parent
    return subprocess.run(
        ["kubectl", "mesh7", *arguments, f"--kubeconfig={release.cluster.admin}"],
        env={"PATH": f"{here}:{binaries.folder()}:/usr/bin:/bin", "HOME": str(release.cluster.folder)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
