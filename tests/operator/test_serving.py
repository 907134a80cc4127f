"""Listeners: probes answer what is claimed, and an end loses no request."""

import asyncio
from collections.abc import Mapping

import aiohttp
import pytest
from aiohttp import web

from mesh7_core import errors
from mesh7_operator import metrics, serving, settings

ANY_PORT = settings.Address("127.0.0.1", 0)


async def _get(address: settings.Address, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://{address}{path}") as answer:
        return answer.status, await answer.text()


async def test_probes_say_what_is_claimed_and_show_the_metrics() -> None:
    claims: dict[str, tuple[bool, Mapping[str, object]]] = {
        "healthy": (True, {"queue_age_s": 1.5}),
        "ready": (False, {}),
    }
    registry = metrics.registry()
    metrics.ControllerMetrics(registry).leader.set(1)
    probes = serving.Probes(
        registry=registry, healthy=lambda: claims["healthy"], ready=lambda: claims["ready"]
    )
    listener = await serving.serve_probes(ANY_PORT, probes)
    try:
        assert await _get(listener.address, "/healthz") == (200, '{"ok": true, "queue_age_s": 1.5}')
        assert await _get(listener.address, "/readyz") == (503, '{"ok": false}')
        status, text = await _get(listener.address, "/metrics")
        assert (status, "mesh7_leader 1.0\n" in text) == (200, True)
        assert (await _get(listener.address, "/"))[0] == 404
    finally:
        await listener.close()


async def test_a_request_in_flight_is_answered_before_the_listener_closes() -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        arrived.set()
        await go_on.wait()
        return web.Response(text="done")

    app = web.Application()
    app.router.add_get("/slow", slow)
    listener = await serving.listen(app, ANY_PORT)
    asked = asyncio.ensure_future(_get(listener.address, "/slow"))
    await arrived.wait()
    closing = asyncio.ensure_future(listener.drain(0.0))
    await asyncio.sleep(0)
    go_on.set()
    assert await asked == (200, "done")
    await closing
    with pytest.raises(aiohttp.ClientConnectorError):
        await _get(listener.address, "/slow")


async def test_an_address_that_is_taken_is_said() -> None:
    listener = await serving.listen(web.Application(), ANY_PORT)
    try:
        with pytest.raises(errors.SettingsError, match="cannot listen there"):
            await serving.listen(web.Application(), listener.address)
    finally:
        await listener.close()
