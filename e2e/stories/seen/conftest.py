from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.stories import ground, refunds
from e2e.stories.ground import Story
from e2e.stories.refunds import Person
from e2e.stories.releases import Release
from mesh7_core import names
from mesh7_core.injection import asked
from tests.peers.phoenix import Phoenix


@pytest.fixture(scope="module")
def seen(release: Release, backend: Phoenix) -> Iterator[Story]:
    """A shop of which every call is traced, by its namespace's annotation."""
    labels = {names.INJECTION_LABEL: "on-request"}
    with ground.told(release.cluster, Path(__file__).parent, labels) as story:
        story.kubectl("annotate", "namespace", story.namespace, f"{asked.TRACE_SHARE}=1")
        story.apply("billing", COLLECTOR=backend.address)
        story.apply("policy", "people")
        story.ready("pod/billing")
        refunds.add_agent(story, refunds.AGENT, COLLECTOR=backend.address)
        yield story


@pytest.fixture
def jane(seen: Story) -> Person:
    """Of finance."""
    return _person(seen, "jane", "finance")


@pytest.fixture
def alice(seen: Story) -> Person:
    """Of compliance: she reads the audit, and may do nothing else."""
    return _person(seen, "alice", "compliance")


def _person(seen: Story, name: str, group: str) -> Person:
    return Person(cluster=seen.cluster, namespace=seen.namespace, name=name, groups=(group,))
