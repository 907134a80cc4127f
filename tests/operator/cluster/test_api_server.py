"""The client's manners towards an API server in trouble; a well one is asked in e2e/api."""

from collections.abc import AsyncIterator

import pytest

from mesh7_operator import metrics
from mesh7_operator.cluster import api_server, resources, shapes
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.cluster.connection import Connection
from tests.fakes import api_server as fakes


@pytest.fixture
async def troubled() -> AsyncIterator[fakes.ApiServer]:
    async with fakes.serving() as server:
        yield server


@pytest.fixture
def measured() -> metrics.ApiMetrics:
    return metrics.ApiMetrics(metrics.registry())


@pytest.fixture
async def api(troubled: fakes.ApiServer, measured: metrics.ApiMetrics) -> AsyncIterator[ApiServer]:
    async with ApiServer(troubled.connection, measured) as client:
        yield client


async def _names(api: ApiServer) -> list[object]:
    return [item["kind"] async for item in api.list(resources.GRANTS)]


async def test_a_list_outlasts_three_server_errors(
    troubled: fakes.ApiServer, api: ApiServer
) -> None:
    """Issue 5: 429 and 500 storms."""
    troubled.put(resources.GRANTS, {"metadata": {"namespace": "shop", "name": "one"}})
    troubled.troubles = [(500, {}), (503, {}), (429, {"Retry-After": "1"})]
    assert await _names(api) == ["Grant"]
    assert len(troubled.asked) == 4


async def test_what_is_remembered_is_listed_of_one_namespace(
    troubled: fakes.ApiServer, api: ApiServer
) -> None:
    """And outlasts trouble as any list does."""
    for namespace in ("shop", "other"):
        troubled.put(resources.GRANTS, {"metadata": {"namespace": namespace, "name": "one"}})
    troubled.troubles = [(500, {})]
    found = [one async for one in api.list_remembered(resources.GRANTS, "shop")]
    assert [shapes.text(one, "metadata", "namespace") for one in found] == ["shop"]
    assert len(troubled.asked) == 2


async def test_what_lasts_longer_is_said_and_counted(
    troubled: fakes.ApiServer, api: ApiServer, measured: metrics.ApiMetrics
) -> None:
    troubled.troubles = [(500, {})] * 4
    with pytest.raises(api_server.Unavailable, match=r"^list Grant: in trouble$"):
        await _names(api)
    assert measured.errors.labels("list", "Grant", "unavailable")._value.get() == 1  # noqa: SLF001


async def test_what_could_be_done_twice_is_tried_once(
    troubled: fakes.ApiServer, api: ApiServer
) -> None:
    """A create that answered 500 may have happened."""
    troubled.troubles = [(500, {})]
    with pytest.raises(api_server.Unavailable):
        await api.create(resources.EVENTS, "shop", {})
    assert len(troubled.asked) == 1


async def test_what_was_not_begun_is_tried_again(troubled: fakes.ApiServer, api: ApiServer) -> None:
    """429: the server says that it did nothing."""
    troubled.troubles = [(429, {}), (409, {})]
    with pytest.raises(api_server.Conflict):
        await api.create(resources.EVENTS, "shop", {})
    assert len(troubled.asked) == 2


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, api_server.Forbidden),
        (403, api_server.Forbidden),
        (404, api_server.NotFound),
        (410, api_server.Gone),
        (422, api_server.Invalid),
    ],
)
async def test_a_refusal_is_final_and_typed(
    troubled: fakes.ApiServer, api: ApiServer, status: int, error: type[api_server.ApiError]
) -> None:
    troubled.troubles = [(status, {})]
    with pytest.raises(error, match=r"^get Grant `shop/one`: in trouble$"):
        await api.get(resources.GRANTS, "shop", "one")
    assert len(troubled.asked) == 1


async def test_nobody_there_is_said_without_a_secret(measured: metrics.ApiMetrics) -> None:
    nowhere = Connection(url="http://127.0.0.1:1", tls=None, token="hidden")  # noqa: S106
    async with ApiServer(nowhere, measured) as api:
        with pytest.raises(api_server.Unavailable) as caught:
            await api.create(resources.EVENTS, "shop", {})
    assert caught.value.message.startswith("create Event `shop`: not answered: ")
    assert "hidden" not in repr(nowhere)
