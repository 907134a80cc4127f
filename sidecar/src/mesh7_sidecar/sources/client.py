"""The gateway's own MCP client for one source: lists, and calls that come in without MCP.

It speaks the era that the source speaks: it asks `server/discover` first and falls back to the
handshake. Results are handed on as the bytes they were. It declares no capability, so a server
has nothing to ask back; one that asks all the same is refused. A request that is no longer wanted
is cancelled at the source in the way of its era.
"""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import orjson

from mesh7_core import errors, names
from mesh7_core.policy import bundle
from mesh7_sidecar.net import upstream
from mesh7_sidecar.net.exchange import Headers
from mesh7_sidecar.sources import failures
from mesh7_sidecar.sources.conversation import Answer, Conversation
from mesh7_sidecar.wire import headers, jsonrpc, mcp, splice

MODERN = mcp.MODERN_VERSIONS[-1]
LEGACY = mcp.LEGACY_VERSIONS[-1]
MAXIMUM_PAGES = 100
NOT_FOUND = 404
CLIENT_INFO = {"name": "mesh7", "version": names.RELEASE}
ENVELOPE = {
    mcp.META_VERSION: orjson.dumps(MODERN),
    mcp.META_CLIENT: orjson.dumps(CLIENT_INFO),
    mcp.META_CAPABILITIES: b"{}",
}
NONE: Headers = []
ACCEPT = (b"accept", b"application/json, text/event-stream")
_REFUSAL = b'{"jsonrpc":"2.0","id":%b,"error":{"code":-32601,"message":"not supported"}}'
_CANCELLED = b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"%b"}}'


def ignore(_: jsonrpc.Message) -> None:
    """Let a notification go."""


def unseen(_: bytes) -> None:
    """For who need not know what was sent."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What goes with one request, beside its `params`.

    Attributes:
        repeated: arguments that the tool wants repeated as headers; for modern sources.
        traced: the headers of a call that is traced.
        on_sent: gets the request's body right before it is sent; again when it is sent again.
    """

    repeated: Headers
    traced: Headers
    on_sent: Callable[[bytes], None]


NOTHING = Beside(NONE, NONE, unseen)


