import json
from pathlib import Path

import pytest

from e2e.api import late_webhook
from e2e.stories.ground import Story, calls, is_refused, is_text

_READ = "files.read"
_LATE = {
    "name": "late",
    "image": "localhost/agent:1",
    "imagePullPolicy": "Never",
    "command": ["python3", "/programs/agent.py"],
    "env": [{"name": "PERIOD", "value": "0.2"}],
    "volumeMounts": [{"name": "programs", "mountPath": "/programs"}],
}


@pytest.mark.promise("K5")
def test_what_another_injector_adds_is_guarded_too(story: Story, tmp_path: Path) -> None:
    """Issue 6: a container that a webhook after ours adds gets what the agent's own have."""
    story.apply("tools", "source", "policy")
    asked = {"source": "files", "tool": "read", "arguments": {"name": "ledger.txt"}}
    late = {**_LATE, "env": [*_LATE["env"], {"name": "CALLS", "value": json.dumps([asked])}]}
    with late_webhook.adding(story.cluster, story.namespace, tmp_path, container=late):
        wanted = {**asked, "arguments": {"name": "notes.txt"}}
        story.apply("agent", NAME="agent", CALLS=calls(wanted))
    story.ready("pod/agent")
    spec = story.pod("agent")["spec"]
    assert [one["name"] for one in spec["containers"]] == ["agent", "late"]
    assert [one["name"] for one in spec["initContainers"]] == ["mesh7"]
    story.await_said("agent", _READ, is_text("water the plants"), "the agent reads its notes")
    governed = is_refused("denied-by-rule")
    story.until(
        lambda: any(map(governed, story.said("agent", _READ, container="late"))),
        "what was added is governed",
    )
    assert {line["name"] for line in story.done("tools", "read")} == {"notes.txt"}
