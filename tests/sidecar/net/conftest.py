"""Listeners and upstreams on loopback, ended with the test."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from mesh7_sidecar.net import listener, origin, pool, sweep
from mesh7_sidecar.net.identity import always
from mesh7_sidecar.net.limits import Limits
from mesh7_sidecar.net.upstream import Terms
from tests.sidecar.net.parts import AGENT, Client, ScriptedServer, Steps

Listen = Callable[..., Awaitable[listener.Listener]]
Connect = Callable[[listener.Listener], Awaitable[Client]]
MakePool = Callable[..., pool.Pool]
Scripted = Callable[[Steps], Awaitable[ScriptedServer]]


@pytest.fixture
async def quick_sweep() -> sweep.Sweep:
    """A sweep that looks often, so that tests need not wait."""
    return sweep.Sweep(interval_s=0.01)


@pytest.fixture
async def listen(quick_sweep: sweep.Sweep) -> AsyncIterator[Listen]:
    """Start a listener with an app and, if need be, limits; on `bound`, else a free port."""
    started: list[listener.Listener] = []

    async def start(
        app: listener.App, limits: Limits | None = None, bound: socket.socket | None = None
    ) -> listener.Listener:
        bound = bound or listener.tcp_socket("127.0.0.1", 0)
        each = await listener.serve(app, [bound], always(AGENT), limits, quick_sweep)
        started.append(each)
        return each

    yield start
    for each in started:
        await each.close_gracefully(0)


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Open a raw connection to a listener."""
    opened: list[Client] = []

    async def start(server: listener.Listener) -> Client:
        host, port = server.addresses[0]
        client = Client(*await asyncio.open_connection(host, port))
        opened.append(client)
        return client

    yield start
    for client in opened:
        await client.closed()


@pytest.fixture
async def scripted() -> AsyncIterator[Scripted]:
    """Start a server that does what the test says for each connection."""
    started: list[ScriptedServer] = []

    async def start(steps: Steps) -> ScriptedServer:
        server = ScriptedServer(steps)
        await server.open()
        started.append(server)
        return server

    yield start
    for server in started:
        await server.close()
    await asyncio.sleep(0)


@pytest.fixture
async def make_pool(quick_sweep: sweep.Sweep) -> AsyncIterator[MakePool]:
    """A pool towards a URL, closed with the test."""
    made: list[pool.Pool] = []

    def make(url: str, **bounds: object) -> pool.Pool:
        terms = bounds.pop("terms", Terms())
        rule = bounds.pop("rule", origin.EVERYWHERE)
        each = pool.Pool(
            origin.origin_of(url),
            quick_sweep,
            terms,  # type: ignore[arg-type]  # popped from a mapping
            pool.PoolBounds(**bounds),  # type: ignore[arg-type]  # the same
            rule,  # type: ignore[arg-type]  # the same
        )
        made.append(each)
        return each

    yield make
    for each in made:
        each.close()
    await asyncio.sleep(0)
