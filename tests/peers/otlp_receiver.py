"""An OTLP/HTTP collector of a few lines: it keeps what it is sent, or fails in the way it is told.

Speaks protobuf, plain or gzip, for traces, metrics and logs. A thread of its own a connection, so
it may be asked from anywhere; `close` ends them all, also those that are frozen.
"""

import contextlib
import gzip
import socket
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from typing_extensions import override

PATHS: Final = ("/v1/traces", "/v1/metrics", "/v1/logs")
_PROTOBUF: Final = "application/x-protobuf"
_DRIP_S: Final = 0.02


class Fault(Enum):
    """What goes wrong with a request."""

    NONE = "none"
    FROZEN = "frozen"
    """It is read, and never answered."""
    HANGS_UP = "hangs-up"
    """The connection ends in the middle of the request's body."""
    DRIPS = "drips"
    """The answer's body comes in bytes, one after the other, without end."""
    DRIPS_ITS_HEAD = "drips-its-head"
    """Likewise, before it has said anything."""
    GARBAGE = "garbage"
    """What comes back is no HTTP."""
    AS_IT_STANDS = "as-it-stands"
    """What comes back is `body` and nothing else; then it waits for more."""


@dataclass
class Manner:
    """How it answers from now on.

    Attributes:
        status: 200, or a refusal.
        headers, body: of the answer.
    """

    fault: Fault = Fault.NONE
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class Asked:
    """One request: its path, its headers (names in lower case), its body as protobuf."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """A collector on a free loopback port."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.manner = Manner()
        self.first: deque[Manner] = deque()
        """How it answers before that, each once."""
        self.asked: list[Asked] = []
        self.arrived = threading.Semaphore(0)
        """Released once for every request that was read."""
        self._connections: set[socket.socket] = set()
        self._server = _Server(("127.0.0.1", 0), _handler_of(self))
        self._server.tls = tls
        self._server.connections = self._connections
        self._scheme = "https" if tls else "http"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def url(self) -> str:
        """What `OTEL_EXPORTER_OTLP_ENDPOINT` is set to."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def spans(self) -> list[Span]:
        """All that were taken, in the order in which they came."""
        return [
            span
            for request in self._taken("/v1/traces")
            for resource in ExportTraceServiceRequest.FromString(request.body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def log_records(self) -> list[LogRecord]:
        """Likewise."""
        return [
            record
            for request in self._taken("/v1/logs")
            for resource in ExportLogsServiceRequest.FromString(request.body).resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    def metrics(self) -> list[Metric]:
        """Likewise: one that was sent again is there again."""
        return [
            metric
            for request in self._taken("/v1/metrics")
            for resource in ExportMetricsServiceRequest.FromString(request.body).resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]

    def resources(self) -> list[dict[str, object]]:
        """Whose spans came, one each request."""
        return [
            attributes(resource.resource.attributes)
            for request in self._taken("/v1/traces")
            for resource in ExportTraceServiceRequest.FromString(request.body).resource_spans
        ]

    def close(self) -> None:
        """End it, with all connections."""
        self._server.shutdown()
        self._thread.join()
        self.hang_up()
        self._server.server_close()

    def hang_up(self) -> None:
        """End all connections, and go on."""
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _taken(self, path: str) -> list[Asked]:
        return [request for request in self.asked if request.path == path]


@contextlib.contextmanager
def running(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """One, for as long as the block lasts."""
    receiver = Receiver(tls)
    try:
        yield receiver
    finally:
        receiver.close()


def attributes(pairs: "list[KeyValue]") -> dict[str, object]:
    """As plain values."""
    return {pair.key: _plain(pair.value) for pair in pairs}


def _plain(value: AnyValue) -> object:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(one) for one in value.array_value.values]
    return None if kind is None else getattr(value, kind)


class _Server(ThreadingHTTPServer):
    tls: ssl.SSLContext | None
    connections: set[socket.socket]
    daemon_threads = False

    @override
    def finish_request(self, request: object, client_address: object) -> None:
        """In the connection's thread: a handshake that fails or hangs costs only itself."""
        assert isinstance(request, socket.socket)
        self.connections.add(request)
        try:
            if self.tls is None:
                super().finish_request(request, client_address)
                return
            with self.tls.wrap_socket(request, server_side=True) as wrapped:
                self.connections.add(wrapped)
                super().finish_request(wrapped, client_address)
        except OSError:
            # Whoever asked went away, or does not trust the certificate.
            return


def _drip(connection: socket.socket, fault: Fault) -> None:
    """Until the asker goes, or `close`."""
    head = b"HTTP/1.1 200 OK\r\n"
    said = b"content-length: 1000000000\r\n\r\n" if fault is Fault.DRIPS else b"x-drip: "
    connection.sendall(head + said)
    connection.settimeout(_DRIP_S)
    with contextlib.suppress(OSError):
        while True:
            connection.sendall(b"a")
            with contextlib.suppress(TimeoutError):
                if not connection.recv(1):
                    return


def _answer(handler: BaseHTTPRequestHandler, manner: Manner) -> None:
    if manner.fault is Fault.FROZEN:
        # Until the asker goes, or `close`.
        handler.connection.recv(1)
        handler.close_connection = True
        return
    if manner.fault in {Fault.DRIPS, Fault.DRIPS_ITS_HEAD}:
        handler.close_connection = True
        _drip(handler.connection, manner.fault)
        return
    if manner.fault is Fault.AS_IT_STANDS:
        handler.wfile.write(manner.body)
        return
    if manner.fault is Fault.GARBAGE:
        handler.wfile.write(b"\x00\xff not HTTP at all\r\n\r\n" * 3)
        handler.close_connection = True
        return
    handler.send_response(manner.status)
    for name, value in ({"content-type": _PROTOBUF} | manner.headers).items():
        handler.send_header(name, value)
    handler.send_header("content-length", str(len(manner.body)))
    handler.end_headers()
    handler.wfile.write(manner.body)


def _handler_of(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            manner = receiver.first.popleft() if receiver.first else receiver.manner
            length = int(self.headers["content-length"])
            if manner.fault is Fault.HANGS_UP:
                self.rfile.read(length // 2)
                self.close_connection = True
                receiver.arrived.release()
                return
            body = self.rfile.read(length)
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            headers = {name.lower(): value for name, value in self.headers.items()}
            if manner.fault is Fault.NONE and manner.status == 200 and self.path in PATHS:
                receiver.asked.append(Asked(self.path, headers, body))
            receiver.arrived.release()
            _answer(self, manner)

        @override
        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    return Handler
