"""Gateways as processes before one till: each its own state folder, all with the ledger they share.

Agents call over TCP, people decide over each gateway's own socket, the till counts what it did.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web

from tests.peers import processes
from tests.peers.gateway import GatewayProcess, running_gateway
from tests.sidecar.doors import parts as doors
from tests.sidecar.doors import shop
from tests.sidecar.doors.scripted_source import Script, ScriptedSource, Talk, text_result, tool
from tests.sidecar.lifecycle import parts as lifecycle

PATIENCE_S = 30.0
STEP_S = 0.01
AT_ONCE = ("--hold", "0s")
"""A held call is answered at once: whoever wants its result repeats it."""


def limited(*limits: str) -> str:
    """A policy that lets everything through within these limits, each a flow mapping."""
    names = [each.split("name: ")[1].split(",")[0] for each in limits]
    lines = "".join(f"  - {{{each}}}\n" for each in limits)
    return (
        "apiVersion: mesh7.dev/v1alpha1\nkind: AgentPolicy\nmetadata: {name: till}\n"
        "spec:\n  selector: {}\n  defaultAction: Deny\n  rules:\n"
        f'  - {{name: look, tools: ["shop.look"], action: Allow, limits: [{", ".join(names)}]}}\n'
        '  - {name: pay, tools: ["shop.pay"], action: RequireApproval, reason: money leaves,\n'
        "     approval: {timeout: 10m, useWithin: 10m, grantable: {maxDuration: 1h}}}\n"
        f"  limits:\n{lines}"
    )


LOSING = """\
apiVersion: mesh7.dev/v1alpha1
kind: AgentPolicy
metadata: {name: till}
spec:
  selector: {}
  defaultAction: Deny
  rules:
  - {name: look, tools: ["shop.look"], action: Allow, limits: [strict]}
  - {name: peek, tools: ["shop.peek"], action: Allow, limits: [loose]}
  - {name: stare, tools: ["shop.stare"], action: Allow, limits: [shared]}
  - {name: pay, tools: ["shop.pay"], action: RequireApproval, reason: money leaves}
  limits:
  - {name: strict, per: Agent, max: 3, window: 5s}
  - {name: loose, per: Agent, max: 1000, window: 1h, onStoreLoss: Allow}
  - {name: shared, per: Agent, max: 10, window: 1h, onStoreLoss: Local}
