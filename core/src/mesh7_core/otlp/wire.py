"""One collector's HTTP: a request, and a short answer that has come in whole by a deadline.

A time limit for each read would let a collector that drips keep us for good, so whatever is done
with a connection is done by the time that the whole has. It knows neither proxies nor `.netrc`, and
follows nobody: what is sent may hold credentials, and goes where the settings say.
"""

import base64
import http.client
import io
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import quote, unquote, urlsplit

from typing_extensions import Buffer, override

from mesh7_core import names
from mesh7_core.otlp import framing
from mesh7_core.otlp.counts import Lost
from mesh7_core.otlp.settings import Target

PROTOBUF: Final = "application/x-protobuf"
_MOST_READ: Final = 65_536
"""Bytes of an answer: what is longer is no answer of a collector."""
_PORTS: Final = {"http": 80, "https": 443}
_IN_A_PATH: Final = "/%:@!$&'()*+,;=~?"
Address: TypeAlias = tuple[
    socket.AddressFamily,
    socket.SocketKind,
    int,
    str,
    tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes],
]
"""As `socket.getaddrinfo` answers."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a collector said.

    Attributes:
        headers: names in lower case.
        body: empty when it is not protobuf, or longer than an answer is.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class WireError(Exception):
    """There is no answer.

    Attributes:
        lost: why not.
        cause: the same for people.
        is_passing: whether it may be tried again.
    """

    def __init__(self, lost: Lost, cause: str, *, is_passing: bool = True) -> None:
        super().__init__(cause)
        self.lost = lost
        self.cause = cause
        self.is_passing = is_passing


class Wire:
    """To one collector; used by one thread."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._head = b""
        self._open: _Timed | None = None

    @property
    def is_open(self) -> bool:
        """Whether a connection of an earlier request is kept, which may have gone stale."""
        return self._open is not None

    def ask(self, body: bytes, within_s: float) -> Answer:
        """Send it and read the answer, both within that time.

        Raises:
            WireError: there is no answer, or not in time.
        """
        until_s = time.monotonic() + within_s
        is_connected = False
        try:
            connection = self._open or _Timed(_connect(self._target, until_s))
            is_connected = True
            self._open = None
            self._head = self._head or _head(self._target)
            connection.until_s = until_s
            try:
                connection.send(self._head + b"content-length: %d\r\n\r\n" % len(body) + body)
                return self._read(connection)
            finally:
                if self._open is not connection:
                    connection.close()
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise self._meaning(error, is_connected=is_connected) from error

    def close(self) -> None:
        """Give up what is kept."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _read(self, connection: "_Timed") -> Answer:
        # It asks nothing of its socket but to be read.
        response = http.client.HTTPResponse(connection, method="POST")  # type: ignore[arg-type]
        try:
            response.begin()
            headers = {name.lower(): value for name, value in response.getheaders()}
            body, is_whole = framing.read(response, _MOST_READ)
            if is_whole and not response.will_close:
                self._open = connection
        finally:
            response.close()
        is_answer = is_whole and headers.get("content-type", "").startswith(PROTOBUF)
        return Answer(response.status, headers, body if is_answer else b"")

    def _meaning(self, error: Exception, *, is_connected: bool) -> WireError:
        within = f"within {self._target.timeout_s:g} s"
        match error:
            case TimeoutError() if is_connected:
                return WireError(Lost.TIMED_OUT, f"did not answer {within}")
            case TimeoutError():
                return WireError(Lost.UNREACHABLE, f"was not reached {within}")
            case _CredentialsError():
                return WireError(
                    Lost.UNREACHABLE,
                    "was not asked: certificate or key cannot be read",
                    is_passing=False,
                )
            case ssl.SSLError():
                return WireError(
                    Lost.UNREACHABLE, "cannot be trusted: TLS failed, see its certificate"
                )
            case OSError():
                return WireError(Lost.UNREACHABLE, "was not reached, or hung up")
            case _:
                return WireError(Lost.REFUSED, "did not speak HTTP", is_passing=False)


class _CredentialsError(OSError):
    """A file of ours is not what it should be."""


class _Timed:
    """A socket with one deadline for all that is done with it.

    Attributes:
        until_s: monotonic time of the deadline.
    """

    def __init__(self, connected: socket.socket) -> None:
        self.until_s = 0.0
        self._socket = connected

    def send(self, whole: bytes) -> None:
        """All of it.

        Raises:
            OSError: it broke, or took too long.
        """
        left = memoryview(whole)
        while left:
            self._socket.settimeout(_left(self.until_s))
            left = left[self._socket.send(left) :]

    def receive_into(self, room: Buffer) -> int:
        """What there is; 0 at the end.

        Raises:
            OSError: it broke, or took too long.
        """
        self._socket.settimeout(_left(self.until_s))
        return self._socket.recv_into(room)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What `http.client` reads from; closing it leaves the connection open."""
        return io.BufferedReader(_Reading(self))

    def close(self) -> None:
        """At once: nothing is said to whoever does not listen."""
        self._socket.close()


