import json

import pytest

from e2e.stories.ground import Story, calls


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
    seen = story.run("buyer", "sh", "-c", "env; cat /proc/1/environ; find / -xdev -name 'shop*'")
    assert "first-key" not in seen

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
