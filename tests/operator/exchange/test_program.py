"""The exchange as a whole: its settings, the API server over HTTP, probes, and a quiet end."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from mesh7_core import errors
from mesh7_operator import serving, settings
from mesh7_operator.cluster import resources
from mesh7_operator.exchange import door, issuer, program
from tests.operator.exchange import certificates
from tests.operator.exchange.issuing import FakeCluster, Time, token_of
from tests.operator.exchange.test_service import MASTER
from tests.peers import ports as loopback


class HttpCluster:
    """The cluster of our own behind HTTP.

    Attributes:
        reviewing: set when a review has begun; reviews go on when `may_review` is set.
    """

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.reviewing, self.may_review = asyncio.Event(), asyncio.Event()
        self.may_review.set()
        self.url = ""

    async def _document(self, request: web.Request) -> web.Response:
        return web.json_response(await self.cluster.fetch(request.path))

    async def _namespace(self, request: web.Request) -> web.Response:
        labels = self.cluster.labels.get(request.match_info["name"])
        if labels is None:
            return web.json_response({"message": "not found"}, status=404)
        return web.json_response({"metadata": {"labels": labels}})

    async def _review(self, request: web.Request) -> web.Response:
        self.reviewing.set()
        await self.may_review.wait()
        from_api = self.cluster.create
        return web.json_response(await from_api(_REVIEWS, "", await request.json()))

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["HttpCluster"]:
        app = web.Application()
        app.router.add_get(issuer.CONFIGURATION, self._document)
        app.router.add_get(issuer.KEYS, self._document)
        app.router.add_get("/api/v1/namespaces/{name}", self._namespace)
        app.router.add_post("/apis/authentication.k8s.io/v1/tokenreviews", self._review)
        listener = await serving.listen(app, settings.Address("127.0.0.1", 0))
        self.url = f"http://{listener.address}"
        yield self
        await listener.close()


_REVIEWS = resources.TOKEN_REVIEWS


@dataclass(slots=True)
class Running:
    """The program while it runs."""

    chosen: settings.Exchange
    session: aiohttp.ClientSession
    stopping: asyncio.Event
    task: asyncio.Task[None]

    async def post(self) -> tuple[int, object]:
        url = f"https://{self.chosen.listen}{door.PATH}"
        headers = {"Authorization": f"Bearer {token_of()}"}
        async with self.session.post(url, headers=headers) as found:
            return found.status, await found.json(content_type=None)

    async def probe(self, path: str) -> tuple[int, str]:
        async with self.session.get(f"http://{self.chosen.metrics}{path}") as found:
            return found.status, await found.text()

    async def is_ready(self) -> bool:
        try:
            return (await self.probe("/readyz"))[0] == 200
        except aiohttp.ClientConnectionError:
            return False


@asynccontextmanager
async def running(
    folder: Path, url: str, ports: tuple[int, int], *, is_patient: bool = False
) -> AsyncIterator[Running]:
    """The program; a patient one serves on when it is told to end, longer than any test takes."""
    trusted = certificates.write_pair(folder / "tls.crt", folder / "tls.key")
    (folder / "master").write_bytes(MASTER)
    config = {
        "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "clusters": [{"name": "a", "cluster": {"server": url}}],
        "users": [{"name": "a", "user": {"token": "of-the-exchange"}}],
    }
    (folder / "kubeconfig").write_text(json.dumps(config))
    chosen = settings.Exchange(
        cluster=settings.Cluster(kubeconfig=folder / "kubeconfig"),
        listen=settings.Address("127.0.0.1", ports[0]),
        certificate=folder / "tls.crt",
        private_key=folder / "tls.key",
        redis=settings.RedisSettings(url="redis://redis.example:6379", nodes=()),
        master=folder / "master",
        metrics=settings.Address("127.0.0.1", ports[1]),
        grace_s=600.0 if is_patient else 0.0,
    )
    stopping = asyncio.Event()
    task = asyncio.create_task(program.run(chosen, Time().clock, stopping))
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cadata=trusted))
    async with aiohttp.ClientSession(connector=connector) as session:
        found = Running(chosen, session, stopping, task)
        async with asyncio.timeout(30):
            while not await found.is_ready():
                assert not task.done(), task.exception()
                await asyncio.sleep(0.01)
        yield found
        stopping.set()
        if is_patient:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture(name="ports")
def two_ports() -> tuple[int, int]:
    """Two that nobody holds."""
    return loopback.free(), loopback.free()


@pytest.mark.promise("K14")
async def test_it_serves_credentials_probes_and_metrics(
    tmp_path: Path, ports: tuple[int, int]
) -> None:
    async with (
        HttpCluster().opened() as cluster,
        running(tmp_path, cluster.url, ports) as exchange,
    ):
        status, found = await exchange.post()
        assert (status, isinstance(found, dict)) == (200, True)
        assert (await exchange.probe("/healthz"))[0] == 200
        _, text = await exchange.probe("/metrics")
        for line in (
            'mesh7_exchange_requests_total{outcome="handed"} 1.0',
            "mesh7_exchange_token_reviews_total 1.0",
            "mesh7_exchange_seconds_count 1.0",
            'mesh7_certificate_days{certificate="exchange"} 3',
        ):
            assert line in text, line


async def test_a_request_in_flight_is_answered_when_it_is_told_to_end(
    tmp_path: Path, ports: tuple[int, int]
) -> None:
    """Draining: a pod that ends costs no sidecar its credentials."""
    async with (
        HttpCluster().opened() as cluster,
        running(tmp_path, cluster.url, ports) as exchange,
    ):
        cluster.may_review.clear()
        asked = asyncio.create_task(exchange.post())
        await cluster.reviewing.wait()
        exchange.stopping.set()
        cluster.may_review.set()
        assert (await asked)[0] == 200
        await exchange.task


async def test_it_is_not_ready_before_it_knows_the_keys_nor_when_it_ends(
    tmp_path: Path, ports: tuple[int, int]
) -> None:
    async with (
        HttpCluster().opened() as cluster,
        running(tmp_path, cluster.url, ports, is_patient=True) as exchange,
    ):
        exchange.stopping.set()
        await asyncio.sleep(0)
        status, text = await exchange.probe("/readyz")
        assert (status, json.loads(text)) == (
            503, {"ok": False, "keys_known": True, "stopping": True},
        )  # fmt: skip


async def test_it_does_not_begin_with_settings_that_cannot_be(
    tmp_path: Path, ports: tuple[int, int]
) -> None:
    chosen = settings.Exchange(
        cluster=settings.Cluster(kubeconfig=tmp_path / "kubeconfig"),
        listen=settings.Address("127.0.0.1", ports[0]),
        certificate=tmp_path / "missing",
        private_key=tmp_path / "missing",
        redis=None,
    )
    with pytest.raises(errors.SettingsError, match="--certificate"):
        await program.run(chosen, Time().clock, asyncio.Event())
