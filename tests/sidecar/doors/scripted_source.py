"""A tool server made for tests: both MCP eras or plain HTTP, every byte the test's own.

It listens on a real socket; what it was asked is kept, what it answers is scripted.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
PATIENCE_S = 30.0


class Talk:
    """One request to the server and the means to answer it.

    Attributes:
        body: as received.
        message: the body as JSON; empty when it is none.
        gone: set when the client closed the connection before the answer was complete.
    """

    def __init__(self, request: web.Request, body: bytes) -> None:
        self.request = request
        self.body = body
        self.gone = asyncio.Event()
        try:
            parsed = json.loads(body)
        except ValueError:
            parsed = {}
        self.message: dict[str, object] = parsed if isinstance(parsed, dict) else {}

    @property
    def method(self) -> str:
        """The JSON-RPC method; empty for plain HTTP."""
        return str(self.message.get("method", ""))

    @property
    def headers(self) -> dict[str, str]:
        """By lower-case name."""
        return {name.lower(): value for name, value in self.request.headers.items()}

    @property
    def params(self) -> dict[str, object]:
        """The JSON-RPC params."""
        params = self.message.get("params", {})
        assert isinstance(params, dict)
        return params

    def answer(self, result: bytes | Mapping[str, object], **headers: str) -> web.Response:
        """A JSON answer with the id asked for."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return json_response(self.envelope(result), headers=named)

    def envelope(self, result: bytes | Mapping[str, object]) -> bytes:
        """The message that carries `result` under the id asked for."""
        raw = result if isinstance(result, bytes) else json.dumps(result).encode()
        return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (
            json.dumps(self.message["id"]).encode(), raw,
        )  # fmt: skip

    async def stream(self) -> web.StreamResponse:
        """Begin an event stream."""
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(self.request)
        return response


Behaviour = Callable[[Talk], Awaitable[web.StreamResponse]]


