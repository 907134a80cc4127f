"""The running gateway, spoken to over HTTP on the unix socket of its state folder.

The socket is private to its owner, so whoever can open it is the person who started the gateway.
Others who may decide come in by a socket of their own (`--approvers GROUP`), which is tried when
the first may not be opened.
The standard library's client is enough here and keeps every command fast to start.
"""

import contextlib
import http.client
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from mesh7_cli import exits, neutral, options, reading, spelled

SOCKET = "gateway.sock"
PEOPLE_SOCKET = "people.sock"
TIMEOUT_S = 10.0
OK = 200
DONE = (OK, 201)
REFUSED = (403, 409)
UNKNOWN = 404
WRONG = 422
NO_LEDGER = 503


class Response:
    """The head of an answer, and its body line by line as it comes."""

    def __init__(self, response: http.client.HTTPResponse, unix: socket.socket) -> None:
        self._response = response
        self._socket = unix
        self.status = response.status

    def header(self, name: str) -> str:
        """The value of a header, empty when it is absent."""
        return self._response.getheader(name) or ""

    def lines(self) -> Iterator[str]:
        """The body's lines without their ends; what is not UTF-8 shows as replacement marks."""
        for line in self._response:
            yield line.decode("utf-8", "replace").rstrip("\r\n")

    def hang_up(self) -> None:
        """End the answer, from any thread: whoever reads `lines` comes to their end."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)


class Gateway:
    """The gateway that holds one state folder; nothing is connected before the first question."""

    def __init__(self, state: Path, timeout_s: float = TIMEOUT_S) -> None:
        self._socket = state / SOCKET
        self._timeout_s = timeout_s

    def get(self, path: str) -> dict[str, object]:
        """The JSON object at `path`.

        Raises:
            GatewayError: nobody answers, or what answers is no mesh7 gateway.
        """
        with self.exchange("GET", path, {}, None, self._timeout_s) as response:
            value = _object("\n".join(response.lines()))
            if response.status == OK and value is not None:
                return value
            raise self._stranger(response.status, path)

    def ask(
        self, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> dict[str, object]:
        """The JSON object that the gateway answers to a person's wish.

        Raises:
            GatewayError: nobody answers, or what answers is no mesh7 gateway.
            RefusedError, UnknownError, LedgerError: nothing was done; the message is the
                gateway's own.
            click.UsageError: the gateway cannot understand the wish.
        """
        sent = None if body is None else spelled.compact(body).encode()
        headers = {} if sent is None else {"content-type": "application/json"}
        with self.exchange(method, path, headers, sent, self._timeout_s) as response:
            return self.told(response, path)

    def told(self, response: Response, path: str) -> dict[str, object]:
        """The object of an answer to a person's wish; raises as `ask` does."""
        value = _object("\n".join(response.lines()))
        if value is None:
            raise self._stranger(response.status, path)
        if response.status in DONE:
            return value
        detail = neutral.line(reading.text(value, "detail"))
        if not detail:
            raise self._stranger(response.status, path)
        if response.status == UNKNOWN:
            raise exits.UnknownError(detail)
        if response.status in REFUSED:
            raise exits.RefusedError(detail)
        if response.status == NO_LEDGER:
            raise exits.LedgerError(detail)
        if response.status == WRONG:
            raise click.UsageError(detail, ctx=click.get_current_context(silent=True))
        raise self._stranger(response.status, path)

    @contextlib.contextmanager
    def exchange(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout_s: float,
    ) -> Iterator[Response]:
        """One request on a connection of its own; the body is read inside the block.

        `timeout_s` counts between two bytes of the answer; a held call may take long.

        Raises:
            GatewayError: nobody answers, or the answer breaks off.
        """
        connection = http.client.HTTPConnection("localhost")
        connection.sock = self._connect(timeout_s)
        try:
            connection.request(method, path, body, dict(headers))
            unix = connection.sock
            yield Response(connection.getresponse(), unix)
        except TimeoutError as error:
            message = f"the gateway at `{self._socket}` does not answer – is it stopped?"
            raise exits.GatewayError(message) from error
        except (http.client.HTTPException, ConnectionError) as error:
            message = f"the gateway at `{self._socket}` broke off – see what it printed"
            raise exits.GatewayError(message) from error
        finally:
            connection.close()

    def _connect(self, timeout_s: float) -> socket.socket:
        try:
            return _connected(self._socket, timeout_s)
        except PermissionError:
            pass
        except OSError as error:
            raise exits.GatewayError(self._nobody()) from error
        try:
            return _connected(self._socket.with_name(PEOPLE_SOCKET), timeout_s)
        except OSError as error:
            message = (
                f"you may not open `{self._socket}` – ask who runs the gateway to name a group"
                " of yours with --approvers"
            )
            raise exits.GatewayError(message) from error

    def _nobody(self) -> str:
        folder = self._socket.parent
        directory = folder.parent if folder.name == options.STATE_FOLDER else Path("DIR")
        return (
            f"no gateway answers at `{self._socket}` – start one with `mesh7 run {directory}`,"
            " or name its folder with --dir or --state"
        )

    def _stranger(self, status: int, path: str) -> exits.GatewayError:
        return exits.GatewayError(
            f"the gateway at `{self._socket}` answered {status} to `{path}`"
            " – is it another version of mesh7?"
        )


def _connected(path: Path, timeout_s: float) -> socket.socket:
    unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        unix.settimeout(timeout_s)
        unix.connect(str(path))
    except OSError:
        unix.close()
        raise
    return unix


def _object(text: str) -> dict[str, object] | None:
    try:
        value = spelled.read(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
