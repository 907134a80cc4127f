"""One stdio client's messages ⇄ Streamable HTTP to a gateway.

Each line is a POST; what comes back, as JSON or as events, is a line each. Requests run beside one
another, so a held call blocks no other (M9, D34). Notifications and the handshake keep their
place: what follows a legacy `initialize` waits for its answer. A notification is never answered
(D32). When the gateway has forgotten a legacy session, the handshake is repeated behind the
client's back and the message, which nobody has looked at, is sent again.
"""

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Final

from mesh7_sidecar.net import upstream
from mesh7_sidecar.net.heads import Headers
from mesh7_sidecar.stdio.pipes import Output
from mesh7_sidecar.stdio.replies import Reply, concluding, error
from mesh7_sidecar.wire import headers, identifiers, jsonrpc, mcp, mirrored
from mesh7_sidecar.wire.lines import Overlong

# A call may be held for as long as its policy says; the gateway bounds it, not we.
TERMS: Final = upstream.Terms(answer_s=math.inf, idle_s=math.inf, stream_s=math.inf)
REOPEN_S: Final = 1.0
GOODBYE_S: Final = 1.0
MAXIMUM_TOOLS: Final = 10_000
_INITIALIZED: Final = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'

log = logging.getLogger("mesh7.stdio")


class Bridge:
    """One client and its conversation with the gateway.

    Args:
        gateway: the way to it.
        path: `/mcp` or `/mcp/<source>`.
        identity: headers that say who the client is.
        output: where lines for the client go.
    """

    def __init__(
        self, gateway: upstream.Upstream, path: str, identity: Headers, output: Output
    ) -> None:
        self._gateway = gateway
        self._path = path
        self._output = output
        self._fixed = [
            *identity,
            headers.JSON,
            (b"accept", b"application/json, text/event-stream"),
        ]
        self._asked: dict[int | str, asyncio.Task[None]] = {}
        self._modern: set[int | str] = set()
        self._cancelled: set[int | str] = set()
        self._declared: dict[str, tuple[mirrored.Declared, ...]] = {}
        self._hello: jsonrpc.Message | None = None
        self._version = b""
        self._session: bytes | None = None
        self._is_ready = False
        self._renewing = asyncio.Lock()
        self._listening: asyncio.Task[None] | None = None

    async def take(self, line: bytes | Overlong) -> None:
        """Take one line from the client. Returns when the next may follow."""
        if isinstance(line, Overlong):
            identifier = identifiers.likely_id(line.head, line.tail)
            self._output.write(
                error(identifier, jsonrpc.INVALID_REQUEST, "the message is too long")
            )
            return
        message = jsonrpc.parse(line)
        if isinstance(message, jsonrpc.Malformed):
            self._output.write(error(message.id, message.code, message.message))
        elif message.kind is jsonrpc.Kind.REQUEST and message.id is not None:
            await self._take_request(message, message.id)
        elif message.method == "notifications/cancelled":
            await self._cancel(message)
        elif self._hello is not None:
            # Modern notifications mean nothing over HTTP.
            await self._tell(message)

    async def finish(self, seconds: float) -> None:
        """Wait for what is under way, at most that long, and say goodbye."""
        if self._asked:
            await asyncio.wait(self._asked.values(), timeout=seconds)
        await self.stop()

    async def stop(self) -> None:
        """Give up what is under way, and end the session."""
        tasks = list(self._asked.values())
        if self._listening is not None:
            tasks.append(self._listening)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            reply = Reply(self._output.write)
            request = upstream.Request("DELETE", self._path, self._legacy(), b"", TERMS)
            sending = self._gateway.send(request, reply)
            await asyncio.wait([reply.ended], timeout=GOODBYE_S)
            sending.abort()

    # Requests.

    async def _take_request(self, message: jsonrpc.Message, identifier: int | str) -> None:
        if identifier in self._asked:
            text = "a request with this `id` is under way"
            self._output.write(error(identifier, jsonrpc.INVALID_REQUEST, text))
            return
        version = _modern_version(message)
        if version is not None:
            self._modern.add(identifier)
        if message.method == "initialize" and version is None:
            await self._initialize(message)
            return
        task = asyncio.get_running_loop().create_task(self._ask(message, identifier, version))
        self._asked[identifier] = task
        task.add_done_callback(lambda _: self._forget(identifier))

    def _forget(self, identifier: int | str) -> None:
        self._asked.pop(identifier, None)
        self._modern.discard(identifier)
        self._cancelled.discard(identifier)

    async def _ask(
        self, message: jsonrpc.Message, identifier: int | str, version: str | None
    ) -> None:
        is_answered = False

        def on_event(data: bytes) -> None:
            nonlocal is_answered
            is_answered = is_answered or _answers(data, identifier)
            if message.method == "tools/list" and is_answered and version is not None:
                self._remember(data)
            self._output.write(data)

        extra = self._legacy() if version is None else self._modern_headers(message, version)
        reply = await self._exchange(message.raw, extra, on_event)
        if version is None and await self._has_renewed(reply, extra):
            reply = await self._exchange(message.raw, self._legacy(), on_event)
        if is_answered or identifier in self._cancelled:
            return
        answer = concluding(message, reply, is_modern=version is not None)
        if message.method == "tools/list" and version is not None:
            self._remember(answer)
        self._output.write(answer)

    async def _exchange(
        self, body: bytes, extra: Headers, on_event: Callable[[bytes], None]
    ) -> Reply:
        """POST once and wait for the end. Cancelling it closes the request."""

        def relay(data: bytes) -> None:
            on_event(data)
            if self._output.is_full:
                sending.pause()
                self._output.when_drained(sending.resume)

        reply = Reply(relay)
        request = upstream.Request("POST", self._path, [*self._fixed, *extra], body, TERMS)
        sending = self._gateway.send(request, reply)
        try:
            await reply.ended
        except asyncio.CancelledError:
            sending.abort()
            raise
        return reply

    def _modern_headers(self, message: jsonrpc.Message, version: str) -> Headers:
        extra = [
            (headers.PROTOCOL_VERSION, headers.encode_value(version)),
            (headers.METHOD, headers.encode_value(message.method)),
        ]
        name = message.params.get(mcp.NAMED.get(message.method, ""))
        if isinstance(name, str):
            extra.append((headers.NAME, headers.encode_value(name)))
        arguments = message.params.get("arguments")
        if message.method == "tools/call" and isinstance(name, str) and isinstance(arguments, dict):
            extra += mirrored.repeated(self._declared.get(name, ()), arguments)
        return extra

    def _remember(self, answer: bytes) -> None:
        """Keep which arguments the listed tools want repeated as headers."""
        message = jsonrpc.parse(answer)
        result = message.result if isinstance(message, jsonrpc.Message) else None
        tools = result.get("tools") if result is not None else None
        for tool in tools if isinstance(tools, list) else []:
            if isinstance(tool, dict) and isinstance(tool.get("name"), str):
                wanted = mirrored.declared(tool.get("inputSchema"))
                if wanted and len(self._declared) < MAXIMUM_TOOLS:
                    self._declared[tool["name"]] = wanted
                else:
                    self._declared.pop(tool["name"], None)

    # Notifications and answers.

    async def _tell(self, message: jsonrpc.Message) -> None:
        """Pass on what has no answer; when it is taken the next message may follow."""
        extra = self._legacy()
        reply = await self._exchange(message.raw, extra, self._output.write)
        if await self._has_renewed(reply, extra) and message.method != "notifications/initialized":
            reply = await self._exchange(message.raw, self._legacy(), self._output.write)
        if reply.status // 100 != 2:  # noqa: PLR2004
            log.warning("a notification was not taken", extra={"status": reply.status})
        if message.method == "notifications/initialized":
            self._is_ready = True
            self._listen()

    async def _cancel(self, message: jsonrpc.Message) -> None:
        """On modern closing the request is the cancel; legacy servers want to be told."""
        wanted = message.params.get("requestId")
        if isinstance(wanted, int | str) and wanted in self._modern:
            task = self._asked.get(wanted)
            if task is not None:
                task.cancel()
        elif self._hello is not None:
            if isinstance(wanted, int | str) and wanted in self._asked:
                self._cancelled.add(wanted)
            await self._tell(message)

    # Legacy sessions.

    async def _initialize(self, message: jsonrpc.Message) -> None:
        self._hello = message
        self._is_ready = False
        answer = await self._shake_hands(message)
        self._output.write(answer)

    async def _shake_hands(self, message: jsonrpc.Message) -> bytes:
        self._session, self._version = None, b""
        found: list[bytes] = []

        def on_event(data: bytes) -> None:
            if message.id is not None and _answers(data, message.id):
                found.append(data)
            else:
                self._output.write(data)

        reply = await self._exchange(message.raw, [], on_event)
        answer = found[0] if found else concluding(message, reply, is_modern=False)
        parsed = jsonrpc.parse(answer)
        result = parsed.result if isinstance(parsed, jsonrpc.Message) else None
        version = result.get("protocolVersion") if result is not None else None
        if isinstance(version, str):
            self._version = headers.encode_value(version)
            self._session = reply.header(headers.SESSION_ID)
        return answer

    async def _has_renewed(self, reply: Reply, sent: Headers) -> bool:
        """Whether the session was unknown and there is a new one now.

        A 404 for a message with a session id says that nobody has looked at the message.
        """
        session = dict(sent).get(headers.SESSION_ID)
        if reply.status != 404 or session is None or self._hello is None:  # noqa: PLR2004
            return False
        async with self._renewing:
            if self._is_in(session):
                await self._shake_hands(self._hello)
                if self._has_session and self._is_ready:
                    await self._exchange(_INITIALIZED, self._legacy(), self._output.write)
                    self._listen()
        return self._has_session

    @property
    def _has_session(self) -> bool:
        return self._session is not None

    def _is_in(self, session: bytes) -> bool:
        return self._session == session

    def _legacy(self) -> Headers:
        extra: Headers = []
        if self._version:
            extra.append((headers.PROTOCOL_VERSION, self._version))
        if self._session is not None:
            extra.append((headers.SESSION_ID, self._session))
        return extra

    def _listen(self) -> None:
        """Open the session's stream, in the place of an older session's."""
        if self._listening is not None:
            self._listening.cancel()
        if self._session is not None:
            self._listening = asyncio.get_running_loop().create_task(self._keep_listening())

    async def _keep_listening(self) -> None:
        last: bytes | None = None
        while True:
            extra = self._legacy()
            if last is not None:
                extra.append((b"last-event-id", last))
            reply = Reply(self._output.write)
            request = upstream.Request("GET", self._path, [*self._fixed, *extra], b"", TERMS)
            sending = self._gateway.send(request, reply)
            try:
                await reply.ended
            finally:
                sending.abort()
            if reply.status not in {0, 200}:
                return  # no stream here, or no such session: the next message will find out
            last = reply.last_event or last
            await asyncio.sleep(REOPEN_S)


def _modern_version(message: jsonrpc.Message) -> str | None:
    """The revision that a modern request carries; None on a legacy one."""
    meta = message.params.get("_meta")
    version = meta.get(mcp.META_VERSION) if isinstance(meta, dict) else None
    return version if isinstance(version, str) else None


def _answers(data: bytes, identifier: int | str) -> bool:
    message = jsonrpc.parse(data)
    return (
        isinstance(message, jsonrpc.Message)
        and message.kind is jsonrpc.Kind.RESPONSE
        and message.id == identifier
    )
