"""The doors that exist on unix sockets alone: how the gateway is, who has joined it, and people.

Nothing here is reachable from the agent's listener. Whoever can open the socket of the state
folder is the user who started the gateway; a page in a browser is kept out on top of that.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import orjson

from mesh7_sidecar.doors.guard import LOOPBACK_HOSTS, Guard
from mesh7_sidecar.doors.people import People
from mesh7_sidecar.doors.work import Work
from mesh7_sidecar.net.exchange import Exchange, RequestHead
from mesh7_sidecar.net.listener import App
from mesh7_sidecar.people.clients import UNSEEN, Clients
from mesh7_sidecar.wire import headers

JSON: Final = [headers.JSON]
STATUS: Final = "/control/status"
JOIN: Final = "/control/join"
TOOLS: Final = "/control/tools"
_NONE: Final[frozenset[bytes]] = frozenset()
_GUARD: Final = Guard(hosts=LOOPBACK_HOSTS, origins=_NONE, own_origins=_NONE, token=None)
_BROWSERS: Final = b"sec-"
"""What only browsers send begins so; Node's fetch sends one too, and has no business here."""

_Status = Callable[[], Awaitable[Mapping[str, object]]]


class Control:
    """The application of the gateway's own socket: control first, else what TCP serves.

    Args:
        app: what every other request goes to.
        status: what `mesh7 status` shows.
        joined: told +1 when a process joins and -1 when it leaves.
        people: where requests are listed and decided; None = nowhere.
        clients: told which MCP clients have joined; None = nobody asks.
        tools: answers what every source defines; None = nowhere.
    """

    def __init__(
        self,
        app: App,
        status: _Status,
        joined: Callable[[int], None],
        *,
        people: People | None = None,
        clients: Clients | None = None,
        tools: Callable[[Exchange], None] | None = None,
    ) -> None:
        self._app = app
        self._tools = tools
        self._status = status
        self._joined = joined
        self._people = people
        self._clients = clients
        self._work = Work()
        self._members: set[Exchange] = set()
        self._is_ending = False

    def __call__(self, exchange: Exchange) -> None:
        """Answer one request."""
        if not exchange.target.startswith("/control/"):
            self._app(exchange)
        elif _is_kept_out(exchange):
            return
        elif exchange.target == JOIN and exchange.method == "GET":
            self._join(exchange)
        elif self._tools is not None and exchange.target == TOOLS and exchange.method == "GET":
            self._tools(exchange)
        else:
            _serve(exchange, self._status, self._people, self._work)

    def dismiss(self) -> None:
        """Tell all who joined that this gateway ends, so that they look for another place.

        Before the listener is closed: it would wait for these answers, which have no end.
        """
        self._is_ending = True
        for exchange in tuple(self._members):
            self._leave(exchange)
            exchange.finish()
        if self._people is not None:
            self._people.dismiss()

    def _join(self, exchange: Exchange) -> None:
        """An answer without an end: the caller is joined as long as it reads it."""
        if self._is_ending:
            exchange.respond(503, JSON, b'{"detail":"this gateway ends, join the next one"}')
            return
        if not self._is_remembered(exchange):
            exchange.respond(403, JSON, orjson.dumps({"detail": UNSEEN}))
            return
        self._members.add(exchange)
        self._joined(1)
        exchange.on_gone = lambda: self._leave(exchange)
        exchange.start(200, JSON)
        exchange.write(b"{}\n")

    def _is_remembered(self, exchange: Exchange) -> bool:
        """Now, while its parents live: who descends from them cannot approve."""
        if self._clients is None:
            return True
        peer = exchange.peer.look() if exchange.peer is not None else None
        return peer is not None and self._clients.join(exchange, peer.chain)

    def _leave(self, exchange: Exchange) -> None:
        self._members.discard(exchange)
        if self._clients is not None:
            self._clients.leave(exchange)
        self._joined(-1)


class PeopleControl:
    """The application of the approvers' socket: people's paths and the status, nothing else."""

    def __init__(self, people: People, status: _Status) -> None:
        self._people = people
        self._status = status
        self._work = Work()

    def __call__(self, exchange: Exchange) -> None:
        """Answer one request."""
        if not _is_kept_out(exchange):
            _serve(exchange, self._status, self._people, self._work)


def _serve(exchange: Exchange, status: _Status, people: People | None, work: Work) -> None:
    if exchange.target == STATUS and exchange.method == "GET":
        work.run(exchange, _tell_status(exchange, status))
    elif people is not None:
        people(exchange)
    else:
        exchange.respond(404, JSON, b'{"detail":"there is nothing at this path"}')


async def _tell_status(exchange: Exchange, status: _Status) -> None:
    exchange.respond(200, JSON, orjson.dumps(await status()))


def _is_kept_out(exchange: Exchange) -> bool:
    """Refuse what a browser sends, and what names another host."""
    refusal = _refusal(exchange.head)
    if refusal:
        exchange.respond(403, JSON, orjson.dumps({"detail": refusal}))
    return bool(refusal)


def _refusal(head: RequestHead) -> str:
    found = _GUARD.refusal(dict(head.headers), head.headers)
    if found is not None:
        return found.message
    if any(name.startswith(_BROWSERS) for name, _ in head.headers):
        return "requests from browsers are refused"
    return ""