def json_response(
    body: bytes, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A JSON body, as it is."""
    fields = {"content-type": "application/json", **(headers or {})}
    return web.Response(status=status, body=body, headers=fields)


def event(message: bytes | Mapping[str, object]) -> bytes:
    """One server-sent event."""
    raw = message if isinstance(message, bytes) else json.dumps(message).encode()
    return b"data: " + raw + b"\n\n"


def text_result(text: str) -> dict[str, object]:
    """A tool result of one text, as both eras take it."""
    return {"content": [{"type": "text", "text": text}], "resultType": "complete"}


@dataclass
class Script:
    """What the MCP server says; tests change it while it runs.

    Attributes:
        eras: which it speaks.
        tools: raw entries of its list, in order.
        calls: by tool; a tool without one answers with its own name.
        methods: by JSON-RPC method, before anything else is looked at.
        everything: answers every request in the server's stead when set.
        sessions: ids it minted and that were not deleted.
        seen: every request, in order.
        on_seen: told of each request.
    """

    eras: tuple[str, ...] = (MODERN, LEGACY)
    tools: list[bytes] = field(default_factory=list)
    calls: dict[str, Behaviour] = field(default_factory=dict)
    methods: dict[str, Behaviour] = field(default_factory=dict)
    everything: Behaviour | None = None
    sessions: set[str] = field(default_factory=set)
    seen: list[Talk] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)
    minted: int = 0

    def asked(self, method: str) -> list[Talk]:
        """The requests of one JSON-RPC method."""
        return [talk for talk in self.seen if talk.method == method]

    async def wait_for(self, method: str, count: int = 1) -> Talk:
        """The `count`th request of a method, at most half a minute from now."""
        async with asyncio.timeout(PATIENCE_S), self.news:
            await self.news.wait_for(lambda: len(self.asked(method)) >= count)
        return self.asked(method)[count - 1]


def tool(name: str, **more: object) -> bytes:
    """A list entry."""
    entry = {"name": name, "description": name, "inputSchema": {"type": "object"}} | more
    return json.dumps(entry).encode()


class ScriptedSource:
    """The server of a `Script`.

    Attributes:
        url: without a path; MCP is at `/mcp`.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.url = ""
        self.port = 0
        self._runner: web.AppRunner | None = None

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> None:
        """Listen, at the port of before when it is given."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(
            app, handler_cancellation=True, auto_decompress=False, shutdown_timeout=0.1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self.url = f"http://{host}:{self.port}"

    async def stop(self) -> None:
        """Close the socket and all connections."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        script = self.script
        if script.everything is not None and not request.path.endswith("/mcp"):
            talk = Talk(request, b"")
            script.seen.append(talk)
            return await script.everything(talk)
        talk = Talk(request, await request.read())
        script.seen.append(talk)
        async with script.news:
            script.news.notify_all()
        try:
            if script.everything is not None:
                return await script.everything(talk)
            return await _answer(script, talk)
        except (asyncio.CancelledError, ConnectionError):
            talk.gone.set()
            raise


@contextlib.asynccontextmanager
async def serving(script: Script) -> AsyncIterator[ScriptedSource]:
    """A scripted server while the block runs."""
    source = ScriptedSource(script)
    await source.start()
    try:
        yield source
    finally:
        await source.stop()


async def _answer(script: Script, talk: Talk) -> web.StreamResponse:
    request, method = talk.request, talk.method
    session = request.headers.get("mcp-session-id")
    is_modern = request.headers.get("mcp-protocol-version") == MODERN
    if (MODERN if is_modern else LEGACY) not in script.eras:
        error = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Bad Request"}}'
        return json_response(error, 400)
    if session is not None and session not in script.sessions:
        return web.Response(status=404)
    if request.method == "DELETE":
        script.sessions.discard(session or "")
    if request.method != "POST":
        return await script.methods.get(request.method, _without_stream)(talk)
    if method in script.methods:
        return await script.methods[method](talk)
    return await _answer_method(script, talk, is_modern=is_modern)


async def _answer_method(script: Script, talk: Talk, *, is_modern: bool) -> web.StreamResponse:
    method = talk.method
    if method == "initialize":
        script.minted += 1
        name = f"session-{script.minted}"
        script.sessions.add(name)
        return talk.answer(_initialized(talk), mcp_session_id=name)
    if method == "server/discover":
        return talk.answer(_discovered())
    if method == "tools/list":
        cache = b',"resultType":"complete","ttlMs":60000,"cacheScope":"public"' * is_modern
        return talk.answer(b'{"tools":[' + b",".join(script.tools) + b"]" + cache + b"}")
    if method == "tools/call":
        behaviour = script.calls.get(str(talk.params["name"]), _by_name)
        return await behaviour(talk)
    if "id" not in talk.message or not method:
        return web.Response(status=202)
    text = b'{"jsonrpc":"2.0","id":%b,"error":{"code":-32601,"message":"Method not found"}}'
    return json_response(text % json.dumps(talk.message["id"]).encode(), 404 if is_modern else 200)


async def plainly(talk: Talk) -> web.StreamResponse:
    """200 and `fine`, whatever was asked."""
    del talk
    return web.Response(text="fine")


async def _without_stream(talk: Talk) -> web.StreamResponse:
    return web.Response(status=200 if talk.request.method == "DELETE" else 405)


async def _by_name(talk: Talk) -> web.StreamResponse:
    return talk.answer(text_result(str(talk.params["name"])))


def _initialized(talk: Talk) -> dict[str, object]:
    return {
        "protocolVersion": talk.params["protocolVersion"],
        "capabilities": {"tools": {"listChanged": True}, "prompts": {}, "resources": {}},
        "serverInfo": {"name": "scripted", "version": "1"},
    }


def _discovered() -> dict[str, object]:
    return {
        "supportedVersions": [MODERN],
        "capabilities": {"tools": {}, "prompts": {}, "resources": {}},
        "serverInfo": {"name": "scripted", "version": "1"},
        "resultType": "complete", "ttlMs": 0, "cacheScope": "private",
    }  # fmt: skip
