"""An attacker on a raw socket, a real gateway process, and a source that tells what reached it."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.sidecar.doors import parts as doors
from tests.sidecar.doors.scripted_source import Script, Talk
from tests.sidecar.lifecycle import parts
from tests.sidecar.lifecycle.parts import Guarded, guarded, scripted

PATIENCE_S = 30.0
ATTACK = 666
"""The JSON-RPC id of everything that an attacker sends."""
TOOLS = ("echo", "risky", "hidden")
WELL = "well"
"""The tool of honest calls, which are not counted as having reached the source."""
OWN_METHODS = ("initialize", "notifications/initialized", "server/discover", "tools/list")
_STATUS_LINE = re.compile(rb"HTTP/1\.1 [0-9]{3} ")
Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back on one connection.

    Attributes:
        status: of the first answer; 0 when the connection was closed without one.
        body: everything behind its head.
    """

    status: int
    body: bytes

    @property
    def count(self) -> int:
        """How many answers came."""
        return len(_STATUS_LINE.findall(self.body)) + (self.status > 0)


class Attack:
    """What an attacker can do, and what it achieved."""

    def __init__(self, served: Guarded, script: Script) -> None:
        self.served = served
        self._script = script

    @property
    def reached(self) -> list[Talk]:
        """Requests that the source got and the gateway did not make of its own accord."""
        return [talk for talk in self._script.seen if not _is_own(talk)]

    @property
    def tools_called(self) -> list[str]:
        """The tools that ran, in order."""
        return [str(talk.params["name"]) for talk in self.reached if talk.method == "tools/call"]

    async def raw(self, payload: bytes) -> Answer:
        """Send bytes on a fresh connection, close the sending half's use, read until it is quiet.

        The gateway closes after what it refuses; an answer that leaves the connection open ends
        with its announced length.
        """
        reader, writer = await asyncio.open_connection(*self.served.address)
        try:
            async with asyncio.timeout(PATIENCE_S):
                with contextlib.suppress(ConnectionError):
                    writer.write(payload)
                    await writer.drain()
                return await _answer(reader)
        finally:
            writer.close()

    async def post(
        self, path: str, body: bytes | Mapping[str, object], headers: Headers = ()
    ) -> Answer:
        """A POST with `host` and `content-length`, and these headers as they are."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(content)}"]
        lines += [f"{name}: {value}" for name, value in headers]
        return await self.raw("\r\n".join(lines).encode() + b"\r\n\r\n" + content)

    async def outcomes(
        self, path: str, bodies: Mapping[str, bytes], headers: Headers
    ) -> dict[str, int]:
        """The status that each of these bodies gets."""
        fields = list(headers)
        return {name: (await self.post(path, body, fields)).status for name, body in bodies.items()}

    async def is_well(self) -> bool:
        """Whether an honest call is still answered."""
        return (await self.served.call(f"s.{WELL}")).status == 200


@contextlib.asynccontextmanager
async def attacked(
    place: Path,
    *manifests: str,
    script: Script | None = None,
    more: str = "",
    tools: Sequence[str] = TOOLS,
) -> AsyncIterator[Attack]:
    """A gateway that guards `s`, by `doors.OPEN_POLICY` when no manifests are given.

    Args:
        place: where folder, state and log are.
        manifests: beside the source.
        script: what the source does.
        more: further lines of the ToolSource's spec.
        tools: that the source lists.
    """  # fmt: skip
    script = script or Script()
    async with scripted(*tools, WELL, script=script) as source:
        sources = doors.source("s", source.url, more)
        async with guarded(place, sources, *(manifests or (doors.OPEN_POLICY,))) as served:
            await served.until(parts.is_ready("s"))
            yield Attack(served, script)


def modern(method: str, params: Mapping[str, object]) -> tuple[bytes, dict[str, str]]:
    """Body and headers of an honest request of 2026-07-28 with the attacker's id."""
    body, fields = doors.modern_request(method, params, ATTACK)
    return json.dumps(body).encode(), fields


def legacy(method: str, params: object) -> bytes:
    """The body of a request of the older revisions."""
    message = {"jsonrpc": "2.0", "id": ATTACK, "method": method, "params": params}
    return json.dumps(message).encode()


def modern_headers(name: str = "echo", method: str = "tools/call") -> dict[str, str]:
    """The headers of an honest call."""
    return modern(method, {"name": name})[1]


LEGACY_HEADERS = doors.BOTH | {"mcp-protocol-version": doors.LEGACY}


def _is_own(talk: Talk) -> bool:
    """Whether the gateway asked for itself, or for the honest caller."""
    if talk.method == "tools/call":
        return talk.params["name"] == WELL
    is_numbered = b'"mesh7-' in talk.body or talk.method == "notifications/initialized"
    return is_numbered and talk.method in OWN_METHODS


async def _answer(reader: asyncio.StreamReader) -> Answer:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return Answer(0, b"")
    status = int(head.split(b" ")[1])
    lower = head.lower()
    if b"connection: close" not in lower and b"content-length: " in lower:
        length = int(lower.partition(b"content-length: ")[2].split(b"\r\n")[0])
        return Answer(status, await reader.readexactly(length))
    with contextlib.suppress(ConnectionError):
        return Answer(status, await reader.read())
    return Answer(status, b"")
