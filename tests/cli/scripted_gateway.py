"""A gateway that answers what a test wrote down, over a real unix socket.

It stands in where a test needs an answer that the real gateway gives only in rare states.
"""

import json
import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from typing_extensions import override


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What is answered to one request line."""

    status: int = 200
    content_type: str = "application/json"
    body: str = "{}"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Script:
    """Replies by `METHOD path [JSON-RPC method]`, and the requests that came."""

    replies: Mapping[str, Reply]
    asked: list[str] = field(default_factory=list)


@contextmanager
def serve(state: Path, script: Script) -> Iterator[Script]:
    """Answer on `state/gateway.sock` until the block ends."""
    state.mkdir(parents=True, exist_ok=True)
    server = socketserver.ThreadingUnixStreamServer(str(state / "gateway.sock"), _handler(script))
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(script: Script) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:
            self._answer("")

        def do_DELETE(self) -> None:
            self._answer("")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            self._answer(str(json.loads(body)["method"]))

        @override
        def log_message(self, *_: object) -> None:
            """Say nothing: stderr is what the tests look at."""

        def _answer(self, word: str) -> None:
            line = f"{self.command} {self.path} {word}".strip()
            script.asked.append(line)
            reply = script.replies.get(line, Reply(status=404, body=""))
            self.send_response(reply.status)
            self.send_header("content-type", reply.content_type)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body.encode())

    return Handler
