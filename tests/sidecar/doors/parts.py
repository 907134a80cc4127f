"""A gateway in this process, on real sockets, and an agent that sends exactly what it is told."""

import asyncio
import contextlib
import io
import json
import textwrap
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import yarl
from aiohttp import ClientResponse

from mesh7_sidecar import main, state
from mesh7_sidecar.gateway import Gateway
from mesh7_sidecar.settings import Address, Settings
from tests.sidecar.audit.stored import calls_in

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
PATIENCE_S = 30.0
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "tester", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
JSON = {"content-type": "application/json"}
BOTH = JSON | {"accept": "application/json, text/event-stream"}
NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
OPEN_POLICY = """\
apiVersion: mesh7.dev/v1alpha1
kind: AgentPolicy
metadata: {name: open}
spec:
  selector: {}
  defaultAction: Deny
  rules:
  - {name: hidden, tools: ["*.hidden*"], action: Deny}
  - {name: no-risk, tools: ["*.risky"], when: "args.amount > 10", action: Deny, reason: too much}
  - {name: tools, tools: ["*"], action: Allow}
  - {name: no-secret, resources: ["*.*secret*"], action: Deny}
  - {name: resources, resources: ["*"], action: Allow}
  - {name: no-dark, prompts: ["*.*dark*"], action: Deny}
  - {name: prompts, prompts: ["*"], action: Allow}
"""


def source(name: str, url: str, more: str = "", kind: str = "mcp") -> str:
    """A ToolSource manifest; `more` are further lines of its spec."""
    reached = (
        f"{{transport: StreamableHTTP, url: {url}/mcp}}" if kind == "mcp" else f"{{url: {url}}}"
    )
    head = f"""\
        apiVersion: mesh7.dev/v1alpha1
        kind: ToolSource
        metadata: {{name: {name}}}
        spec:
          {kind}: {reached}
        """
    lines = textwrap.indent(textwrap.dedent(more).strip(), "  ")
    return textwrap.dedent(head) + (lines + "\n" if lines.strip() else "")


@dataclass
class Reply:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        """The body as an object."""
        found = json.loads(self.body)
        assert isinstance(found, dict), self.body
        return found

    @property
    def result(self) -> dict[str, object]:
        """The JSON-RPC result."""
        found = self.json.get("result")
        assert isinstance(found, dict), self.body
        return found

    @property
    def error(self) -> dict[str, object]:
        """The JSON-RPC error."""
        found = self.json.get("error")
        assert isinstance(found, dict), self.body
        return found

    @property
    def text(self) -> str:
        """The text of a tool result."""
        blocks = self.result["content"]
        assert isinstance(blocks, list)
        return "\n".join(block["text"] for block in blocks)

    @property
    def meta(self) -> dict[str, object]:
        """The result's `_meta`."""
        found = self.result.get("_meta", {})
        assert isinstance(found, dict)
        return found

    @property
    def events(self) -> list[dict[str, object]]:
        """The messages of an event stream."""
        blocks = self.body.decode().split("\n\n")
        return [json.loads(block.removeprefix("data: ")) for block in blocks if "data:" in block]


