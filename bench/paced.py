"""A client that asks at a fixed rate, whatever the answers do, and says how long they took.

    python -m bench.paced PORT PATH NAMES RATE SECONDS

An answer's time runs from the moment its request was due, except for what this client itself was
late in waking; a request that had to wait for a free connection is charged for waiting.
"""

import json
import select
import socket
import sys
import time
from collections import deque

import httptools

from bench import calls

_CONNECTIONS = 32
_DRAIN_S = 2.0


class _Connection:
    """One keep-alive connection with at most one request in flight; a lost one is dialled again."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.begun = 0.0
        self.is_done = True
        self._dial()

    def _dial(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self._port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(0)
        self._parser = httptools.HttpResponseParser(self)

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, request: bytes, begun: float) -> None:
        self.begun, self.is_done = begun, False
        try:
            self.socket.send(request)
        except OSError:  # closed behind the last answer: Envoy does so after some refusals
            self._again()
            self.socket.send(request)

    def receive(self) -> int:
        """Read what is there: the status once the answer is whole, -1 when it is lost, else 0."""
        try:
            chunk = self.socket.recv(65_536)
        except ConnectionResetError:
            chunk = b""
        if not chunk:
            self._again()
            self.is_done = True
            return -1
        self._parser.feed_data(chunk)
        if not self.is_done:
            return 0
        status = int(self._parser.get_status_code())
        if not self._parser.should_keep_alive():
            self._again()
        return status

    def _again(self) -> None:
        self.socket.close()
        self._dial()

    def on_message_complete(self) -> None:
        self.is_done = True


def measure(
    port: int, path: str, names: calls.Names, rate: int, seconds: float
) -> dict[str, float]:
    """Ask `rate` times a second and answer p50 and p99 in µs, and how many were asked."""
    requests = [calls.request(path, names, number) for number in range(100, 500)]
    connections = [_Connection(port) for _ in range(_CONNECTIONS)]
    free = deque(connections)
    waiting: deque[float] = deque()
    taken: list[float] = []
    total = int(rate * seconds)
    asked = refused = broken = 0
    start = time.perf_counter()
    while len(taken) < total:
        now = time.perf_counter()
        if now > start + seconds + _DRAIN_S:
            break
        while asked < total and start + asked / rate <= now:
            waiting.append(now)
            asked += 1
        while waiting and free:
            connection = free.popleft()
            connection.send(requests[len(taken) % len(requests)], waiting.popleft())
        due = start + asked / rate if asked < total else start + seconds + _DRAIN_S
        busy = [each for each in connections if not each.is_done]
        for ready in select.select(busy, [], [], max(0.0, due - time.perf_counter()))[0]:
            if status := ready.receive():
                taken.append(time.perf_counter() - ready.begun)
                refused += status not in {200, -1}
                broken += status == -1
                free.append(ready)
    taken.sort()
    return {
        "answered": len(taken),
        "asked": asked,
        "refused": refused,
        "broken": broken,
        "p50_us": taken[len(taken) // 2] * 1e6,
        "p99_us": taken[len(taken) * 99 // 100] * 1e6,
    }


if __name__ == "__main__":
    _, port_text, path_text, names_text, rate_text, seconds_text = sys.argv
    figures = measure(
        int(port_text), path_text, calls.Names(names_text), int(rate_text), float(seconds_text)
    )
    print(json.dumps(figures))
