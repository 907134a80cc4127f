"""A gateway in front of a shop whose payments are held, the people who decide, and every way in."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
from aiohttp import web

from tests.sidecar.doors import parts
from tests.sidecar.doors.scripted_source import Script, Talk, serving, text_result, tool

POLICY = """\
apiVersion: mesh7.dev/v1alpha1
kind: AgentPolicy
metadata: {name: till}
spec:
  selector: {}
  defaultAction: Deny
  rules:
  - name: pay
    tools: ["shop.pay", "api.post"]
    action: RequireApproval
    reason: money leaves
    approval: {timeout: 10m, useWithin: 10m, grantable: {maxDuration: 48h}}
  - {name: look, tools: ["shop.look", "api.get"], action: Allow}
"""
LIMITED = """\
apiVersion: mesh7.dev/v1alpha1
kind: AgentPolicy
metadata: {name: till}
spec:
  selector: {}
  defaultAction: Deny
  rules:
  - {name: pay, tools: ["shop.pay", "api.post"], action: Allow, limits: [once]}
  limits:
  - {name: once, per: Agent, max: 1, window: 1h}
"""
LOOPING = """\
apiVersion: mesh7.dev/v1alpha1
kind: AgentPolicy
metadata: {name: till}
spec:
  selector: {}
  defaultAction: Deny
  rules:
  - {name: pay, tools: ["shop.pay", "api.post"], action: Allow}
  loops: {identical: 1, window: 1h}
"""
VETO = """\
apiVersion: mesh7.dev/v1alpha1
kind: Grant
metadata: {name: stop}
spec:
  effect: Deny
  subject: {serviceAccount: default}
  tools: ["shop.*", "api.*"]
  reason: stocktaking
"""
RULE = "default/till/pay"
PAID = "paid"


def grant(place: Path) -> str:
    """A standing permission for the payments of `POLICY`, as old as `place`."""
    made_at = datetime.fromtimestamp(place.stat().st_mtime, UTC)
    expires_at = made_at + timedelta(hours=24)
    return f"""\
apiVersion: mesh7.dev/v1alpha1
kind: Grant
metadata: {{name: payments, creationTimestamp: {made_at:%Y-%m-%dT%H:%M:%SZ}}}
spec:
  effect: Allow
  subject: {{serviceAccount: default}}
  tools: ["shop.pay", "api.post"]
  policyRef: {{namespace: default, name: till}}
  expiresAt: {expires_at:%Y-%m-%dT%H:%M:%SZ}
  reason: a long day
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What an agent was told, whatever the way in.

    Attributes:
        text: of the answer.
        reason: why it was refused or held; empty when it was not.
        replay_of: the request whose result this is; empty for a result of its own.
    """

    text: str
    reason: str = ""
    request_id: str = ""
    retry_after: int = 0
    replay_of: str = ""


DONE = Told(text=PAID)


class People:
    """Who decides: over the gateway's socket, as `mesh7 approve` does."""

    def __init__(self, socket: Path) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(path=str(socket)), auto_decompress=False
        )

    async def close(self) -> None:
        """Hang up."""
        await self._session.close()

    async def asked(
        self, count: int = 1, patience_s: float = parts.PATIENCE_S
    ) -> list[dict[str, object]]:
        """The open requests as soon as there are so many, oldest first."""
        found: dict[str, dict[str, object]] = {}
        url = "http://127.0.0.1/control/watch"
        async with asyncio.timeout(patience_s), self._session.get(url) as response:
            assert response.status == 200, await response.read()
            while True:
                line = json.loads(await response.content.readline())
                changed = [line["request"]] if "request" in line else line.get("requests", [])
                found |= {each["id"]: each for each in changed}
                if len(found) >= count:
                    break
            response.close()
        return list(found.values())

    async def look_twice(self) -> None:
        """Two whole conversations with the gateway: by then it knows of all that came before."""
        for _ in range(2):
            await self.asked(0)

    async def approve(self, request_id: object, reason: str = "") -> int:
        """Say yes; the HTTP status."""
        return await self._say(request_id, "approve", reason)

    async def deny(self, request_id: object, reason: str = "") -> int:
        """Say no; the HTTP status."""
        return await self._say(request_id, "deny", reason)

    async def _say(self, request_id: object, verdict: str, reason: str) -> int:
        url = f"http://127.0.0.1/control/requests/{request_id}/{verdict}"
        async with self._session.post(url, json={"reason": reason}) as response:
            assert response.status == 200, await response.read()
            return response.status


@dataclass(frozen=True, slots=True)
class Sources:
    """What is behind a shop, and where."""

    mcp: Script
    api: Script
    mcp_url: str
    api_url: str


@dataclass
class Shop:
    """A gateway that serves, what is behind it and who decides."""

    gateway: parts.Running
    people: People
    mcp: Script
    api: Script

    @property
    def agent(self) -> parts.Agent:
        """Who calls."""
        return self.gateway.agent

    @property
    def runs(self) -> int:
        """How many payments were made."""
        return len(self.mcp.asked("tools/call")) + len(self.api.seen)


Pay = Callable[[Shop, int], Coroutine[None, None, Told]]


