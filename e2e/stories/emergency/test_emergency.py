import re
import shlex
import time
from pathlib import Path

import pytest

from e2e.cluster import helm
from e2e.cluster.kubectl import KubectlError
from e2e.stories import plugin
from e2e.stories.ground import Story, calls, is_text, is_withheld
from e2e.stories.releases import CHARTS, Release

_PAGE = Path(__file__).parents[3] / "docs" / "administrator" / "emergency.md"
_READ = "files.read"
_WANTED = calls({"source": "files", "tool": "read", "arguments": {"name": "notes.txt"}})


@pytest.mark.promise("K6")
def test_one_command_lets_pods_start_and_one_puts_it_back(
    story: Story, enabled_story: Story, release: Release
) -> None:
    """docs/administrator/emergency.md, its commands as they stand there."""
    story.apply("tools", "source")
    story.apply("policy", ACTION="Allow")
    story.apply("agent", NAME="agent", CALLS=_WANTED)
    story.ready("pod/agent")
    story.await_said("agent", _READ, is_text("water the plants"), "a file is read")
    program, *arguments = _command("kubectl delete mutatingwebhookconfiguration")
    assert program == "kubectl"
    release.cluster.kubectl(*arguments)
    try:
        for one in (story, enabled_story):
            _await_made(one, "unguarded", 5)
        story.apply("agent", NAME="slipped", CALLS=_WANTED)
        changed = time.time()
        story.apply("policy", ACTION="Deny")
        story.await_said("agent", _READ, is_withheld, "it obeys", since=changed)
    finally:
        _put_back(release)
    for one in (story, enabled_story):
        _await_made(one, "guarded", 60)
    found = plugin.run(release.cluster, "check")
    assert f"{story.namespace}/slipped" in found.stdout
    assert f"{story.namespace}/agent" not in found.stdout


def _put_back(release: Release) -> None:
    program, word, name, chart, *flags = _command("helm upgrade")
    assert (program, chart) == ("helm", "charts/mesh7")
    helm.of_admin(release.cluster)(word, name, str(CHARTS / "mesh7"), *flags)


def _command(begun: str) -> list[str]:
    """The one that begins so."""
    [found] = re.findall(rf"^{begun}.*$", _PAGE.read_text(), re.MULTILINE)
    return shlex.split(found)


def _await_made(story: Story, what: str, timeout_s: float) -> None:
    story.until(lambda: _made(story) == what, f"a pod would be {what}", timeout_s)


def _made(story: Story) -> str:
    """What would become of a pod that wants a guard: `guarded`, `unguarded` or the refusal."""
    try:
        pod = story.kubectl.json(
            "create", "--dry-run=server", "-f", "-", "-n", story.namespace,
            stdin=story.written("agent", NAME="asked", CALLS=_WANTED),
        )  # fmt: skip
    except KubectlError as error:
        return error.stderr
    return "guarded" if "initContainers" in pod["spec"] else "unguarded"
