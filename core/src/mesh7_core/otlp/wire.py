"""One collector's answers: a `requests` session that reads little of them and says what they mean.

The SDK's exporters send by it, and decide what is tried again. It knows neither proxies nor
`.netrc`: telemetry goes where the settings say. Imported only by programs that send.
"""

from typing import Final

import requests
from requests.adapters import HTTPAdapter
from typing_extensions import override

from mesh7_core.otlp.counts import Lost
from mesh7_core.otlp.settings import Target

_MOST_READ: Final = 65_536
"""Bytes of an answer: what is longer is no answer of a collector."""
_PROTOBUF: Final = "application/x-protobuf"
_FIRST_REDIRECT: Final = 300
_FIRST_ERROR: Final = 400
_PARTIAL_SUCCESS: Final = 0x0A
_REJECTED: Final = 0x08
_LEAST_PARTIAL: Final = 4
_MOST_VARINT: Final = 10


class RedirectError(requests.RequestException):
    """The collector is somewhere else; what is sent may hold credentials, so nobody follows."""


class Wire(requests.Session):
    """To one collector.

    Attributes:
        lost, cause: what became of the last request; None and empty = it was taken.
        body: of the last answer, if it was protobuf and not too long; else empty.
    """

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.trust_env = False
        self._timeout_s = target.timeout_s
        self.lost: Lost | None = None
        self.cause = ""
        self.body = b""
        self.mount("http://", HTTPAdapter(pool_connections=1, pool_maxsize=1))
        self.mount("https://", HTTPAdapter(pool_connections=1, pool_maxsize=1))

    def forget(self) -> None:
        """Before something else is sent."""
        self.lost, self.cause, self.body = None, "", b""

    @override
    def send(self, request: requests.PreparedRequest, **kwargs: object) -> requests.Response:
        """As `requests` does, with the answer read already and notes of what came of it."""
        self.forget()
        try:
            answer = super().send(request, **{**kwargs, "stream": True})
            self._read(answer)
        # What `requests` raises is an OSError; a ValueError says that no time is left.
        except (OSError, ValueError) as error:
            self.lost, self.cause = self._meaning(error)
            raise
        if answer.status_code >= _FIRST_ERROR:
            self.lost, self.cause = Lost.REFUSED, f"answered {answer.status_code}"
        return answer

    def _read(self, answer: requests.Response) -> None:
        chunks = answer.iter_content(_MOST_READ)
        body = next(chunks, b"")
        is_whole = len(body) < _MOST_READ and next(chunks, None) is None
        # Closing gives a connection back that was read to its end, and ends others.
        answer.close()
        if _FIRST_REDIRECT <= answer.status_code < _FIRST_ERROR:
            raise RedirectError(f"answered {answer.status_code}")
        if is_whole and answer.headers.get("content-type", "").startswith(_PROTOBUF):
            self.body = body

    def _meaning(self, error: OSError | ValueError) -> tuple[Lost, str]:
        if isinstance(error, RedirectError):
            return Lost.REFUSED, f"{error}: it is somewhere else, which is not followed"
        if isinstance(error, requests.exceptions.SSLError):
            return Lost.UNREACHABLE, "cannot be trusted: TLS failed, see its certificate"
        if isinstance(error, requests.exceptions.ConnectTimeout):
            return Lost.UNREACHABLE, f"was not reached within {self._timeout_s:g} s"
        if isinstance(error, requests.exceptions.Timeout):
            return Lost.TIMED_OUT, f"did not answer within {self._timeout_s:g} s"
        if isinstance(error, requests.exceptions.ConnectionError):
            return Lost.UNREACHABLE, "was not reached, or hung up"
        if isinstance(error, requests.RequestException):
            return Lost.REFUSED, "did not speak HTTP"
        if isinstance(error, ValueError):
            return Lost.TIMED_OUT, f"did not answer within {self._timeout_s:g} s"
        return Lost.UNREACHABLE, "was not asked: certificate or key cannot be read"


def rejected(body: bytes) -> int:
    """How many items an answer says were not taken; 0 when it says nothing of it.

    Traces, metrics and logs spell it alike: field 1 of field 1, a number.
    """
    if len(body) < _LEAST_PARTIAL or body[0] != _PARTIAL_SUCCESS or body[2] != _REJECTED:
        return 0
    number = 0
    for place, byte in enumerate(body[3 : 3 + _MOST_VARINT]):
        number |= (byte & 0x7F) << (7 * place)
        if not byte & 0x80:
            return number
    return 0
