"""The door `/mcp`: all of the agent's sources as one MCP server.

Tools and prompts are called `<source>_<name>`; a source's name has no underscore, so the first one
splits. Resources keep their URIs and are read from the source that lists them. Here the gateway is
the server: it answers the handshake and `server/discover` itself and asks the sources as its own
client, whichever era each of them speaks.
"""

import asyncio
import secrets
from typing import Final

import orjson

from mesh7_core import names
from mesh7_core.policy import calls
from mesh7_sidecar.doors.gathering import Gathering
from mesh7_sidecar.doors.prepared import Prepared
from mesh7_sidecar.doors.sessions import STREAM_TAKEN, Session, answers_nothing, unknown_session
from mesh7_sidecar.doors.state import McpState
from mesh7_sidecar.doors.waiting import CANCELLED, COMMENT, EVENTS, Comments
from mesh7_sidecar.doors.work import Work
from mesh7_sidecar.net.exchange import Exchange, RequestHead
from mesh7_sidecar.settings import Patience
from mesh7_sidecar.wire import answers, headers, jsonrpc, mcp, paths, sse

SERVER_INFO: Final = {"name": "mesh7", "version": names.RELEASE}
CAPABILITIES: Final[dict[str, object]] = {
    "tools": {"listChanged": True}, "prompts": {}, "resources": {},
}  # fmt: skip
MODERN_CAPABILITIES: Final[dict[str, object]] = {"tools": {}, "prompts": {}, "resources": {}}
TTL_MS: Final = 5000
LISTS_CHANGED: Final = b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}'
_KIND = mcp.Kind


class AggregateDoor:
    """Serves `/mcp`."""

    def __init__(self, state: McpState, work: Work) -> None:
        self._state = state
        self._work = work
        self._gathering = Gathering(state)
        self._own_streams: set[Exchange] = set()
        self._calls: dict[tuple[str, int | str], asyncio.Task[None]] = {}
        state.registry.on_change.append(self._tell_change)

    def prepare(self, head: RequestHead, _: paths.AggregateRoute) -> Prepared:
        """What follows from the head alone."""
        return Prepared(head, "")

    def open(self, exchange: Exchange, prepared: Prepared) -> None:
        """Take one request."""
        if prepared.refusal is not None:
            answers.respond_malformed(exchange.respond, prepared.refusal)
        elif exchange.method == "POST":
            exchange.collect(
                jsonrpc.MAXIMUM_BYTES, lambda _, body: self._read(exchange, prepared, body)
            )
        elif prepared.session and exchange.method in ("GET", "DELETE"):
            self._open_session(exchange, prepared)
        else:
            exchange.respond(405, [(b"allow", b"POST")], b"")

    def _open_session(self, exchange: Exchange, prepared: Prepared) -> None:
        session = self._state.sessions.find(
            exchange.identity, "", prepared.session, self._state.clock_s()
        )
        if session is None:
            answers.respond_malformed(exchange.respond, unknown_session(None))
        elif exchange.method == "DELETE":
            self._state.sessions.close(session)
            exchange.respond(200, [], b"")
        elif session.streams:
            answers.respond_malformed(exchange.respond, STREAM_TAKEN)
        else:
            self._open_stream(exchange, session)

    def _open_stream(self, exchange: Exchange, session: Session) -> None:
        exchange.start(200, EVENTS)
        session.streams.add(exchange)
        self._own_streams.add(exchange)
        self._state.streams[exchange] = lambda: True
        exchange.on_gone = lambda: self._forget(exchange, session)

    def _read(self, exchange: Exchange, prepared: Prepared, body: bytes) -> None:
        message = jsonrpc.parse(body)
        if not isinstance(message, jsonrpc.Message):
            answers.respond_malformed(exchange.respond, message)
            return
        asked = mcp.classify(message, prepared.routing)
        if not isinstance(asked, mcp.Asked):
            answers.respond_malformed(exchange.respond, asked)
            return
        if not asked.is_modern and prepared.session and not self._is_open(exchange, prepared):
            answers.respond_malformed(exchange.respond, unknown_session(message.id))
            return
        self._take(exchange, prepared, asked)

    def _is_open(self, exchange: Exchange, prepared: Prepared) -> bool:
        found = self._state.sessions.find(
            exchange.identity, "", prepared.session, self._state.clock_s()
        )
        return found is not None

    def _take(self, exchange: Exchange, prepared: Prepared, asked: mcp.Asked) -> None:
        if asked.kind is _KIND.INITIALIZE:
            self._initialize(exchange, asked)
        elif asked.kind is _KIND.DISCOVER:
            _respond(exchange, _result(asked, _discovered()))
        elif asked.kind is _KIND.PASS and asked.message.method == "ping":
            _respond(exchange, _result(asked, {}))
        elif asked.kind in (_KIND.NOTICE, _KIND.IGNORED):
            if asked.message.method == CANCELLED and not asked.is_modern:
                self._cancel(prepared.session, asked.message.params.get("requestId"))
            exchange.respond(202, [], b"")
        elif asked.kind in (_KIND.TOOL_CALL, _KIND.PROMPT, _KIND.READ, _KIND.LIST):
            self._run(exchange, prepared, asked)
        elif asked.kind is _KIND.ANSWER:
            answers.respond_malformed(exchange.respond, answers_nothing(asked.message.id))
        else:
            refusal = jsonrpc.Malformed(
                404 if asked.is_modern else 200, jsonrpc.METHOD_NOT_FOUND,
                f"`{asked.message.method}` is not served here – use `/mcp/<source>`",
                asked.message.id,
            )  # fmt: skip
            answers.respond_malformed(exchange.respond, refusal)

    def _run(self, exchange: Exchange, prepared: Prepared, asked: mcp.Asked) -> None:
        patience = self._state.patience
        answering = _Answering(exchange, patience, takes_events=prepared.takes_events)
        task = asyncio.ensure_future(self._answer(exchange.identity, prepared, asked, answering))
        task.add_done_callback(lambda _: answering.stop())
        self._work.follow(exchange, task)
        identifier = asked.message.id
        if asked.is_modern or not prepared.session or identifier is None:
            # A modern client cancels by closing the stream; ids without a session are anybody's.
            return
        key = (prepared.session, identifier)
        self._calls[key] = task
        task.add_done_callback(lambda done: self._forget_call(key, done, answering))

    def _cancel(self, session: str, identifier: object) -> None:
        if type(identifier) is int or type(identifier) is str:
            task = self._calls.get((session, identifier))
            if task is not None:
                task.cancel()

    def _forget_call(
        self, key: tuple[str, int | str], task: asyncio.Task[None], answering: "_Answering"
    ) -> None:
        if self._calls.get(key) is task:
            del self._calls[key]
        if task.cancelled():
            answering.end()

    def _initialize(self, exchange: Exchange, asked: mcp.Asked) -> None:
        wanted = asked.message.params.get("protocolVersion")
        version = wanted if wanted in mcp.LEGACY_VERSIONS else mcp.LEGACY_VERSIONS[-1]
        identifier = secrets.token_hex(16)
        self._state.sessions.open(exchange.identity, "", identifier, self._state.clock_s())
        result: dict[str, object] = {
            "protocolVersion": version, "capabilities": CAPABILITIES, "serverInfo": SERVER_INFO,
        }  # fmt: skip
        session = (headers.SESSION_ID, identifier.encode())
        exchange.respond(200, [headers.JSON, session], _result(asked, result))

    async def _answer(
        self, agent: calls.Agent, prepared: Prepared, asked: mcp.Asked, answering: "_Answering"
    ) -> None:
        status, body = await self._gathering.answer(agent, prepared, asked, answering)
        answering.answer(status, body)

    def _forget(self, exchange: Exchange, session: Session) -> None:
        session.streams.discard(exchange)
        self._own_streams.discard(exchange)
        self._state.streams.pop(exchange, None)

    def _tell_change(self) -> None:
        """Sessions with an open stream hear that the lists changed."""
        for exchange in self._own_streams:
            exchange.write(sse.encode(LISTS_CHANGED))


