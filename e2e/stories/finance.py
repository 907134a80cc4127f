"""Fixtures of refunds: one shop for a session, and the people around it.

Nobody waits for another there, for each test has an order of its own.
"""

import secrets
from collections.abc import Iterator

import pytest

from e2e.stories import ground, refunds
from e2e.stories.ground import Story
from e2e.stories.refunds import FOLDER, Person
from e2e.stories.releases import Release
from mesh7_core import names


@pytest.fixture(scope="session")
def shop(release: Release) -> Iterator[Story]:
    """Billing, its policy, who may decide, and an agent whose sidecar can ask people."""
    labels = {names.INJECTION_LABEL: "on-request"}
    with ground.told(release.cluster, FOLDER, labels) as story:
        story.apply("billing", "policy", "people")
        story.ready("pod/billing")
        refunds.add_agent(story, refunds.AGENT)
        yield story


@pytest.fixture
def order() -> str:
    """One that nobody has spoken of yet."""
    return f"order-{secrets.token_hex(4)}"


@pytest.fixture
def jane(shop: Story) -> Person:
    """Of finance."""
    return _person(shop, "jane", "finance")


@pytest.fixture
def joan(shop: Story) -> Person:
    """Of finance, too."""
    return _person(shop, "joan", "finance")


@pytest.fixture
def bob(shop: Story) -> Person:
    """Supports, and may look at everything."""
    return _person(shop, "bob", "support")


@pytest.fixture
def mallory(shop: Story) -> Person:
    """May approve by her role, and is in no group that a rule names."""
    return _person(shop, "mallory", "marketing")


def _person(shop: Story, name: str, group: str) -> Person:
    return Person(cluster=shop.cluster, namespace=shop.namespace, name=name, groups=(group,))
