import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest

from e2e.stories.ground import Line, Story, is_text

_FOLLOWED = ("logs", "agent", "-c", "agent", "--follow")


@pytest.fixture
def agent(story: Story) -> Iterator[str]:
    """It waits for a slow tool, again and again."""
    story.apply("tools", "source", "policy")
    story.ready("pod/tools")
    story.apply("agent")
    story.ready("pod/agent")
    story.until(lambda: bool(story.done("tools", "slow begins")), "a call is under way")
    yield "agent"
    freed = '{"metadata": {"finalizers": null}}'
    story.kubectl("patch", "pod", "agent", "-n", story.namespace, "--type=merge", "-p", freed)


@pytest.mark.promise("K5")
def test_a_call_under_way_is_finished_before_the_pod_ends(story: Story, agent: str) -> None:
    """Issue 6: the sidecar outlives what it guards, so that nothing is cut off."""
    with ThreadPoolExecutor(1) as aside:
        log = aside.submit(story.kubectl, *_FOLLOWED, "-n", story.namespace)
        # Between two calls there would be nothing to finish.
        begun = len(story.done("tools", "slow begins"))
        story.until(lambda: len(story.done("tools", "slow begins")) > begun, "the next has begun")
        story.kubectl("delete", "pod", agent, "-n", story.namespace, "--wait=false")
        said = [json.loads(line) for line in log.result(timeout=60).splitlines()]
    story.until(lambda: len(_ended(story.pod(agent))) == 2, "both containers have ended")
    assert said[-1].get("done"), said
    assert is_text("slow, but done")(said[-2]), said
    begins, ends = (len(story.done("tools", f"slow {what}")) for what in ("begins", "ends"))
    assert begins == ends
    ended = _ended(story.pod(agent))
    assert {name: one["exitCode"] for name, one in ended.items()} == {"agent": 0, "mesh7": 0}
    assert _moment(ended["agent"]) <= _moment(ended["mesh7"])
    assert (_moment(ended["mesh7"]) - _moment(ended["agent"])).total_seconds() < 20


def _ended(pod: Line) -> dict[str, Any]:
    statuses = pod["status"]["containerStatuses"] + pod["status"]["initContainerStatuses"]
    states = {one["name"]: one["state"].get("terminated") for one in statuses}
    return {name: state for name, state in states.items() if state}


def _moment(state: Line) -> datetime:
    return datetime.fromisoformat(state["finishedAt"])
