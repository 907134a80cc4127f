"""The control API of a gateway, scripted, over a real unix socket: requests, decisions, a watch.

It stands in where a test needs states that a real gateway has only now and then.
"""

import json
import queue
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Final

from typing_extensions import override

ID: Final = "r-0123456789abcdefghijklmnop"
OTHER: Final = "r-zyxwvutsrqponmlkjihgfedcba"
Object = dict[str, object]


def held(identifier: str = ID, **changed: object) -> Object:
    """One request as the gateway gives it."""
    request: Object = {
        "id": identifier,
        "state": "pending",
        "tool": "git.git_commit",
        "source": {"name": "git", "kind": "mcp", "host": "stdio", "path": "mcp-server-git"},
        "agent": "shop/support",
        "pod": "5f1c",
        "arguments": {"message": "agent: buy bread", "amount": 12},
        "rules": [
            {
                "rule": "shop/quickstart/commits",
                "reason": "a person looks at commits",
                "groups": [],
                "count": 1,
                "approvedBy": [],
            }
        ],
        "openedAt": "2026-11-21T10:00:00.000Z",
        "expiresAt": "2026-11-21T10:10:00.000Z",
        "usableUntil": None,
        "definition": "sha256:11",
        "digest": "sha256:22",
        "decisions": [],
        "outcome": "",
        "ranBefore": [],
        "pending": 1,
        "waiting": 1,
        "traceId": "4bf9",
    }
    return request | changed


def granted(name: str = "g-1", **changed: object) -> Object:
    """One standing grant as the gateway gives it."""
    grant: Object = {
        "name": name,
        "id": f"shop/{name}",
        "effect": "Allow",
        "tools": ["git.git_commit"],
        "agent": "support",
        "pod": None,
        "policy": "shop/quickstart",
        "when": None,
        "expiresAt": "2026-11-21T10:30:00Z",
        "maxUses": 5,
        "used": 2,
        "reason": "INC-1",
        "by": "ann",
        "madeAt": "2026-11-21T10:00:00.000Z",
        "from": "hand",
    }
    return grant | changed


@dataclass(slots=True, kw_only=True)
class Book:
    """What the gateway knows, and what it was asked for.

    Attributes:
        answers: status and body by `METHOD path`, in place of what it would answer.
        wishes: `METHOD path` and body of everything that would change something.
    """

    requests: dict[str, Object] = field(default_factory=dict)
    grants: list[Object] = field(default_factory=list)
    answers: dict[str, tuple[int, Object]] = field(default_factory=dict)
    wishes: list[tuple[str, object]] = field(default_factory=list)
    watchers: list["queue.SimpleQueue[Object | None]"] = field(default_factory=list)

    def publish(self, request: Object) -> None:
        """A request is new or changed, and whoever watches is told."""
        self.requests[str(request["id"])] = request
        for watcher in self.watchers:
            watcher.put({"request": request})


@contextmanager
def serve(state: Path, book: Book, name: str = "gateway.sock") -> Iterator[Book]:
    """Answer on the socket until the block ends; then every watch ends too."""
    state.mkdir(parents=True, exist_ok=True)
    path = state / name
    path.unlink(missing_ok=True)
    server = socketserver.ThreadingUnixStreamServer(str(path), _answering(book))
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield book
    finally:
        server.shutdown()
        for watcher in book.watchers:
            watcher.put(None)
        server.server_close()
        thread.join()
        book.watchers.clear()


def _answering(book: Book) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:
            if self.path == "/control/watch" and "GET /control/watch" not in book.answers:
                self._watch()
            else:
                self._answer()

        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            book.wishes.append((f"POST {self.path}", json.loads(self.rfile.read(length))))
            self._answer()

        def do_DELETE(self) -> None:
            book.wishes.append((f"DELETE {self.path}", None))
            self._answer()

        @override
        def log_message(self, *_: object) -> None:
            """Say nothing: stderr is what the tests look at."""

        def _answer(self) -> None:
            line = f"{self.command} {self.path}"
            status, body = book.answers.get(line) or _usual(book, self.command, self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def _watch(self) -> None:
            told: queue.SimpleQueue[Object | None] = queue.SimpleQueue()
            self.send_response(200)
            self.end_headers()
            # Before the list is written: nothing published from now on is missed.
            book.watchers.append(told)
            event: Object | None = {"requests": list(book.requests.values())}
            while event is not None:
                self.wfile.write(json.dumps(event).encode() + b"\n")
                event = told.get()

    return Handler


def _usual(book: Book, method: str, path: str) -> tuple[int, Object]:
    if path.startswith("/control/requests?"):
        return 200, {"requests": list(book.requests.values())}
    if path == "/control/grants" and method == "GET":
        return 200, {"grants": book.grants}
    _, _, _, identifier, *verbs = path.split("/")
    request = book.requests.get(identifier)
    if request is None:
        return 404, {"detail": "there is nothing"}
    if verbs:
        state = {"approve": "approved", "deny": "denied"}[verbs[0]]
        request |= {"state": state, "usableUntil": "2026-11-21T10:10:00.000Z"}
    return 200, request