"""
"""Each tool has a limit that says something else of a lost store; `pay` is asked about."""
TWO_REPLICAS = (*AT_ONCE, "--replicas", "2")


@dataclass
class Till:
    """The tool server: `pay` answers with a new receipt while `open` is set, all else at once.

    Attributes:
        source: its server, in this process.
        receipts: how many payments were made.
        begun: set by the first payment that came in.
        open: what payments wait for before they answer.
    """

    source: ScriptedSource
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    receipts: int = 0

    async def pay(self, talk: Talk) -> web.StreamResponse:
        """One payment."""
        self.receipts += 1
        receipt = f"receipt {self.receipts}"
        self.begun.set()
        await self.open.wait()
        return talk.answer(text_result(receipt))

    def calls(self, name: str) -> int:
        """How often a tool was called."""
        asked = self.source.script.asked("tools/call")
        return sum(talk.params["name"] == name for talk in asked)


@contextlib.asynccontextmanager
async def opened_till() -> AsyncIterator[Till]:
    """A till while the block runs; its payments answer at once until `open` is cleared."""
    script = Script(tools=[tool(name) for name in ("pay", "look", "peek", "stare")])
    till = Till(ScriptedSource(script))
    till.open.set()
    script.calls["pay"] = till.pay
    await till.source.start()
    try:
        yield till
    finally:
        till.open.set()
        await till.source.stop()


@dataclass
class Node:
    """One gateway process.

    Attributes:
        place: of its `folder`, `state` and `log`.
        agent: calls over TCP.
    """

    place: Path
    process: GatewayProcess
    agent: doors.Agent
    people: shop.People

    @property
    def state(self) -> Path:
        """The state folder."""
        return self.process.state

    @property
    def logged(self) -> str:
        """What stands in its log by now."""
        return (self.place / "log").read_text(encoding="utf-8")

    async def call(self, name: str, /, **arguments: object) -> shop.Told:
        """`POST /v1/tools/shop.NAME`."""
        body: dict[str, object] = {"arguments": arguments}
        return shop.from_v1(await self.agent.send(f"/v1/tools/shop.{name}", body))

    async def pay(self, amount: int = 5) -> shop.Told:
        """A call that people are asked about."""
        return await self.call("pay", amount=amount)

    async def look(self, number: int = 0) -> shop.Told:
        """A call that is limited."""
        return await self.call("look", number=number)

    async def each(self) -> tuple[str, str, str, str]:
        """The reasons that `look`, `peek`, `stare` and `pay` are answered with, asked at once."""
        asking = (self.call(name) for name in ("look", "peek", "stare", "pay"))
        look, peek, stare, pay = await asyncio.gather(*asking)
        return look.reason, peek.reason, stare.reason, pay.reason

    async def control(
        self, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> tuple[int, dict[str, object]]:
        """One request to the control API, as people's commands make it: status and answer."""
        socket = str(self.state / "gateway.sock")
        async with (
            asyncio.timeout(PATIENCE_S),
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=socket)) as session,
            session.request(method, f"http://127.0.0.1/control{path}", json=body) as response,
        ):
            return response.status, json.loads(await response.read() or b"{}")

    async def request(self, request_id: str) -> dict[str, object]:
        """One request, as `mesh7 show` has it."""
        status, found = await self.control("GET", f"/requests/{request_id}")
        assert status == 200, found
        return found

    async def ended(self, request_id: str) -> dict[str, object]:
        """The request as soon as it is written down what became of its call."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not (found := await self.request(request_id))["outcome"]:
            assert time.monotonic() < deadline_s, found
            await asyncio.sleep(STEP_S)
        return found

    async def requests(self, state: str = "open") -> list[dict[str, object]]:
        """All of them, open or `all`."""
        status, found = await self.control("GET", f"/requests?state={state}")
        assert status == 200, found
        requests = found["requests"]
        assert isinstance(requests, list)
        return requests

    async def trouble(self) -> str:
        """What `mesh7 status` says is wrong with the ledger."""
        found = await lifecycle.status(self.state)
        return str(found["ledger"]["trouble"])

    async def until_trouble(self, words: str) -> str:
        """Wait until these words are in what it says is wrong with the ledger; all of it."""
        return await self._until(lambda trouble: words in trouble)

    async def until_well(self) -> None:
        """Wait until nothing is wrong with the ledger."""
        await self._until(lambda trouble: not trouble)

    async def _until(self, claim: Callable[[str], bool]) -> str:
        deadline_s = time.monotonic() + PATIENCE_S
        while not claim(trouble := await self.trouble()):
            assert time.monotonic() < deadline_s, trouble
            await asyncio.sleep(STEP_S)
        return trouble

    async def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        self.process.process.kill()
        await self.process.process.wait()


@contextlib.asynccontextmanager
async def node(
    place: Path,
    *manifests: str,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    redis_port: int = 0,
) -> AsyncIterator[Node]:
    """A gateway on `place/folder`; without manifests on those that lie there.

    Args:
        place: of its files; the next one at the same place is the gateway restarted.
        manifests: written first.
        arguments: more flags.
        environment: added to ours.
        redis_port: where the ledger is shared; 0 = SQLite in the state folder.
    """
    if manifests:
        doors.write(place / "folder", *manifests)
    flags = ["--allow-scripted-approval", "--audit", "all"]
    if redis_port:
        flags += ["--redis", f"redis://127.0.0.1:{redis_port}"]
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        running_gateway(
            place / "folder", state=place / "state", arguments=[*flags, *arguments],
            environment=environment, log=place / "log",
        ) as process,
        aiohttp.ClientSession(connector=connector, auto_decompress=False) as session,
    ):  # fmt: skip
        people = shop.People(process.state / "gateway.sock")
        try:
            yield Node(place, process, doors.Agent(session, process.url), people)
        finally:
            await people.close()


async def stopped(served: Node) -> int:
    """SIGTERM, and the exit code."""
    return await processes.end(served.process.process)


async def until_told(
    ask: Callable[[], Awaitable[shop.Told]], claim: Callable[[shop.Told], bool]
) -> shop.Told:
    """Ask on until the answer is as claimed; no event tells of what a store far away does."""
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        told = await ask()
        if claim(told):
            return told
        assert time.monotonic() < deadline_s, told
        await asyncio.sleep(STEP_S)
