"""What the operator is promised by an API server, asked of a real one."""

from collections.abc import AsyncIterator

import pytest

from e2e.api import controllers
from e2e.cluster.clusters import Cluster
from mesh7_operator import metrics
from mesh7_operator.cluster import connection
from mesh7_operator.cluster.api_server import ApiServer
from tests.operator.cluster import api_contract
from tests.operator.cluster.api_contract import Asked, Claim


@pytest.fixture(scope="module")
def prepared(cluster: Cluster) -> Cluster:
    controllers.install(cluster)
    return cluster


@pytest.fixture
async def there(prepared: Cluster, namespace: str) -> AsyncIterator[Asked]:
    joined = connection.from_kubeconfig(prepared.admin)
    async with ApiServer(joined, metrics.ApiMetrics(metrics.registry())) as api:
        yield Asked(connection=joined, api=api, namespace=namespace)


@pytest.mark.parametrize("claim", api_contract.CLAIMS, ids=lambda claim: claim.__name__)
async def test_a_real_api_server_keeps_the_contract(there: Asked, claim: Claim) -> None:
    """Issue 5: on a real API server; the fake of the unit tests is held to the same."""
    await claim(there)