class Agent:
    """Who calls the gateway."""

    def __init__(self, session: aiohttp.ClientSession, url: str, **headers: str) -> None:
        self.url = url
        self._session = session
        self._headers = {name.replace("_", "-"): value for name, value in headers.items()}

    async def send(
        self,
        path: str,
        body: bytes | Mapping[str, object] | None = None,
        headers: Mapping[str, str] = BOTH,
        method: str = "POST",
    ) -> Reply:
        """One request and its whole answer."""
        async with self.open(path, body, headers, method) as response:
            return Reply(response.status, response.headers, await response.read())

    @contextlib.asynccontextmanager
    async def open(
        self,
        path: str,
        body: object = None,
        headers: Mapping[str, str] = BOTH,
        method: str = "POST",
    ) -> AsyncIterator[ClientResponse]:
        """One request; leaving the block closes the connection."""
        data = json.dumps(body).encode() if isinstance(body, Mapping) else body
        if isinstance(data, bytes):
            data = io.BytesIO(data)  # aiohttp warns of large bytes
        async with asyncio.timeout(PATIENCE_S), self._session.request(
            method, yarl.URL(self.url + path, encoded=True), data=data,
            headers=self._headers | dict(headers), allow_redirects=False,
            skip_auto_headers=("content-type",),
        ) as response:  # fmt: skip
            try:
                yield response
            finally:
                if not response.content.at_eof():
                    response.close()

    async def modern(
        self, path: str, method: str, params: Mapping[str, object] | None = None, **headers: str
    ) -> Reply:
        """A request of 2026-07-28."""
        body, fields = modern_request(method, params or {})
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.send(path, body, fields | named)

    async def legacy(
        self, path: str, method: str, params: Mapping[str, object] | None = None, **headers: str
    ) -> Reply:
        """A request of 2025-11-25."""
        body: dict[str, object] = {"jsonrpc": "2.0", "id": 1, "method": method}
        body["params"] = dict(params or {})
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.send(path, body, BOTH | {"mcp-protocol-version": LEGACY} | named)

    async def initialize(self, path: str) -> str:
        """A legacy session's id."""
        params: dict[str, object] = {
            "protocolVersion": LEGACY, "capabilities": {"elicitation": {}, "sampling": {}},
            "clientInfo": {"name": "tester", "version": "1"},
        }  # fmt: skip
        reply = await self.send(
            path, {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
        )
        assert reply.status == 200, reply.body
        session = reply.headers["mcp-session-id"]
        done: dict[str, object] = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        told = await self.send(path, done, BOTH | in_session(session))
        assert told.status == 202, told.body
        return session


def in_session(session: str) -> dict[str, str]:
    """The headers of a legacy message in a session."""
    return {"mcp-session-id": session, "mcp-protocol-version": LEGACY}


def modern_request(
    method: str, params: Mapping[str, object], identifier: int | str = 1
) -> tuple[dict[str, object], dict[str, str]]:
    """Body and headers of a request of 2026-07-28."""
    given = params.get("_meta", {})
    assert isinstance(given, dict)
    full = dict(params) | {"_meta": META | given}
    fields = BOTH | {"mcp-protocol-version": MODERN, "mcp-method": method}
    if method in NAMED:
        fields["mcp-name"] = str(params[NAMED[method]])
    body: dict[str, object] = {"jsonrpc": "2.0", "id": identifier, "method": method, "params": full}
    return body, fields


async def next_event(response: ClientResponse) -> dict[str, object]:
    """The next message of an event stream, comments passed over."""
    while True:
        block = await response.content.readuntil(b"\n\n")
        if b"data:" in block:
            found = json.loads(block.partition(b"data:")[2])
            assert isinstance(found, dict)
            return found


@dataclass
class Running:
    """A gateway that serves.

    Attributes:
        agent: calls over TCP.
        folder: of manifests.
        directory: the state folder.
    """

    gateway: Gateway
    agent: Agent
    folder: Path
    directory: Path

    def joined(self, name: str) -> Agent:
        """Another agent, which comes over the unix socket as `mesh7 stdio` does."""
        connector = aiohttp.UnixConnector(path=str(self.directory / "gateway.sock"))
        session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        self.sessions.append(session)
        return Agent(session, "http://127.0.0.1", x_mesh7_agent=name)

    async def stop(self) -> None:
        """Stop it before the block ends."""
        self.is_stopped = True
        await self.gateway.close()

    def __post_init__(self) -> None:
        self.is_stopped = False
        self.sessions: list[aiohttp.ClientSession] = []

    @property
    def status(self) -> Mapping[str, object]:
        """What `mesh7 status` shows."""
        return self.gateway.status()


@contextlib.asynccontextmanager
async def running(place: Path, *manifests: str, **changes: object) -> AsyncIterator[Running]:
    """A gateway on a folder of these manifests; `changes` are fields of its settings."""
    folder = place / "folder"
    write(folder, *manifests)
    given = Settings(
        directory=folder, state=place / "state", listen=Address("127.0.0.1", 0), admin=None
    )
    settings = replace(given, **changes)  # type: ignore[arg-type]
    held = main.hold(settings, "test")
    assert isinstance(held, state.Held)
    gateway = await main.start(settings, held)
    served: Running | None = None
    try:
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            agent = Agent(session, f"http://{gateway.status()['listen']}")
            served = Running(gateway, agent, folder, settings.state)
            yield served
            for each in served.sessions:
                await each.close()
    finally:
        if served is None or not served.is_stopped:
            await gateway.close()


def write(folder: Path, *manifests: str) -> None:
    """Write the folder anew, in one rename."""
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / ".fresh"
    fresh.write_text("---\n".join(manifests), encoding="utf-8")
    fresh.rename(folder / "all.yaml")


def audited(place: Path) -> list[dict[str, object]]:
    """The records of a gateway that has stopped."""
    return calls_in((place / "state" / "audit.jsonl").read_bytes())
