"""A stdio client on two pipes, and a small gateway of real parts that judges nothing."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from mesh7_core.policy import bundle, calls
from mesh7_sidecar import state
from mesh7_sidecar.doors.control import Control
from mesh7_sidecar.net import listener, upstream
from mesh7_sidecar.net.exchange import Exchange
from mesh7_sidecar.net.heads import Headers
from mesh7_sidecar.net.identity import always
from mesh7_sidecar.net.sweep import Sweep
from mesh7_sidecar.sources import stdio
from mesh7_sidecar.stdio.program import Client, run_stdio
from tests.sidecar.sources.test_stdio import Json

PATIENCE_S = 30.0
NOBODY = calls.Agent(namespace="default", service_account="default", pod="p")
Hold = Callable[[], state.Held | state.HeldElsewhere]


class Relaying:
    """A receiver that answers an exchange with what a source answers."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._has_begun = False

    def head(self, status: int, headers: Headers) -> None:
        self._has_begun = True
        self._exchange.start(status, headers)

    def data(self, chunk: bytes) -> None:
        self._exchange.write(chunk)

    def end(self) -> None:
        self._exchange.finish()

    def fail(self, failure: upstream.Failure) -> None:
        if self._has_begun:
            self._exchange.abort()
            return
        self._exchange.respond(502, [], json.dumps({"detail": failure.message}).encode())


class SmallGateway:
    """Every path leads to one source; remembers the heads of what it was asked.

    Attributes:
        heads: method, target and headers of each request, in order.
    """

    def __init__(self, held: state.Held, source: bundle.Source) -> None:
        self.held = held
        self.heads: list[tuple[str, str, Headers]] = []
        self.children = stdio.Children(os.environ, Sweep(0.02))
        self.way = self.children.upstream(source)
        self.count = 0
        self._alone = asyncio.Event()
        self._alone.set()
        self._listener: listener.Listener | None = None

    async def start(self) -> "SmallGateway":
        self._control = Control(self._relay, _no_status, self._join, tools=self._relay)
        sockets = [listener.unix_socket(self.held.socket)]
        self._listener = await listener.serve(self._control, sockets, always(NOBODY))
        return self

    async def wait_until_left(self) -> None:
        await self._alone.wait()

    def stop_holding(self) -> None:
        """Nothing is held here."""

    async def close(self) -> None:
        assert self._listener is not None
        self._control.dismiss()
        self.way.close()
        await self._listener.close_gracefully(PATIENCE_S)
        await self.children.close()
        self.held.release()

    def _join(self, by: int) -> None:
        self.count += by
        if self.count:
            self._alone.clear()
        else:
            self._alone.set()

    def _relay(self, exchange: Exchange) -> None:
        self.heads.append((exchange.method, exchange.target, exchange.headers))
        exchange.collect(8 * 1024 * 1024, self._send)

    def _send(self, exchange: Exchange, body: bytes) -> None:
        request = upstream.Request(exchange.method, exchange.target, exchange.headers, body)
        sending = self.way.send(request, Relaying(exchange))
        exchange.on_gone = sending.abort


class StdioClient:
    """What Claude Code does with `mesh7 stdio`: lines in, lines out."""

    def __init__(
        self,
        directory: Path,
        hold: Hold,
        start: Callable[[state.Held], Awaitable[SmallGateway]],
        client: Client | None = None,
    ) -> None:
        stdin, self._to = os.pipe()
        self._from, stdout = os.pipe()
        self._stdout = stdout
        self.rest = b""
        named = client or Client(agent="coder")
        chosen = Client(agent=named.agent, labels=named.labels, source=named.source,
                        stdin=stdin, stdout=stdout)  # fmt: skip
        self.task = asyncio.ensure_future(run_stdio(directory, chosen, hold, start))
        self._lines = asyncio.StreamReader(limit=64 * 1024 * 1024)

    async def open(self) -> "StdioClient":
        loop = asyncio.get_running_loop()
        protocol = asyncio.StreamReaderProtocol(self._lines)
        pipe = os.fdopen(self._from, "rb")
        self._transport, _ = await loop.connect_read_pipe(lambda: protocol, pipe)
        return self

    def stop_reading(self) -> None:
        self._transport.close()

    def send(self, *messages: Json) -> None:
        for message in messages:
            self.send_raw(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    def send_raw(self, raw: bytes) -> None:
        os.write(self._to, raw)

    async def send_large(self, raw: bytes) -> None:
        """More than a pipe holds, so that the loop has to run meanwhile."""
        with os.fdopen(os.dup(self._to), "wb") as pipe:
            await asyncio.to_thread(pipe.write, raw)

    async def receive(self) -> Json:
        async with asyncio.timeout(PATIENCE_S):
            line = await self._lines.readline()
        found: Json = json.loads(line)
        return found

    async def close(self) -> int:
        """End stdin, and wait for the exit code."""
        os.close(self._to)
        self._to = -1
        return await self.exit_code()

    async def exit_code(self) -> int:
        """Wait for the end; what came on stdout and was not received is `rest` then."""
        async with asyncio.timeout(PATIENCE_S):
            code = await self.task
        os.close(self._stdout)
        self._stdout = -1
        self.rest = await self._lines.read()
        return code

    def dispose(self) -> None:
        """Let go of the pipes; but never of the one that a thread may still read."""
        for descriptor in (self._to, self._stdout):
            if descriptor >= 0:
                os.close(descriptor)
        self._transport.close()


async def _no_status() -> dict[str, object]:
    return {}