class _Answering:
    """One answer on its way; what comes before it makes it an event stream."""

    def __init__(self, exchange: Exchange, patience: Patience, *, takes_events: bool) -> None:
        self._exchange = exchange
        self._patience = patience
        self._takes_events = takes_events
        self._is_started = False
        self._comments: Comments | None = None

    def notice(self, notice: bytes) -> None:
        """Pass a notification on; one that the client cannot take, or not as fast, is lost."""
        if self._takes_events and not self._exchange.is_full:
            self._start()
            self._exchange.write(sse.encode(notice))

    def wait(self) -> None:
        """People are asked: say now and then that the connection lives."""
        if self._takes_events:
            self._comments = Comments(self._patience, self._speak)

    def stop(self) -> None:
        """Nobody is waited for any more."""
        if self._comments is not None:
            self._comments.stop()

    def answer(self, status: int, body: bytes) -> None:
        """Give the answer."""
        self.stop()
        if self._is_started:
            self._exchange.write(sse.encode(body))
            self._exchange.finish()
        else:
            self._exchange.respond(status, [headers.JSON], body)

    def end(self) -> None:
        """End without one: a cancelled request is answered by nothing (D32)."""
        self._start()
        self._exchange.finish()

    def _speak(self) -> None:
        self._start()
        if not self._exchange.is_full:
            self._exchange.write(COMMENT)

    def _start(self) -> None:
        if not self._is_started:
            self._is_started = True
            self._exchange.start(200, EVENTS)


def _discovered() -> dict[str, object]:
    return {
        "supportedVersions": [*mcp.MODERN_VERSIONS, *mcp.LEGACY_VERSIONS],
        "capabilities": MODERN_CAPABILITIES, "serverInfo": SERVER_INFO,
        "ttlMs": TTL_MS, "cacheScope": "private",
    }  # fmt: skip


def _result(asked: mcp.Asked, result: dict[str, object]) -> bytes:
    fields = {"resultType": "complete"} | result if asked.is_modern else result
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (
        jsonrpc.encode_id(asked.message.id), orjson.dumps(fields),
    )  # fmt: skip


def _respond(exchange: Exchange, body: bytes) -> None:
    exchange.respond(200, [headers.JSON], body)
