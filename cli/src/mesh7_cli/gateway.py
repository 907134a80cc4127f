"""The running gateway, spoken to over HTTP on the unix socket of its state folder.

The socket is private to its owner, so whoever can open it is the person who started the gateway.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx

from mesh7_cli import exits

SOCKET = "gateway.sock"
TIMEOUT_S = 10.0


class Gateway:
    """One gateway; every method asks it once and raises GatewayError when nobody answers."""

    def __init__(self, state: Path, client: httpx.Client) -> None:
        self._socket = state / SOCKET
        self._client = client

    def get(self, path: str) -> dict[str, object]:
        """The JSON object at `path`.

        Raises:
            GatewayError: nobody answers, or what answers is no mesh7 gateway.
        """
        with self.exchange("GET", path, {}, None, TIMEOUT_S) as response:
            response.read()
            return self._json_object(response, path)

    @contextlib.contextmanager
    def exchange(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout_s: float | None,
    ) -> Iterator[httpx.Response]:
        """One request; the response's body is still to be read, so that streams can be followed.

        Args:
            timeout_s: between two bytes; None = as long as it takes (a held call may take long).
        """
        try:
            with self._client.stream(
                method, path, headers=dict(headers), content=body, timeout=timeout_s
            ) as response:
                yield response
        except (httpx.ConnectError, httpx.UnsupportedProtocol, OSError) as error:
            raise exits.GatewayError(self._nobody()) from error
        except httpx.TimeoutException as error:
            message = f"the gateway at `{self._socket}` does not answer – is it stopped?"
            raise exits.GatewayError(message) from error
        except httpx.HTTPError as error:
            message = f"the gateway at `{self._socket}` broke off – see what it printed"
            raise exits.GatewayError(message) from error

    def _json_object(self, response: httpx.Response, path: str) -> dict[str, object]:
        try:
            value = json.loads(response.content)
        except ValueError:
            value = None
        if response.status_code != httpx.codes.OK or not isinstance(value, dict):
            message = (
                f"the gateway at `{self._socket}` answered {response.status_code} to `{path}`"
                " – is it another version of mesh7?"
            )
            raise exits.GatewayError(message)
        return value

    def _nobody(self) -> str:
        folder = self._socket.parent
        directory = folder.parent if folder.name == ".mesh7" else Path("DIR")
        return (
            f"no gateway answers at `{self._socket}` – start one with `mesh7 run {directory}`,"
            " or name its folder with --dir or --state"
        )


@contextlib.contextmanager
def reach(state: Path) -> Iterator[Gateway]:
    """The gateway that holds the state folder `state`; connecting happens with the first question."""
    transport = httpx.HTTPTransport(uds=str(state / SOCKET))
    # trust_env off: a proxy variable must not redirect what goes to a private socket.
    with httpx.Client(transport=transport, base_url="http://localhost", trust_env=False) as client:
        yield Gateway(state, client)