@contextlib.asynccontextmanager
async def sources() -> AsyncIterator[Sources]:
    """What is behind a shop, while the block runs."""

    async def pay(talk: Talk) -> web.StreamResponse:
        return talk.answer(text_result(PAID))

    async def post(_: Talk) -> web.StreamResponse:
        return web.Response(text=PAID)

    mcp = Script(tools=[tool("pay"), tool("look")], calls={"pay": pay})
    api = Script(everything=post)
    async with serving(mcp) as shop, serving(api) as http:
        yield Sources(mcp, api, shop.url, http.url)


@contextlib.asynccontextmanager
async def serving_shop(
    place: Path, *manifests: str, behind: Sources | None = None, **changes: object
) -> AsyncIterator[Shop]:
    """A shop while the block runs; without manifests its payments are held.

    Args:
        place: of its folder and its state.
        manifests: its policies.
        behind: sources that outlive it; None = its own.
        changes: of its settings.
    """
    settings = {"allow_scripted_approval": True} | changes
    async with contextlib.AsyncExitStack() as stack:
        found = await stack.enter_async_context(sources()) if behind is None else behind
        gateway = await stack.enter_async_context(
            parts.running(
                place,
                parts.source("shop", found.mcp_url),
                parts.source("api", found.api_url, kind="http"),
                *(manifests or (POLICY,)),
                **settings,
            )
        )
        people = People(gateway.directory / "gateway.sock")
        stack.push_async_callback(people.close)
        yield Shop(gateway, people, found.mcp, found.api)


async def pay_modern(shop: Shop, amount: int) -> Told:
    """At the source's own door, 2026-07-28."""
    reply = await shop.agent.modern("/mcp/shop", "tools/call", _paying("pay", amount))
    return from_mcp(reply)


async def pay_legacy(shop: Shop, amount: int) -> Told:
    """At the source's own door, 2025-11-25."""
    return await _in_new_session(shop, "/mcp/shop", _paying("pay", amount))


async def pay_aggregate(shop: Shop, amount: int) -> Told:
    """At `/mcp`, 2026-07-28."""
    reply = await shop.agent.modern("/mcp", "tools/call", _paying("shop_pay", amount))
    return from_mcp(reply)


async def pay_aggregate_legacy(shop: Shop, amount: int) -> Told:
    """At `/mcp`, 2025-11-25."""
    return await _in_new_session(shop, "/mcp", _paying("shop_pay", amount))


async def pay_v1(shop: Shop, amount: int) -> Told:
    """Without MCP."""
    return from_v1(await shop.agent.send("/v1/tools/shop.pay", {"arguments": {"amount": amount}}))


async def pay_http(shop: Shop, amount: int) -> Told:
    """A plain HTTP API."""
    reply = await shop.agent.send("/http/api/pay", {"amount": amount})
    if reply.status != 200:
        return _from_problem(reply)
    replay_of = reply.headers.get("x-mesh7-replay-of", "")
    return Told(text=reply.body.decode(), replay_of=replay_of)


WAYS: dict[str, Pay] = {
    "mcp": pay_modern, "mcp-legacy": pay_legacy, "aggregate": pay_aggregate,
    "aggregate-legacy": pay_aggregate_legacy, "v1": pay_v1, "http": pay_http,
}  # fmt: skip


def _paying(name: str, amount: int) -> dict[str, object]:
    return {"name": name, "arguments": {"amount": amount}}


async def _in_new_session(shop: Shop, path: str, params: Mapping[str, object]) -> Told:
    session = await shop.agent.initialize(path)
    reply = await shop.agent.legacy(path, "tools/call", params, mcp_session_id=session)
    return from_mcp(reply)


def from_v1(reply: parts.Reply) -> Told:
    """What `/v1/tools/…` answered."""
    return _from_result(reply.json) if reply.status == 200 else _from_problem(reply)


def from_mcp(reply: parts.Reply) -> Told:
    """What `tools/call` answered, in either form."""
    assert reply.status == 200, reply.body
    message = reply.json if reply.headers["content-type"] == "application/json" else reply.events[0]
    result = message["result"]
    assert isinstance(result, dict)
    return _from_result(result)


def _from_result(result: dict[str, object]) -> Told:
    content, meta = result["content"], result.get("_meta", {})
    assert isinstance(content, list)
    assert isinstance(meta, dict)
    return Told(
        text=content[0]["text"],
        reason=meta.get("mesh7.dev/reason", ""),
        request_id=meta.get("mesh7.dev/requestId", ""),
        retry_after=meta.get("mesh7.dev/retryAfter", 0),
        replay_of=meta.get("mesh7.dev/replayOf", ""),
    )


def _from_problem(reply: parts.Reply) -> Told:
    found = reply.json
    retry_after = int(reply.headers.get("retry-after", "0"))
    if found["decision"] == "Hold":
        # Programs are told when to ask again; models are told to repeat the call.
        assert retry_after, found
        retry_after = 0
    return Told(
        text=str(found["detail"]),
        reason=str(found["reason"]),
        request_id=str(found.get("requestId", "")),
        retry_after=retry_after,
    )
