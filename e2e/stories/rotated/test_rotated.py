import time

import pytest

from e2e.stories import loads
from e2e.stories.ground import Story, calls, is_text
from e2e.stories.releases import Release
from mesh7_operator.authority import certificates, kept

_COUNT = "files.count"
_PER_SECOND = 20.0
_EACH_S = 120.0


@pytest.mark.promise("K7")
@pytest.mark.timeout(480)
def test_certificates_rotate_under_load_without_a_failed_admission(
    story: Story, release: Release
) -> None:
    """Issue 6: certificate rotated under a creation load with no failed admission."""
    story.apply("tools", "source", "policy")
    story.apply("agent", NAME="agent", CALLS=calls({"source": "files", "tool": "count"}))
    story.ready("pod/agent")
    story.await_said("agent", _COUNT, is_text("counted"), "its limit is counted")
    with loads.creating(story.cluster, story.namespace, per_second=_PER_SECOND) as load:
        _rotate_authority(story, release)
        _rotate_leaves(story, release)
    assert load.troubles == []
    assert len(load.answers) > _PER_SECOND * 10
    _lose_redis(story, release)


def _rotate_authority(story: Story, release: Release) -> None:
    [old] = release.trusted()
    release.rotate_certificates()
    with release.hurried():
        story.until(
            lambda: (
                not any(
                    one is None or certificates.is_issued_by(one, old)
                    for one in release.certificates()
                )
            ),
            "every replica serves a certificate of another authority",
            _EACH_S,
        )
        story.until(
            lambda: old not in release.trusted(), "nobody trusts the old one any more", _EACH_S
        )
    assert len(release.trusted()) == 1


def _rotate_leaves(story: Story, release: Release) -> None:
    """As docs/administrator/certificates.md says: their Secrets are deleted."""
    before, trusted = release.certificates(), release.trusted()
    for program in kept.WITH_REDIS:
        release.kubectl("delete", "secret", program.secret)
    with release.hurried():
        story.until(
            lambda: release.certificates().isdisjoint({*before, None}),
            "every replica serves another certificate",
            _EACH_S,
        )
    assert release.trusted() == trusted


def _lose_redis(story: Story, release: Release) -> None:
    """A sidecar whose store stays away asks the exchange for another way, over TLS."""
    before = len(_handed(story, release))
    with release.without("redis"):
        story.until(lambda: len(_handed(story, release)) > before, "it gets an answer", _EACH_S)
    since = time.time()
    story.await_said("agent", _COUNT, is_text("counted"), "its limit is counted on", since=since)
    [sidecar] = story.pod("agent")["status"]["initContainerStatuses"]
    assert sidecar["restartCount"] == 0


def _handed(story: Story, release: Release) -> list[str]:
    """What the exchange says of credentials for pods of the story."""
    told = release.kubectl("logs", "-l", "app.kubernetes.io/name=mesh7-exchange", "--tail=-1")
    return [
        line
        for line in told.splitlines()
        if story.namespace in line and "credentials are handed out" in line
    ]
