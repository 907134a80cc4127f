"""What one receiver gets from a source that cannot be slowed down for its sake.

A child process is shared: while one reader is paused the others go on, so its share waits here,
bounded, and is given up when it grows too large.
"""

from typing import Final

from mesh7_sidecar.net import upstream
from mesh7_sidecar.net.heads import Headers

_NOT_READ: Final = upstream.Failure(
    kind=upstream.FailureKind.TOO_LARGE, message="sent more than its reader took"
)


class Outlet:
    """A receiver, safe to call at any time: silent after its end and after `silence`.

    Attributes:
        is_over: nothing that is given from now on reaches the receiver.
    """

    __slots__ = (
        "_ends", "_is_paused", "_maximum_bytes", "_receiver", "_size", "_waiting", "is_over",
    )  # fmt: skip

    def __init__(self, receiver: upstream.Receiver, maximum_bytes: int) -> None:
        self.is_over = False
        self._receiver = receiver
        self._maximum_bytes = maximum_bytes
        self._waiting: list[bytes] = []
        self._size = 0
        self._is_paused = False
        self._ends = False

    def head(self, status: int, headers: Headers) -> None:
        """Begin the answer."""
        if not self.is_over:
            self._receiver.head(status, headers)

    def data(self, chunk: bytes) -> None:
        """Give a piece of it."""
        if self.is_over:
            return
        if not self._is_paused:
            self._receiver.data(chunk)
            return
        self._waiting.append(chunk)
        self._size += len(chunk)
        if self._size > self._maximum_bytes:
            self.fail(_NOT_READ)

    def end(self) -> None:
        """Complete the answer."""
        if self.is_over:
            return
        self.is_over = True
        if self._is_paused:
            self._ends = True
        else:
            self._receiver.end()

    def fail(self, failure: upstream.Failure) -> None:
        """Break the answer off; what waits is thrown away."""
        if self.is_over:
            return
        self.silence()
        self._receiver.fail(failure)

    def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Give a complete answer."""
        self.head(status, headers)
        if body:
            self.data(body)
        self.end()

    def silence(self) -> None:
        """The receiver wants no more."""
        self.is_over = True
        self._ends = False
        self._waiting.clear()

    def pause(self) -> None:
        """Keep what comes."""
        self._is_paused = True

    def resume(self) -> None:
        """Give what waited, until paused again."""
        self._is_paused = False
        while self._waiting and not self._is_paused:
            chunk = self._waiting.pop(0)
            self._size -= len(chunk)
            self._receiver.data(chunk)
        if self._ends and not self._is_paused:
            self._ends = False
            self._receiver.end()