class _Reading(io.RawIOBase):
    def __init__(self, connection: _Timed) -> None:
        super().__init__()
        self._connection = connection

    @override
    def readable(self) -> bool:
        return True

    # Typeshed calls it `buffer`, positional.
    @override
    def readinto(self, room: Buffer, /) -> int:
        return self._connection.receive_into(room)


def _left(until_s: float) -> float:
    left = until_s - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _connect(target: Target, until_s: float) -> socket.socket:
    """To the first of its addresses that answers."""
    parts = urlsplit(target.url)
    host = parts.hostname or ""
    tls = _tls(target) if parts.scheme == "https" else None
    port = parts.port or _PORTS[parts.scheme]
    connected = reach(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), until_s)
    try:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is None:
            return connected
        connected.settimeout(_left(until_s))
        return tls.wrap_socket(connected, server_hostname=host)
    except BaseException:
        connected.close()
        raise


def reach(addresses: Sequence[Address], until_s: float) -> socket.socket:
    """Connected to the first that answers within its share of what time is left.

    Raises:
        OSError: none does; it says what the last said.
    """
    failure = OSError("no address")
    for tried, (family, kind, protocol, _, address) in enumerate(addresses):
        share_s = _left(until_s) / (len(addresses) - tried)
        trying = socket.socket(family, kind, protocol)
        try:
            trying.settimeout(share_s)
            trying.connect(address)
        except OSError as error:
            trying.close()
            failure = error
        else:
            return trying
    raise failure


def _tls(target: Target) -> ssl.SSLContext:
    """Read anew for each connection: certificates are replaced."""
    try:
        context = ssl.create_default_context(
            cafile=target.authorities or None, cadata=target.authorities_pem or None
        )
        if target.certificate:
            context.load_cert_chain(target.certificate, target.private_key or None)
    except OSError as error:
        raise _CredentialsError from error
    return context


def _head(target: Target) -> bytes:
    """All of a request's head but its length."""
    parts = urlsplit(target.url)
    login, _, place = parts.netloc.rpartition("@")
    path = quote(parts.path or "/", _IN_A_PATH)
    query = f"?{quote(parts.query, _IN_A_PATH)}" if parts.query else ""
    headers = {
        "host": place.encode("idna").decode(),
        "user-agent": f"mesh7/{names.RELEASE}",
        "accept-encoding": "identity",
        "content-type": PROTOBUF,
    }
    if login:
        headers["authorization"] = f"Basic {base64.b64encode(unquote(login).encode()).decode()}"
    if target.is_compressed:
        headers["content-encoding"] = "gzip"
    said = headers | {name.lower(): value for name, value in target.headers.items()}
    said.pop("content-length", None)
    lines = [f"POST {path}{query} HTTP/1.1", *(f"{name}: {value}" for name, value in said.items())]
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1")
