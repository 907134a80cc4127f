"""Asking an upstream with `await`, for whoever is not on the data path (it costs a future)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from mesh7_core import errors
from mesh7_sidecar.net.heads import Headers
from mesh7_sidecar.net.upstream import Failure, FailureKind, Request, Sending, Upstream

_HIGH_WATER: Final = 262_144


class FetchError(errors.UpstreamError):
    """There is no answer, or no whole one.

    Attributes:
        failure: what the transport said; the message is its verb phrase, so put the source's
            name before it.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Response:
    """One whole answer, whatever its status."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def header(self, name: bytes) -> bytes | None:
        """The first value of `name` (lower case), None when there is none."""
        return next((value for each, value in self.headers if each == name), None)


async def fetch(upstream: Upstream, request: Request, limit: int) -> Response:
    """Ask, and wait for the whole answer. Cancelling it ends the request.

    `limit` is the largest body in bytes; the request's terms may say less.

    Raises:
        FetchError: no whole answer.
    """
    gathering = _Gathering(limit)
    sending = upstream.send(request, gathering)
    try:
        return await gathering.response
    finally:
        sending.abort()


class Stream:
    """An answer that comes in pieces.

    Attributes:
        status: of the answer.
        headers: of the answer.
    """

    def __init__(self, receiver: "_Streaming") -> None:
        self.status = receiver.status
        self.headers = receiver.headers
        self._receiver = receiver

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The pieces of the body.

        Raises:
            FetchError: the rest will not come.
        """
        while (piece := await self._receiver.next()) is not None:
            yield piece


@asynccontextmanager
async def streaming(upstream: Upstream, request: Request) -> AsyncIterator[Stream]:
    """Ask, and wait for the head of the answer only. Leaving the block ends the request.

    Raises:
        FetchError: no answer.
    """
    receiver = _Streaming()
    sending = receiver.sending = upstream.send(request, receiver)
    try:
        await receiver.begun()
        yield Stream(receiver)
    finally:
        sending.abort()


class _Gathering:
    def __init__(self, limit: int) -> None:
        self.response: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._limit = limit
        self._status = 0
        self._headers: Headers = []
        self._pieces: list[bytes] = []
        self._size = 0

    def head(self, status: int, headers: Headers) -> None:
        self._status, self._headers = status, headers

    def data(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size <= self._limit:
            self._pieces.append(chunk)
            return
        self._pieces.clear()
        message = f"answered more than {self._limit} bytes"
        self.fail(Failure(kind=FailureKind.TOO_LARGE, message=message))

    def end(self) -> None:
        if not self.response.done():
            self.response.set_result(Response(self._status, self._headers, b"".join(self._pieces)))

    def fail(self, failure: Failure) -> None:
        if not self.response.done():
            self.response.set_exception(FetchError(failure))


class _Streaming:
    sending: Sending

    def __init__(self) -> None:
        self.status = 0
        self.headers: Headers = []
        self._pieces: list[bytes] = []
        self._size = 0
        self._is_over = False
        self._failure: Failure | None = None
        self._news = asyncio.Event()

    def head(self, status: int, headers: Headers) -> None:
        self.status, self.headers = status, headers
        self._news.set()

    def data(self, chunk: bytes) -> None:
        self._pieces.append(chunk)
        self._size += len(chunk)
        if self._size > _HIGH_WATER:
            self.sending.pause()
        self._news.set()

    def end(self) -> None:
        self._is_over = True
        self._news.set()

    def fail(self, failure: Failure) -> None:
        self._failure = failure
        self._news.set()

    async def begun(self) -> None:
        await self._news.wait()
        if self._failure is not None and not self.status:
            raise FetchError(self._failure)

    async def next(self) -> bytes | None:
        """All that has come since, None at the end; reading pauses while much is waiting."""
        while not self._pieces:
            if self._failure is not None:
                raise FetchError(self._failure)
            if self._is_over:
                return None
            self._news.clear()
            self.sending.resume()
            await self._news.wait()
        piece = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        return piece
