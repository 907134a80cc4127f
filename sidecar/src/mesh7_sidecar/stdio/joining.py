"""Joining the process that holds the state folder, for as long as both live."""

import asyncio
import math
from typing import Final

import orjson

from mesh7_core import errors
from mesh7_sidecar.doors.control import JOIN
from mesh7_sidecar.net import upstream
from mesh7_sidecar.net.heads import Headers

_TERMS: Final = upstream.Terms(
    answer_s=math.inf, idle_s=math.inf, stream_s=math.inf, maximum_bytes=1024 * 1024
)


class Membership:
    """One process joined to the holder; made by `join`.

    Attributes:
        over: set when the holder is gone.
    """

    def __init__(self, receiver: "_Joining", sending: upstream.Sending) -> None:
        self.over = receiver.over
        self._sending = sending

    def leave(self) -> None:
        """Tell the holder that we go, by closing the request."""
        self._sending.abort()


async def join(gateway: upstream.Upstream, identity: Headers) -> Membership | None:
    """Join, or find that nobody is there (yet); None then.

    Raises:
        SettingsError: the holder does not let this process join, and says why.
    """
    receiver = _Joining()
    sending = gateway.send(upstream.Request("GET", JOIN, identity, b"", _TERMS), receiver)
    await receiver.answered.wait()
    if receiver.status == 200:  # noqa: PLR2004
        return Membership(receiver, sending)
    if receiver.status == 403:  # noqa: PLR2004
        await receiver.over.wait()
        raise errors.SettingsError(f"the gateway refused to be joined: {receiver.detail()}")
    sending.abort()
    return None


class _Joining:
    """The receiver: an answer that lasts as long as the holder."""

    def __init__(self) -> None:
        self.status = 0
        self._body = b""
        self.answered = asyncio.Event()
        self.over = asyncio.Event()

    def head(self, status: int, headers: Headers) -> None:
        del headers
        self.status = status
        self.answered.set()

    def detail(self) -> str:
        """Why it was refused; empty when the answer does not say."""
        try:
            said = orjson.loads(self._body)
        except orjson.JSONDecodeError:
            return ""
        return str(said.get("detail", "")) if isinstance(said, dict) else ""

    def data(self, chunk: bytes) -> None:
        """Matters of a refusal alone."""
        if self.status != 200:  # noqa: PLR2004
            self._body += chunk

    def end(self) -> None:
        self.answered.set()
        self.over.set()

    def fail(self, failure: upstream.Failure) -> None:
        del failure
        self.end()
