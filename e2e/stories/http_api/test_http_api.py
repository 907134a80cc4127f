import json

import pytest

from e2e.stories.ground import Story, calls

# `grep` reads what it may; the file that it has to find proves that it looks.
_SEARCH = """
mark=$(mktemp); echo first-key > $mark
grep -rls first-key / --exclude-dir=sys --exclude-dir=proc | sed "s#$mark#the mark#"
cat /proc/*/environ | grep first-key
true
"""


@pytest.mark.promise("K5")
def test_a_plain_api_is_guarded_and_its_key_rotates(story: Story) -> None:
    """Issue 6: an HTTP API guarded the same way; its credential rotated without a restart."""
    story.apply("credential", KEY="first-key")
    story.apply("shop", "policy")
    wanted = calls({"http": "shop/items"}, {"http": "shop/orders", "method": "POST"})
    story.apply("agent", NAME="buyer", CALLS=wanted)
    story.ready("pod/buyer")
    story.await_said("buyer", "shop/items", lambda line: line.get("status") == 200, "it may look")
    refused = story.await_said(
        "buyer", "shop/orders", lambda line: line.get("status") == 403, "it may not order"
    )
    assert "denied-by-default" in refused["text"]
    assert story.done("shop", "POST /orders") == []
    assert {line["authorization"] for line in story.done("shop", "GET /items")} == {
        "Bearer first-key"
    }
    assert story.run("buyer", "sh", "-c", _SEARCH).splitlines() == ["the mark"]

    story.apply("credential", KEY="second-key")
    story.until(
        lambda: story.done("shop", "GET /items")[-1]["authorization"] == "Bearer second-key",
        "the sidecar sends the new key",
        timeout_s=110,
    )
    statuses = story.pod("buyer")["status"]
    restarts = [
        one["restartCount"]
        for one in (*statuses["containerStatuses"], *statuses["initContainerStatuses"])
    ]
    assert set(restarts) == {0}, json.dumps(statuses)
