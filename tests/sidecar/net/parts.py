"""Builders for the tests of this room: clients, apps and servers made of plain sockets."""

import asyncio
from collections.abc import Awaitable, Callable

from mesh7_core.policy.calls import Agent
from mesh7_sidecar.net.exchange import Exchange, Headers
from mesh7_sidecar.net.upstream import Failure

AGENT = Agent(namespace="default", service_account="tester", pod="here")
Steps = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def message(line: bytes, *headers: bytes, body: bytes = b"") -> bytes:
    """A request with a `host` header."""
    lines = (line, b"Host: gateway", *headers)
    return b"".join(each + b"\r\n" for each in lines) + b"\r\n" + body


def post(body: bytes, target: bytes = b"/", *headers: bytes) -> bytes:
    """A POST with a content length."""
    length = b"Content-Length: %d" % len(body)
    return message(b"POST %b HTTP/1.1" % target, length, *headers, body=body)


class EchoApp:
    """Answers each request with its method, target and body; remembers them."""

    def __init__(self, limit: int = 1_000_000) -> None:
        self.seen: list[tuple[str, str, bytes]] = []
        self._limit = limit

    def __call__(self, exchange: Exchange) -> None:
        exchange.collect(self._limit, self._answer)

    def _answer(self, exchange: Exchange, body: bytes) -> None:
        self.seen.append((exchange.method, exchange.target, body))
        text = f"{exchange.method} {exchange.target} ".encode() + body
        exchange.respond(200, [(b"content-type", b"text/plain")], text)


class HoldingApp:
    """Keeps exchanges for the test to answer."""

    def __init__(self) -> None:
        self.exchanges: asyncio.Queue[Exchange] = asyncio.Queue()

    def __call__(self, exchange: Exchange) -> None:
        self.exchanges.put_nowait(exchange)

    async def next(self) -> Exchange:
        async with asyncio.timeout(30):
            return await self.exchanges.get()


class Client:
    """One raw connection to a listener."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, payload: bytes) -> None:
        self._writer.write(payload)
        await self._writer.drain()

    def put(self, payload: bytes) -> None:
        self._writer.write(payload)

    async def rest(self) -> bytes:
        """All until the server closes."""
        async with asyncio.timeout(30):
            try:
                return await self._reader.read()
            except ConnectionError:
                return b"reset"

    async def until(self, end: bytes) -> bytes:
        async with asyncio.timeout(30):
            return await self._reader.readuntil(end)

    async def exactly(self, count: int) -> bytes:
        async with asyncio.timeout(30):
            return await self._reader.readexactly(count)

    async def answer(self) -> tuple[int, bytes]:
        """Status and body of an answer that has a content length."""
        head = await self.until(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length")
        )
        return int(head.split(b" ")[1]), await self.exactly(length)

    def half_close(self) -> None:
        self._writer.write_eof()

    def close(self) -> None:
        self._writer.close()

    def reset(self) -> None:
        self._writer.transport.abort()

    async def closed(self) -> None:
        """Close, and wait for it."""
        self._writer.close()
        await asyncio.gather(self._writer.wait_closed(), return_exceptions=True)


class ScriptedServer:
    """A server that runs the test's steps for each connection."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        try:
            await self._steps(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)


class Heard:
    """A receiver that remembers what it heard."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: Headers = []
        self.body = b""
        self.failure: Failure | None = None
        self.is_whole = False
        self.calls: list[str] = []
        self.begun = asyncio.Event()
        self.came = asyncio.Event()
        self.over = asyncio.Event()

    def head(self, status: int, headers: Headers) -> None:
        self.calls.append("head")
        self.status, self.headers = status, headers
        self.begun.set()

    def data(self, chunk: bytes) -> None:
        self.calls.append("data")
        self.body += chunk
        self.came.set()

    def end(self) -> None:
        self.calls.append("end")
        self.is_whole = True
        self.over.set()

    def fail(self, failure: Failure) -> None:
        self.calls.append("fail")
        self.failure = failure
        self.over.set()

    async def finished(self) -> None:
        async with asyncio.timeout(30):
            await self.over.wait()
