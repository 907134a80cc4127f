"""The gateway of a made-up pod as a process, and all that stands around it but an API server.

The test seals what is delivered and swaps the mounted folder as the kubelet does; Valkey is real.
"""

import asyncio
import base64
import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from mesh7_core.delivery import payloads
from mesh7_core.delivery.envelopes import Kind
from mesh7_core.ledger import functions
from mesh7_core.ledger.redis import RedisLedger
from mesh7_core.ledger.redis_url import RedisServer
from tests.peers import ports, redis_servers
from tests.sidecar.audit.stored import calls_in
from tests.sidecar.bundles.delivering import AGENT, NAMESPACE, ConfigMap, Operator
from tests.sidecar.doors.scripted_source import Script, ScriptedSource

PATIENCE_S = 30.0
STEP_S = 0.01
AT_ONCE = {"MESH7_FIRST_BUNDLE": "0s"}
"""Calls do not wait for a first bundle."""
LOOPBACK = {"MESH7_DIALLED": "127.0.0.0/8,::1/128"}
VALKEY = redis_servers.programs()["valkey"]
HERE = socket.gethostname().lower()
"""A name that leads to this machine: sources in a cluster may not say `localhost`."""
Ready = Mapping[str, object]
_Object = dict[str, object]


def policy(name: str, *rules: _Object, limits: tuple[_Object, ...] = ()) -> _Object:
    """An AgentPolicy for everybody that denies the rest."""
    spec: _Object = {"selector": {}, "defaultAction": "Deny", "rules": list(rules)}
    if limits:
        spec["limits"] = list(limits)
    return _written("AgentPolicy", name, spec)


def rule(tools: str, action: str = "Allow", **more: object) -> _Object:
    """One rule, named after its tools."""
    name = "".join(each if each.isalnum() else "-" for each in tools).strip("-") or "all"
    return {"name": name, "tools": [tools], "action": action, **more}


def tool_source(name: str, url: str, **more: object) -> _Object:
    """A ToolSource that speaks MCP."""
    return _written("ToolSource", name, {"mcp": {"url": f"{url}/mcp"}, **more})


def api_source(name: str, url: str, **more: object) -> _Object:
    """A ToolSource that is plain HTTP."""
    return _written("ToolSource", name, {"http": {"url": url}, **more})


def _written(kind: str, name: str, spec: _Object) -> _Object:
    return {
        "apiVersion": "mesh7.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": spec,
    }


def rostered(operator: Operator, version: int, roster: payloads.Roster, *objects: _Object) -> bytes:
    """A sealed bundle that says how many sidecars there are."""
    documents = tuple(payloads.document_of(one) for one in objects)
    content = payloads.BundleContent(
        namespace=NAMESPACE, labels={}, documents=documents, roster=roster
    )
    return operator.seal(Kind.BUNDLE, version, payloads.write_bundle(content))


API = api_source("api", "http://api.internal")
"""Nobody calls it: dry runs ask about it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request came to; `body` is empty when it is no JSON object."""

    status: int
    body: Mapping[str, object]


