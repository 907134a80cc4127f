"""The admin listener: whether the gateway lives and is ready. Nothing secret, nothing that acts."""

import socket
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final

from aiohttp import typedefs, web

Ready = Callable[[], tuple[bool, Mapping[str, object]]]
"""Whether calls are served, and what there is to say about it; called for each question."""

Started = Callable[[], bool]
"""Whether the data listener answers: at once with a bundle, after some time without one."""

Scrape = Callable[[str], Awaitable[tuple[str, bytes]]]
"""An `accept` header → content type and body of the metrics."""

_LOCAL_HOSTS: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
# Not Sec-Fetch-Mode: Node's fetch sends it too; browsers always send -Site with it.
_BROWSER_HEADERS: Final = ("Origin", "Sec-Fetch-Site", "Sec-Fetch-Dest")


class Admin:
    """A running admin listener."""

    def __init__(self, runner: web.AppRunner) -> None:
        self._runner = runner

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each socket."""
        return [(address[0], address[1]) for address in self._runner.addresses]

    async def close(self) -> None:
        """Stop; questions under way are answered."""
        await self._runner.cleanup()


def admin_app(
    ready: Ready,
    started: Started,
    hosts: Collection[str] | None = (),
    scrape: Scrape | None = None,
) -> web.Application:
    """The application; `hosts` are names besides the local ones under which it may be asked.

    The listening address belongs there, without port, IPv6 in brackets. None = under any: in a
    pod, where no browser runs, and where the API server's proxy asks under its own name.
    """
    known = None if hosts is None else _LOCAL_HOSTS | {host.lower() for host in hosts}
    app = web.Application(middlewares=[_guard(known)])

    async def healthz(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_request: web.Request) -> web.Response:
        is_ready, facts = ready()
        return web.json_response({"ready": is_ready, **facts}, status=200 if is_ready else 503)

    async def startz(_request: web.Request) -> web.Response:
        has_started = started()
        return web.json_response({"started": has_started}, status=200 if has_started else 503)

    async def metrics(request: web.Request) -> web.Response:
        if scrape is None:
            raise web.HTTPNotFound
        content_type, body = await scrape(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    app.router.add_get("/metrics", metrics)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/startz", startz)
    app.router.add_get("/readyz", readyz)
    return app


async def serve_admin(app: web.Application, sockets: Sequence[socket.socket]) -> Admin:
    """Serve `app` on bound sockets (see `listener.tcp_socket`)."""
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    for each in sockets:
        await web.SockSite(runner, each).start()
    return Admin(runner)


def _guard(hosts: frozenset[str] | None) -> typedefs.Middleware:
    @web.middleware
    async def guard(request: web.Request, handler: typedefs.Handler) -> web.StreamResponse:
        named = request.headers.getall("Host", [])
        if len(named) != 1 or (hosts is not None and _without_port(named[0]) not in hosts):
            return _refusal(403, "the `host` header names another place than this listener")
        if any(name in request.headers for name in _BROWSER_HEADERS):
            return _refusal(403, "requests from browsers are not served")
        try:
            return await handler(request)
        except web.HTTPException as error:
            return _refusal(error.status, error.reason.lower())

    return guard


def _without_port(named: str) -> str:
    name, colon, port = named.lower().rpartition(":")
    return name if colon and port.isdigit() else named.lower()


def _refusal(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)
