"""Listeners of the operator's programs: probes and metrics, TLS, and an end that loses no request.

`serve_probes` is what the kubelet and Prometheus ask; `listen` is for a program's own doors.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import prometheus_client
from aiohttp import web
from prometheus_client import exposition

from mesh7_core import errors
from mesh7_operator import settings
from mesh7_operator.accepting import Acceptor, Bounds

Claim = Callable[[], tuple[bool, Mapping[str, object]]]
"""Whether it holds, and what people want to know about it; asked on the event loop, at once."""

_LOG: Final = logging.getLogger(__name__)
_BOUNDS: Final = Bounds()
_IN_FLIGHT_S: Final = 10.0
"""How long requests that are being answered may take when the listener closes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """What is answered beside the program's own work; nothing secret, nothing that resolves.

    Attributes:
        registry: what `/metrics` shows.
        healthy: `/healthz`; a no gets the process restarted.
        ready: `/readyz`; a no takes it out of its Service.
    """

    registry: prometheus_client.CollectorRegistry
    healthy: Claim
    ready: Claim


class Listener:
    """An open socket and the application behind it."""

    def __init__(
        self, runner: web.AppRunner, acceptor: Acceptor, address: settings.Address
    ) -> None:
        self._runner = runner
        self._acceptor = acceptor
        self.address = address
        """Where it listens; the port that was found where port 0 was asked for."""

    async def drain(self, grace_s: float) -> None:
        """Serve on for a while, for Services learn late that a pod ends; then close."""
        await asyncio.sleep(grace_s)
        await self.close()

    async def close(self) -> None:
        """Take no more; requests in flight get ten seconds."""
        await self._acceptor.close()
        await self._runner.cleanup()


async def listen(
    app: web.Application,
    address: settings.Address,
    tls: ssl.SSLContext | None = None,
    bounds: Bounds = _BOUNDS,
) -> Listener:
    """Open a listener.

    Args:
        app: what answers.
        address: port 0 takes any free one.
        tls: None = plain. `load_cert_chain` on it serves a new certificate from then on.
        bounds: how many connections it takes.

    Raises:
        SettingsError: the address is taken or not ours.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_IN_FLIGHT_S)
    await runner.setup()
    if runner.server is None:
        raise AssertionError
    try:
        acceptor = Acceptor(address, runner.server, tls, bounds)
    except OSError as error:
        await runner.cleanup()
        raise errors.SettingsError(f"`{address}`: cannot listen there: {error}") from error
    return Listener(runner, acceptor, settings.Address(address.host, acceptor.port))


async def serve_probes(address: settings.Address, probes: Probes) -> Listener:
    """Answer `/healthz`, `/readyz` and `/metrics`, plain."""
    listener = await listen(probes_app(probes), address)
    _LOG.info("probes and metrics are served", extra={"address": str(listener.address)})
    return listener


def probes_app(probes: Probes) -> web.Application:
    """The same as an application, for a program that has one listener for everything."""
    app = web.Application()
    app.router.add_get("/healthz", _claimed(probes.healthy))
    app.router.add_get("/readyz", _claimed(probes.ready))
    app.router.add_get("/metrics", _measured(probes.registry))
    return app


def _claimed(claim: Claim) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        holds, details = claim()
        return web.json_response({"ok": holds, **details}, status=200 if holds else 503)

    return answer


def _measured(
    registry: prometheus_client.CollectorRegistry,
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        encode, content_type = exposition.choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    return answer
