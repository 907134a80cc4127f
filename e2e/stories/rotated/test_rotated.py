import threading

import pytest

from e2e.cluster.kubectl import KubectlError
from e2e.stories.ground import Story
from e2e.stories.releases import Release

_POD = """
apiVersion: v1
kind: Pod
metadata: {{name: load-{number}, labels: {{mesh7.dev/inject: "true"}}}}
spec:
  containers:
  - {{name: agent, image: "localhost/pause:3", imagePullPolicy: Never}}
"""


@pytest.mark.promise("K7")
@pytest.mark.timeout(500)
def test_certificates_rotate_under_load_without_a_failed_admission(
    story: Story, release: Release
) -> None:
    """Issue 6: certificate rotated under a creation load with no failed admission."""
    refused: list[str] = []
    ended = threading.Event()
    made = 0

    def load() -> None:
        nonlocal made
        while not ended.wait(0.2):
            made += 1
            try:
                # What admission answers is all that counts here; nothing has to run.
                story.kubectl("create", "--dry-run=server", "-f", "-", "-n", story.namespace,
                              stdin=_POD.format(number=made))  # fmt: skip
            except KubectlError as error:
                refused.append(error.stderr)

    before = release.authorities()
    thread = threading.Thread(target=load)
    thread.start()
    try:
        release.rotate_certificates()
        story.until(
            lambda: release.authorities().isdisjoint(before),
            "every injector serves a certificate of the new authority",
            timeout_s=300,
        )
    finally:
        ended.set()
        thread.join()
    assert made > 50
    assert refused == []
