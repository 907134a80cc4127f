"""What the operator is promised by an API server, asked of the fake that unit tests use."""

from collections.abc import AsyncIterator

import pytest

from mesh7_operator import metrics
from mesh7_operator.cluster import resources
from mesh7_operator.cluster.api_server import ApiServer
from tests.fakes import api_server as fakes
from tests.operator.cluster import api_contract
from tests.operator.cluster.api_contract import Asked, Claim


@pytest.fixture
async def there() -> AsyncIterator[Asked]:
    measured = metrics.ApiMetrics(metrics.registry())
    async with fakes.serving() as server, ApiServer(server.connection, measured) as api:
        server.put(resources.NAMESPACES, {"metadata": {"name": "shop"}})
        yield Asked(connection=server.connection, api=api, namespace="shop")


@pytest.mark.parametrize("claim", api_contract.CLAIMS, ids=lambda claim: claim.__name__)
async def test_the_fake_keeps_the_contract_of_a_real_one(there: Asked, claim: Claim) -> None:
    """The house rule: fakes pass the same contract suite; e2e/api has the real one."""
    await claim(there)