class Pod:
    """One sidecar process on a folder of its own; it can be started again there.

    Attributes:
        config_map: what is mounted.
        state: its state folder.
        pid: of the process that was started last.
    """

    def __init__(self, folder: Path, operator: Operator, environment: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.config_map = ConfigMap(folder / "mounted")
        self.state = folder / "state"
        self.port, self.admin_port = ports.free(), ports.free()
        self.environment = {
            "PATH": os.environ["PATH"],
            "MESH7_NAMESPACE": NAMESPACE,
            "MESH7_SERVICE_ACCOUNT": AGENT.service_account,
            "MESH7_POD_NAME": AGENT.pod,
            "MESH7_POD_UID": "uid-1",
            "MESH7_TRUST_KEY": base64.b64encode(operator.root).decode(),
            "MESH7_BUNDLE_DIR": str(self.config_map.directory),
            "MESH7_STATE": str(self.state),
            "MESH7_LISTEN": f"127.0.0.1:{self.port}",
            "MESH7_ADMIN": f"127.0.0.1:{self.admin_port}",
            **environment,
        }
        self._log, self._audit = folder / "log", folder / "audit"
        self._process: asyncio.subprocess.Process | None = None
        self._session = aiohttp.ClientSession()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What it wrote to stderr, over all starts."""
        return self._log.read_text("utf-8")

    @property
    def audit(self) -> list[dict[str, object]]:
        """What it wrote to stdout, over all starts."""
        return calls_in(self._audit.read_bytes())

    async def start(self) -> None:
        """Start the process; it need not answer yet."""
        with self._log.open("ab") as log, self._audit.open("ab") as audit:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "mesh7_sidecar",
                env=self.environment, stdin=asyncio.subprocess.DEVNULL, stdout=audit, stderr=log,
            )  # fmt: skip

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send it a signal; its exit status."""
        self.send_signal(number)
        return await self.ended()

    def send_signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Its exit status, once it has one."""
        assert self._process is not None
        status = await asyncio.wait_for(self._process.wait(), PATIENCE_S + 5)
        self._process = None
        return status

    async def restart(self) -> None:
        """End it in order, start it again, and wait until it answers."""
        assert await self.end() == 0
        await self.start()
        await self.lives()

    async def lives(self) -> None:
        """Wait until it answers the kubelet."""
        await self.until(lambda: self._asked(self.admin_port, "/healthz"), 200)

    async def until_ready(self) -> None:
        """Wait until a bundle is in force and calls are served."""
        await self.until(self.readyz, 200)
        assert (await self.decide()).status == 200

    async def until(self, ask: Callable[[], Awaitable[Answer]], status: int) -> Answer:
        """The first answer of that status."""
        found = Answer(0, {})

        async def is_there() -> bool:
            nonlocal found
            found = await ask()
            return found.status == status

        await self.eventually(is_there)
        return found

    async def says(self, reason: str) -> None:
        """Wait until a dry run comes to that."""

        async def is_said() -> bool:
            return (await self.decide()).body.get("reason") == reason

        await self.eventually(is_said)

    async def eventually(self, claim: Callable[[], Awaitable[bool]]) -> None:
        """Wait until the claim is true, for what gives no event to wait on."""
        deadline = time.monotonic() + PATIENCE_S
        while not await claim():
            assert self._process is None or self._process.returncode is None, self.log
            assert time.monotonic() < deadline, self.log
            await asyncio.sleep(STEP_S)

    async def readyz(self) -> Answer:
        return await self._asked(self.admin_port, "/readyz")

    async def startz(self) -> Answer:
        return await self._asked(self.admin_port, "/startz")

    async def healthz(self) -> Answer:
        return await self._asked(self.admin_port, "/healthz")

    async def decide(self) -> Answer:
        """A dry run: what a request to `api` would come to."""
        question = {"tool": "api.get", "http": {"method": "GET", "path": "/"}}
        return await self._asked(self.port, "/v1/decide", question)

    async def call(self, tool: str, **arguments: object) -> Answer:
        """A call for real."""
        return await self._asked(self.port, f"/v1/tools/{tool}", {"arguments": arguments})

    async def ask(self, path: str, body: object = None) -> Answer:
        """Anything of the data listener; a POST when there is a body."""
        return await self._asked(self.port, path, body)

    async def close(self) -> None:
        """End it, however it is."""
        await self._session.close()
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def _asked(self, port: int, path: str, body: object = None) -> Answer:
        url = f"http://127.0.0.1:{port}{path}"
        try:
            async with asyncio.timeout(PATIENCE_S), self._session.request(
                "GET" if body is None else "POST", url, json=body
            ) as response:  # fmt: skip
                found = json.loads(await response.read())
                return Answer(response.status, found if isinstance(found, dict) else {})
        except (aiohttp.ClientConnectionError, ConnectionError):
            return Answer(0, {})


def reason_of(answer: Answer) -> str:
    """Why a call was refused or held; empty when it was done."""
    meta = answer.body.get("_meta", answer.body)
    assert isinstance(meta, dict)
    return str(meta.get("mesh7.dev/reason") or meta.get("reason") or "")


@contextlib.asynccontextmanager
async def made(
    folder: Path, operator: Operator, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Pod]:
    """A pod whose sidecar the test starts; gone when the block ends."""
    pod = Pod(folder, operator, environment or {})
    try:
        yield pod
    finally:
        await pod.close()


@contextlib.asynccontextmanager
async def running(
    folder: Path,
    operator: Operator,
    environment: Mapping[str, str] | None = None,
    **files: bytes,
) -> AsyncIterator[Pod]:
    """A sidecar that runs, with this ConfigMap mounted."""
    async with made(folder, operator, environment) as pod:
        if files:
            pod.config_map.write(**files)
        await pod.start()
        yield pod


class Store:
    """A Valkey with our functions, where the test delivers as the controller would."""

    def __init__(self, server: redis_servers.Server) -> None:
        self.server = server
        self.url = f"redis://127.0.0.1:{server.port}"

    def load(self) -> None:
        """Load the function library, as the controller does."""
        self.server.tell("FUNCTION", "LOAD", "REPLACE", library_text())

    def deliver(self, kind: Kind, version: int, sealed: bytes) -> None:
        """Lay something there, whoever signed it, and say so."""
        self.server.tell("HSET", f"m7b:{{{NAMESPACE}}}:{kind}", "v", version, "t", sealed)
        self.server.tell("PUBLISH", f"m7b:{{{NAMESPACE}}}:delivered", str(version))

    def reports(self) -> dict[str, Mapping[str, object]]:
        """What sidecars report, by pod uid."""
        found = self.server.tell("HGETALL", f"m7:{{{NAMESPACE}}}:reports")
        pairs = found.items() if isinstance(found, dict) else zip(*[iter(_list(found))] * 2)  # noqa: B905
        return {str(uid, "ascii"): json.loads(text) for uid, text in pairs}


def _list(found: object) -> list[bytes]:
    assert isinstance(found, list)
    return found


def library_text() -> str:
    """The text of our functions as they are loaded."""
    return functions.library_of(functions.written()).text


@contextlib.contextmanager
def stored(folder: Path, *options: str) -> Iterator[Store]:
    """A store that runs while the block does."""
    with redis_servers.running(VALKEY, folder, options) as server:
        store = Store(server)
        store.load()
        yield store


@contextlib.asynccontextmanager
async def connected(store: Store) -> AsyncIterator[RedisLedger]:
    """The namespace's ledger, as anybody with its credential has it."""
    ledger = RedisLedger(
        RedisServer(host="127.0.0.1", port=store.server.port), NAMESPACE, load=False
    )
    await ledger.start()
    try:
        yield ledger
    finally:
        await ledger.close()


@contextlib.asynccontextmanager
async def sourced(script: Script) -> AsyncIterator[ScriptedSource]:
    """An MCP server that a sidecar in a cluster may name."""
    source = ScriptedSource(script)
    await source.start(host=socket.gethostbyname(HERE))
    source.url = f"http://{HERE}:{source.port}"
    try:
        yield source
    finally:
        await source.stop()
