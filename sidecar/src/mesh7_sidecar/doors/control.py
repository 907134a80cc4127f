"""The doors that exist on the unix socket alone: how the gateway is, and who has joined it.

Whoever can open the socket is the user who started the gateway. Nothing here is reachable from
the agent's listener.
"""

from collections.abc import Callable, Mapping
from typing import Final

import orjson

from mesh7_sidecar.net.exchange import Exchange
from mesh7_sidecar.net.listener import App
from mesh7_sidecar.wire import headers

JSON: Final = [headers.JSON]
STATUS: Final = "/control/status"
JOIN: Final = "/control/join"
TOOLS: Final = "/control/tools"


class Control:
    """The application of the unix socket: control first, else what TCP serves.

    Args:
        app: what every other request goes to.
        status: what `mesh7 status` shows.
        joined: told +1 when a process joins and -1 when it leaves.
        tools: answers what every source defines.
    """

    def __init__(
        self,
        app: App,
        status: Callable[[], Mapping[str, object]],
        joined: Callable[[int], None],
        tools: Callable[[Exchange], None],
    ) -> None:
        self._app = app
        self._tools = tools
        self._status = status
        self._joined = joined
        self._members: set[Exchange] = set()
        self._is_ending = False

    def __call__(self, exchange: Exchange) -> None:
        """Answer one request."""
        if not exchange.target.startswith("/control/"):
            self._app(exchange)
        elif exchange.target == STATUS and exchange.method == "GET":
            exchange.respond(200, JSON, orjson.dumps(self._status()))
        elif exchange.target == TOOLS and exchange.method == "GET":
            self._tools(exchange)
        elif exchange.target == JOIN and exchange.method == "GET":
            self._join(exchange)
        else:
            exchange.respond(404, JSON, b'{"detail":"there is nothing at this path"}')

    def dismiss(self) -> None:
        """Tell all who joined that this gateway ends, so that they look for another place.

        Before the listener is closed: it would wait for these answers, which have no end.
        """
        self._is_ending = True
        for exchange in tuple(self._members):
            self._leave(exchange)
            exchange.finish()

    def _join(self, exchange: Exchange) -> None:
        """An answer without an end: the caller is joined as long as it reads it."""
        if self._is_ending:
            exchange.respond(503, JSON, b'{"detail":"this gateway ends, join the next one"}')
            return
        self._members.add(exchange)
        self._joined(1)
        exchange.on_gone = lambda: self._leave(exchange)
        exchange.start(200, JSON)
        exchange.write(b"{}\n")

    def _leave(self, exchange: Exchange) -> None:
        self._members.discard(exchange)
        self._joined(-1)
