"""The running gateway, spoken to over HTTP on the unix socket of its state folder.

The socket is private to its owner, so whoever can open it is the person who started the gateway.
The standard library's client is enough here and keeps every command fast to start.
"""

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from mesh7_cli import exits, options

SOCKET = "gateway.sock"
TIMEOUT_S = 10.0
OK = 200


class Response:
    """The head of an answer, and its body line by line as it comes."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response
        self.status = response.status

    def header(self, name: str) -> str:
        """The value of a header, empty when it is absent."""
        return self._response.getheader(name) or ""

    def lines(self) -> Iterator[str]:
        """The body's lines without their ends; what is not UTF-8 shows as replacement marks."""
        for line in self._response:
            yield line.decode("utf-8", "replace").rstrip("\r\n")


class Gateway:
    """The gateway that holds one state folder; nothing is connected before the first question."""

    def __init__(self, state: Path) -> None:
        self._socket = state / SOCKET

    def get(self, path: str) -> dict[str, object]:
        """The JSON object at `path`.

        Raises:
            GatewayError: nobody answers, or what answers is no mesh7 gateway.
        """
        with self.exchange("GET", path, {}, None, TIMEOUT_S) as response:
            value = _json("\n".join(response.lines()))
            if response.status == OK and isinstance(value, dict):
                return value
            message = (
                f"the gateway at `{self._socket}` answered {response.status} to `{path}`"
                " – is it another version of mesh7?"
            )
            raise exits.GatewayError(message)

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
            yield Response(connection.getresponse())
        except TimeoutError as error:
            message = f"the gateway at `{self._socket}` does not answer – is it stopped?"
            raise exits.GatewayError(message) from error
        except (http.client.HTTPException, ConnectionError) as error:
            message = f"the gateway at `{self._socket}` broke off – see what it printed"
            raise exits.GatewayError(message) from error
        finally:
            connection.close()

    def _connect(self, timeout_s: float) -> socket.socket:
        unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            unix.settimeout(timeout_s)
            unix.connect(str(self._socket))
        except OSError as error:
            unix.close()
            raise exits.GatewayError(self._nobody()) from error
        return unix

    def _nobody(self) -> str:
        folder = self._socket.parent
        directory = folder.parent if folder.name == options.STATE_FOLDER else Path("DIR")
        return (
            f"no gateway answers at `{self._socket}` – start one with `mesh7 run {directory}`,"
            " or name its folder with --dir or --state"
        )


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None
