"""The stream that a legacy session opens with GET: what the server says of its own accord.

Before it is opened, and while it is broken, messages wait here, bounded.
"""

from collections import deque
from typing import Final

from mesh7_sidecar.sources.outlet import Outlet
from mesh7_sidecar.sources.pending import EVENTS
from mesh7_sidecar.wire import sse

MAXIMUM_WAITING: Final = 64
MAXIMUM_WAITING_BYTES: Final = 1024 * 1024


class SessionStream:
    """One session's stream; at most one reader at a time."""

    def __init__(self) -> None:
        self._outlet: Outlet | None = None
        self._waiting: deque[bytes] = deque()
        self._size = 0

    @property
    def is_open(self) -> bool:
        """Whether somebody reads."""
        return self._outlet is not None and not self._outlet.is_over

    def open(self, outlet: Outlet) -> None:
        """Begin the answer to a GET, with what waited."""
        self._outlet = outlet
        outlet.head(200, [EVENTS, (b"cache-control", b"no-store")])
        waiting, self._waiting, self._size = self._waiting, deque(), 0
        for line in waiting:
            outlet.data(sse.encode(line, "message"))

    def deliver(self, line: bytes) -> None:
        """Give or keep one message; the oldest kept ones give way."""
        if self._outlet is not None and self.is_open:
            self._outlet.data(sse.encode(line, "message"))
            return
        self._waiting.append(line)
        self._size += len(line)
        while len(self._waiting) > MAXIMUM_WAITING or self._size > MAXIMUM_WAITING_BYTES:
            self._size -= len(self._waiting.popleft())

    def close(self) -> None:
        """End the reader's stream."""
        if self._outlet is not None:
            self._outlet.end()