class SourceClient:
    """One conversation partner: negotiates once, then asks.

    Args:
        source: whom it speaks to.
        way: how to reach it.
        path: the request target of its MCP endpoint.
        fixed: headers to send each time, credentials included.

    Attributes:
        protocol: the revision agreed on; empty before the first request.
        instructions: what the server tells every model that uses it; empty when nothing.
    """

    def __init__(
        self,
        source: bundle.Source,
        way: upstream.Upstream,
        path: str,
        fixed: list[tuple[bytes, bytes]],
    ) -> None:
        self.protocol = ""
        self.instructions = ""
        self._source = source
        self._way = way
        self._path = path
        self._fixed = fixed
        self._session: bytes | None = None
        self._numbers = itertools.count(1)
        self._connecting = asyncio.Lock()

    @property
    def is_modern(self) -> bool:
        """Whether requests to this source carry their own version and need no session."""
        return self.protocol == MODERN

    async def connect(self) -> None:
        """Find out which era the source speaks, once; later calls return at once.

        Raises:
            UpstreamError: it cannot be reached, or speaks no revision that mesh7 knows.
        """
        if self._is_connected():
            return
        async with self._connecting:
            # Somebody else may have connected while we waited for the lock.
            if self._is_connected() or await self._discover():
                return
            await self._initialize()

    async def renew(self) -> None:
        """Ask a modern source again what it tells models; a legacy one says it once a session.

        Raises:
            UpstreamError: it does not say.
        """
        if not self.is_modern:
            return
        answer = await self._ask_modern("server/discover", b"{}", ignore)
        if answer.message is None or answer.message.result is None:
            raise self._failure("does not answer `server/discover` any more")
        self.instructions = instructions_of(answer.message.result)

    async def request(
        self,
        method: str,
        params: bytes,
        on_notice: Callable[[jsonrpc.Message], None] = ignore,
        beside: Beside = NOTHING,
    ) -> Answer:
        """Ask once and wait for the answer, which is a result or a JSON-RPC error.

        Args:
            method: of the request.
            params: a JSON object; `_meta` of a modern request is added here.
            on_notice: gets notifications that precede the answer.
            beside: what else is sent with it.

        Raises:
            UpstreamError: there is no answer; whether the call ran is then unknown.
        """
        await self.connect()
        session = self._session
        answer = await self._ask(method, params, on_notice, beside)
        if answer.status == NOT_FOUND and session is not None:
            # The server forgot the session and by the protocol has not looked at the request.
            if self._session == session:
                self.protocol, self._session = "", None
            await self.connect()
            answer = await self._ask(method, params, on_notice, beside)
        if answer.message is None:
            raise self._failure(failures.of_status(answer.status, self._source))
        return answer

    async def list_pages(self, method: str) -> list[Answer]:
        """All pages of a list, at most `MAXIMUM_PAGES`.

        Raises:
            UpstreamError: a page could not be read, or the list has no end.
        """
        pages: list[Answer] = []
        params = b"{}"
        while len(pages) < MAXIMUM_PAGES:
            answer = await self.request(method, params)
            pages.append(answer)
            result = answer.message.result if answer.message is not None else None
            if result is None and _is_unknown_method(answer):
                return pages
            if result is None:
                raise self._failure(f"answered `{method}` with an error")
            cursor = result.get("nextCursor")
            if cursor is None:
                return pages
            if not isinstance(cursor, str):
                raise self._failure(f"sent a cursor of `{method}` that is no string")
            params = orjson.dumps({"cursor": cursor})
        raise self._failure(f"has more than {MAXIMUM_PAGES} pages of `{method}`")

    def _failure(self, what: str) -> errors.UpstreamError:
        return errors.UpstreamError(f"source `{self._source.name}` {what}")

    def _is_connected(self) -> bool:
        return bool(self.protocol)

    async def _discover(self) -> bool:
        """Whether the source speaks the modern era; one that rejects the version is asked again.

        A server may reject the first choice and name what it takes; ours may be among that.
        """
        for _ in range(2):
            try:
                answer = await self._ask_modern("server/discover", b"{}", ignore)
            except errors.UpstreamError:
                return False
            message = answer.message
            if message is None:
                return False
            if MODERN in _versions(message.result, "supportedVersions"):
                self.protocol = MODERN
                self.instructions = instructions_of(message.result)
                return True
            error = message.error
            if error is None or error.get("code") != jsonrpc.UNSUPPORTED_VERSION:
                return False
            if MODERN not in _versions(error.get("data"), "supported"):
                return False
        return False

    async def _initialize(self) -> None:
        params = orjson.dumps(
            {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": CLIENT_INFO}
        )
        answer = await self._send("initialize", params, [], ignore)
        result = answer.message.result if answer.message is not None else None
        if not isinstance(result, dict) or not isinstance(result.get("protocolVersion"), str):
            what = "refused the handshake with a JSON-RPC error"
            if answer.message is None:
                what = failures.of_status(answer.status, self._source)
            raise self._failure(what)
        self._session = answer.headers.get(b"mcp-session-id")
        self.protocol = str(result["protocolVersion"])
        self.instructions = instructions_of(result)
        body = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
        await self._exchange(body, self._legacy_headers(), self._conversation(None, ignore))

    async def _ask(
        self,
        method: str,
        params: bytes,
        on_notice: Callable[[jsonrpc.Message], None],
        beside: Beside,
    ) -> Answer:
        if self.is_modern:
            return await self._ask_modern(method, params, on_notice, beside)
        plain = _without_modern_meta(params)
        extra = self._legacy_headers() + beside.traced
        return await self._send(method, plain, extra, on_notice, beside.on_sent)

    async def _ask_modern(
        self,
        method: str,
        params: bytes,
        on_notice: Callable[[jsonrpc.Message], None],
        beside: Beside = NOTHING,
    ) -> Answer:
        extra = [
            (b"mcp-protocol-version", MODERN.encode()),
            (b"mcp-method", method.encode()),
            *beside.repeated,
            *beside.traced,
        ]
        if method in mcp.NAMED:
            name = splice.span(params, (mcp.NAMED[method],))
            if name is not None:
                written = str(orjson.loads(params[name[0] : name[1]]))
                extra.append((b"mcp-name", headers.encode_value(written)))
        return await self._send(method, _with_modern_meta(params), extra, on_notice, beside.on_sent)

    async def _send(
        self,
        method: str,
        params: bytes,
        extra: list[tuple[bytes, bytes]],
        on_notice: Callable[[jsonrpc.Message], None],
        on_sent: Callable[[bytes], None] = unseen,
    ) -> Answer:
        identifier = f"mesh7-{next(self._numbers)}"
        body = b'{"jsonrpc":"2.0","id":"%b","method":"%b","params":%b}' % (
            identifier.encode(), method.encode(), params,
        )  # fmt: skip
        conversation = self._conversation(identifier, on_notice)
        on_sent(body)
        try:
            return await self._exchange(body, extra, conversation)
        except asyncio.CancelledError:
            # To a legacy server a closed connection is no cancellation; a handshake has none.
            if self.protocol and not self.is_modern:
                self._tell(_CANCELLED % identifier.encode())
            raise

    async def _exchange(
        self, body: bytes, extra: list[tuple[bytes, bytes]], conversation: Conversation
    ) -> Answer:
        sent = [headers.JSON, ACCEPT, *extra, *self._fixed]
        request = upstream.Request("POST", self._path, sent, body)
        conversation.sending = sending = self._way.send(request, conversation)
        try:
            return await conversation.answer
        except (asyncio.CancelledError, errors.UpstreamError):
            # A source whose answer is refused must not go on talking.
            sending.abort()
            raise

    def _legacy_headers(self) -> list[tuple[bytes, bytes]]:
        extra = [(b"mcp-protocol-version", self.protocol.encode())] if self.protocol else []
        if self._session is not None:
            extra.append((b"mcp-session-id", self._session))
        return extra

    def _conversation(
        self, identifier: str | None, on_notice: Callable[[jsonrpc.Message], None]
    ) -> Conversation:
        return Conversation(
            self._source.name,
            identifier,
            on_notice,
            self._refuse,
            self._source.bounds.maximum_response_bytes,
        )

    def _refuse(self, message: jsonrpc.Message) -> None:
        """Answer a server's request with an error, so that it does not wait for us."""
        if not self.is_modern:
            self._tell(_REFUSAL % jsonrpc.encode_id(message.id))

    def _tell(self, body: bytes) -> None:
        """Send what is not answered, within a legacy session."""
        fields = [headers.JSON, ACCEPT, *self._legacy_headers(), *self._fixed]
        conversation = self._conversation(None, ignore)
        request = upstream.Request("POST", self._path, fields, body)
        conversation.sending = self._way.send(request, conversation)
        # Nobody waits for this answer; a failure of it must not be reported as never retrieved.
        conversation.answer.add_done_callback(lambda done: done.exception())


def instructions_of(result: dict[str, object] | None) -> str:
    """The `instructions` of an answer to `initialize` or `server/discover`; empty without any."""
    found = result.get("instructions") if result is not None else None
    return found if isinstance(found, str) else ""


def _versions(holder: object, key: str) -> list[object]:
    versions = holder.get(key) if isinstance(holder, dict) else None
    return versions if isinstance(versions, list) else []


def _with_modern_meta(params: bytes) -> bytes:
    """`params` with the envelope that modern requests carry; other `_meta` keys stay as they are.

    Whoever the agent says it is stays behind: the source talks to the gateway.
    """
    if splice.span(params, ("_meta",)) is None:
        params = splice.insert_key(params, (), "_meta", b"{}")
    for key, value in ENVELOPE.items():
        params = splice.set_key(params, ("_meta", key), value)
    return params


def _without_modern_meta(params: bytes) -> bytes:
    """`params` without the envelope of a modern agent, which is none of a legacy source's."""
    return splice.remove_keys(params, ("_meta",), ENVELOPE.__contains__)


def _is_unknown_method(answer: Answer) -> bool:
    """A source without prompts or resources says so by not knowing the method."""
    error = answer.message.error if answer.message is not None else None
    return error is not None and error.get("code") == jsonrpc.METHOD_NOT_FOUND
