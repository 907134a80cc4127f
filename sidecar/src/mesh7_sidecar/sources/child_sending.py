"""The `upstream.Sending` of one request to a child process, and the answers we give ourselves."""

import asyncio
from collections.abc import Callable

from mesh7_sidecar.net import upstream
from mesh7_sidecar.net.heads import Headers
from mesh7_sidecar.sources.channel import Channel
from mesh7_sidecar.sources.outlet import Outlet
from mesh7_sidecar.wire import headers, jsonrpc


class ChildSending:
    """One request under way. What we answer ourselves comes a turn later, as a source's would.

    Attributes:
        outlet: where its answer goes.
    """

    __slots__ = ("_channel", "_loop", "_number", "is_full", "on_drain", "outlet")

    def __init__(self, receiver: upstream.Receiver, maximum_bytes: int) -> None:
        self.outlet = Outlet(receiver, maximum_bytes)
        self._loop = asyncio.get_running_loop()
        self.is_full = False
        self.on_drain: Callable[[], None] | None = None
        self._channel: Channel | None = None
        self._number = 0

    def under_way(self, channel: Channel, number: int) -> None:
        """It is put to a child, under this number."""
        self._channel = channel
        self._number = number

    def answers(self, status: int, fields: Headers, body: bytes) -> None:
        """Give a complete answer."""
        self._loop.call_soon(self.outlet.whole, status, fields, body)

    def refuses(self, identifier: int | str | None, refusal: tuple[int, int, str]) -> None:
        """Answer a JSON-RPC error: HTTP status, code, text."""
        status, code, text = refusal
        body = b'{"jsonrpc":"2.0","id":%b,"error":{"code":%d,"message":%b}}' % (
            jsonrpc.encode_id(identifier), code, jsonrpc.encode_id(text),
        )  # fmt: skip
        self.answers(status, [headers.JSON], body)

    def declines(
        self, identifier: int | str | None, why: upstream.Failure | tuple[int, int, str]
    ) -> None:
        """Fail, or answer a JSON-RPC error."""
        if isinstance(why, upstream.Failure):
            self.fails(why)
        else:
            self.refuses(identifier, why)

    def fails(self, failure: upstream.Failure) -> None:
        """Break off."""
        self._loop.call_soon(self.outlet.fail, failure)

    def abort(self) -> None:
        """Want no more of it; a request under way is cancelled at the child."""
        self.outlet.silence()
        if self._channel is not None:
            self._channel.abandon(self._number)

    def pause(self) -> None:
        """Let what comes wait here."""
        self.outlet.pause()

    def resume(self) -> None:
        """Hand on what waited."""
        self.outlet.resume()

    def write(self, chunk: bytes) -> None:
        """Not used: bodies are whole."""

    def end(self) -> None:
        """Not used: bodies are whole."""
