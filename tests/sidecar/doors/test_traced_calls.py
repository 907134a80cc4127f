"""Traced calls at every door: what is sent to a collector, and what goes on to the source."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from aiohttp import web
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from mesh7_core.otlp import settings as otlp
from mesh7_core.telemetry import context
from mesh7_core.telemetry.context import Context
from tests.conftest import Eventually
from tests.peers import otlp_receiver
from tests.peers.otlp_receiver import Receiver
from tests.sidecar.doors import parts, shop
from tests.sidecar.doors.scripted_source import Talk, json_response
from tests.sidecar.doors.shop import DONE, WAYS, Pay, Shop
from tests.sidecar.lifecycle import parts as lifecycle

OPEN: Final = shop.POLICY.replace("action: RequireApproval", "action: Allow").replace(
    "    approval: {timeout: 10m, useWithin: 10m, grantable: {maxDuration: 48h}}\n", ""
)
CLOSED: Final = OPEN.replace(
    "  - name: pay\n",
    """\
  - {name: no-pay, tools: ["shop.pay"], when: "args.amount > 1", action: Deny}
  - {name: no-post, tools: ["api.post"], action: Deny}
  - name: pay
""",
)
TRACE: Final = "0af7651916cd43dd8448eb211c80319c"
OTHER: Final = "1bf7651916cd43dd8448eb211c80319c"
ASKING: Final = Context(TRACE, "b7ad6b7169203331", is_sampled=True, state="vendor=1")
SILENT: Final = Context(TRACE, "b7ad6b7169203331", is_sampled=False)

every_way = pytest.mark.parametrize("pay", WAYS.values(), ids=list(WAYS))


@dataclass(frozen=True, slots=True)
class Seen:
    """One span as the collector got it."""

    span: Span

    @property
    def attributes(self) -> Mapping[str, object]:
        return otlp_receiver.attributes(list(self.span.attributes))

    @property
    def context(self) -> tuple[str, str]:
        return self.span.trace_id.hex(), self.span.span_id.hex()

    @property
    def parent(self) -> str:
        return self.span.parent_span_id.hex()

    @property
    def is_error(self) -> bool:
        return self.span.status.code == Status.STATUS_CODE_ERROR


@dataclass(frozen=True, slots=True)
class Traced:
    """A shop whose calls are traced, and where the spans arrive."""

    shop: Shop
    receiver: Receiver
    eventually: Eventually

    async def servers(self, count: int = 1) -> list[Seen]:
        """The SERVER spans, once there are so many; the rest of each trace is there then."""
        await self.eventually(lambda: len(self._of(Span.SPAN_KIND_SERVER)) >= count)
        return self._of(Span.SPAN_KIND_SERVER)

    async def within(self, server: Seen, *names: str) -> dict[str, Seen]:
        """The spans of which `server` is the parent, once these are among them."""

        def found() -> dict[str, Seen]:
            return {
                "client" if each.kind == Span.SPAN_KIND_CLIENT else each.name: Seen(each)
                for each in self.receiver.spans()
                if each.parent_span_id == server.span.span_id
            }

        await self.eventually(lambda: set(names) <= set(found()))
        return found()

    def _of(self, kind: int) -> list[Seen]:
        return [Seen(each) for each in self.receiver.spans() if each.kind == kind]


@contextlib.asynccontextmanager
async def traced_shop(
    place: Path, eventually: Eventually, *manifests: str, share: float = 1.0, hold_s: float = 50.0
) -> AsyncIterator[Traced]:
    with otlp_receiver.running() as receiver:
        said = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_BSP_SCHEDULE_DELAY": "20"}
        telemetry = otlp.read(said, {"service.name": "mesh7-gateway"})
        async with shop.serving_shop(
            place, *manifests, telemetry=telemetry, trace_share=share, hold_s=hold_s
        ) as served:
            yield Traced(served, receiver, eventually)


def headers(one: Context) -> dict[str, str]:
    return {"traceparent": one.traceparent, "tracestate": one.state}


def paying(amount: str = "5", meta: str = "") -> bytes:
    """A modern payment, byte by byte."""
    own = json.dumps(parts.META)[1:-1]
    more = f", {meta}" if meta else ""
    return (
        '{"jsonrpc": "2.0", "id": "a-1", "method": "tools/call", "params": {"name": "pay",'
        f' "arguments": {{"amount": {amount}}}, "_meta": {{{own}{more}}}}}}}'
    ).encode()


async def send(served: Shop, body: bytes, fields: Mapping[str, str] | None = None) -> parts.Reply:
    named = {"mcp-protocol-version": parts.MODERN, "mcp-method": "tools/call", "mcp-name": "pay"}
    return await served.agent.send("/mcp/shop", body, parts.BOTH | named | dict(fields or {}))


def got(served: Shop) -> Talk:
    """The one payment that a source got."""
    [talk] = served.mcp.asked("tools/call") + served.api.seen
    return talk


def meta_of(talk: Talk) -> Mapping[str, object]:
    found = talk.params.get("_meta", {})
    assert isinstance(found, dict)
    return found


@pytest.mark.promise("T1")
@every_way
async def test_an_allowed_call_is_a_trace_that_the_source_goes_on_with(
    tmp_path: Path, pay: Pay, eventually: Eventually
) -> None:
    """Design 11: SERVER, `policy.evaluate`, CLIENT; header and `_meta` name the CLIENT span."""
    async with traced_shop(tmp_path, eventually, OPEN) as traced:
        assert await pay(traced.shop, 5) == DONE
        [server] = await traced.servers()
        spans = await traced.within(server, "policy.evaluate", "client")
        talk = got(traced.shop)

    client = spans["client"]
    named = context.read(talk.headers["traceparent"])
    assert named is not None
    assert (named.trace_id, named.span_id, named.is_sampled) == (*client.context, True)
    if talk.message:
        assert meta_of(talk)["traceparent"] == talk.headers["traceparent"]
        assert (server.span.name, client.span.name) == ("tools/call pay", "tools/call pay")
    else:
        assert (server.span.name, client.span.name) == ("POST api", "POST api")
    assert (server.parent, server.is_error, client.is_error) == ("", False, False)
    assert spans["policy.evaluate"].attributes["mesh7.policy.effect"] == "allow"
    assert client.attributes["server.address"] == "127.0.0.1"
    assert server.attributes["mesh7.outcome"] == "ok"
    assert server.context[0] == client.context[0]


@pytest.mark.promise("T2")
@every_way
async def test_a_refused_call_is_in_the_trace_and_nothing_went_on(
    tmp_path: Path, pay: Pay, eventually: Eventually
) -> None:
    """D15: denials are in the trace."""
    async with traced_shop(tmp_path, eventually, CLOSED) as traced:
        told = await pay(traced.shop, 5)
        [server] = await traced.servers()
        spans = await traced.within(server, "policy.evaluate")

    assert told.reason == "denied-by-rule"
    assert server.is_error
    assert server.attributes["error.type"] == "tool_error"
    assert server.attributes["mesh7.policy.effect"] == "deny"
    rules = server.attributes["mesh7.policy.rule.id"]
    assert rules in (["default/till/no-pay"], ["default/till/no-post"])
    assert set(spans) == {"policy.evaluate"}
    assert traced.shop.runs == 0


@pytest.mark.promise("T2")
@every_way
async def test_the_wait_for_people_is_in_the_trace(
    tmp_path: Path, pay: Pay, eventually: Eventually
) -> None:
    """D15: approvals are in the trace."""
    async with traced_shop(tmp_path, eventually) as traced:
        calling = asyncio.create_task(pay(traced.shop, 5))
        (request,) = await traced.shop.people.asked()
        await traced.shop.people.approve(request["id"])
        assert await calling == DONE
        [server] = await traced.servers()
        spans = await traced.within(server, "policy.evaluate", "approval.wait", "client")

    wait = spans["approval.wait"]
    assert wait.attributes["mesh7.approval.outcome"] == "granted"
    assert wait.attributes["mesh7.approval.id"] == request["id"]
    assert request["traceId"] == server.context[0]
    assert str(server.attributes["mesh7.args.digest"]).startswith("sha256:")
    assert spans["policy.evaluate"].attributes["mesh7.policy.effect"] == "require_approval"
    [line] = [each for each in parts.audited(tmp_path) if each.get("requestId") == request["id"]
              and "decision" in each]  # fmt: skip
    assert line["traceId"] == server.context[0]


@pytest.mark.promise("M4")
@pytest.mark.parametrize("caller", [None, SILENT], ids=["a root", "a caller that does not ask"])
async def test_a_call_that_is_not_traced_goes_on_byte_for_byte(
    tmp_path: Path, caller: Context | None, eventually: Eventually
) -> None:
    """Also with a collector: headers and `_meta` stay the agent's own."""
    body = paying("1.0e0", f'"traceparent": "{caller.traceparent}"' if caller else "")
    fields = headers(caller) if caller else {}
    async with traced_shop(tmp_path, eventually, OPEN, share=0.0) as traced:
        reply = await send(traced.shop, body, fields)
        talk = got(traced.shop)
        assert traced.receiver.spans() == []

    assert reply.status == 200
    assert talk.body == body
    assert talk.headers.get("traceparent") == (caller.traceparent if caller else None)
    [line] = [each for each in parts.audited(tmp_path) if "decision" in each]
    assert line.get("traceId") == (TRACE if caller else None)


@pytest.mark.promise("T1")
async def test_the_agents_span_is_the_parent_and_only_the_two_keys_change(
    tmp_path: Path, eventually: Eventually
) -> None:
    """By `_meta` first, then the ambient header is a link; numbers keep their spelling."""
    within = Context(OTHER, "c" * 16, is_sampled=True, state="k=v")
    body = paying(
        "1.0e0", f'"traceparent" : "{within.traceparent}", "tracestate":"k=v", "baggage":"a=1"'
    )
    async with traced_shop(tmp_path, eventually, OPEN, share=0.0) as traced:
        await send(traced.shop, body, headers(ASKING))
        [server] = await traced.servers()
        spans = await traced.within(server, "client")
        talk = got(traced.shop)

    assert server.context[0] == OTHER
    assert server.parent == within.span_id
    [link] = server.span.links
    assert (link.trace_id.hex(), link.span_id.hex()) == (TRACE, ASKING.span_id)
    ours = f"00-{OTHER}-{spans['client'].context[1]}-01"
    assert talk.body == body.replace(within.traceparent.encode(), ours.encode())
    assert (talk.headers["traceparent"], talk.headers["tracestate"]) == (ours, "k=v")


@pytest.mark.promise("A1")
async def test_what_people_approve_is_the_same_call_in_whatever_trace_it_comes(
    tmp_path: Path, eventually: Eventually
) -> None:
    """Traces are outside of the exact call: a repeat in another one joins, and runs once."""
    async with traced_shop(tmp_path, eventually, hold_s=0.0) as traced:
        first = shop.from_mcp(await send(traced.shop, paying(), headers(ASKING)))
        other = Context(OTHER, "c" * 16, is_sampled=True)
        named = f'"traceparent": "{other.traceparent}"'
        again = shop.from_mcp(await send(traced.shop, paying(meta=named)))
        (request,) = await traced.shop.people.asked()
        await traced.shop.people.approve(request["id"])
        done = shop.from_mcp(await send(traced.shop, paying(meta=named)))
        replayed = shop.from_mcp(await send(traced.shop, paying(), headers(ASKING)))
        servers = await traced.servers(4)

    assert (first.request_id, again.request_id) == (request["id"], request["id"])
    assert (done, replayed.replay_of) == (DONE, request["id"])
    assert traced.shop.runs == 1
    assert [each.context[0] for each in servers] == [TRACE, OTHER, OTHER, TRACE]
    assert len({each.context[1] for each in servers}) == 4
    assert {each.attributes["mesh7.approval.id"] for each in servers} == {request["id"]}
    clients = [each for each in traced.receiver.spans() if each.kind == Span.SPAN_KIND_CLIENT]
    assert [each.parent_span_id.hex() for each in clients] == [servers[2].context[1]]


@pytest.mark.promise("T1")
async def test_two_that_wait_for_one_request_stay_in_their_own_traces(
    tmp_path: Path, eventually: Eventually
) -> None:
    """The request knows the first one's trace; the other's spans are not among them."""
    other = Context(OTHER, "c" * 16, is_sampled=True)
    async with traced_shop(tmp_path, eventually) as traced:
        first = asyncio.create_task(send(traced.shop, paying(), headers(ASKING)))
        (request,) = await traced.shop.people.asked()
        second = asyncio.create_task(send(traced.shop, paying(), headers(other)))
        async with asyncio.timeout(parts.PATIENCE_S):
            while request["waiting"] != 2:
                (request,) = await traced.shop.people.asked()
        await traced.shop.people.approve(request["id"])
        await asyncio.gather(first, second)
        servers = await traced.servers(2)
        within = [await traced.within(each, "approval.wait") for each in servers]

    assert request["traceId"] == TRACE
    assert sorted(each.context[0] for each in servers) == [TRACE, OTHER]
    for server, spans in zip(servers, within, strict=True):
        assert {each.context[0] for each in spans.values()} == {server.context[0]}
        assert spans["approval.wait"].attributes["mesh7.approval.id"] == request["id"]


@pytest.mark.promise("X11")
async def test_a_forged_tracestate_and_a_made_up_tool_reach_nobody(
    tmp_path: Path, eventually: Eventually
) -> None:
    """The attack: a header line by `_meta`, a hundred kilobytes of state, names without end."""
    state = json.dumps("a=1\r\nx-evil: 1")
    forged = f'"traceparent": "{ASKING.traceparent}", "tracestate": {state}'
    long = f'"traceparent": "{ASKING.traceparent}", "tracestate": "a={"x" * 100_000}"'
    async with traced_shop(tmp_path, eventually, OPEN, share=0.0) as traced:
        for meta in (forged, long):
            assert (await send(traced.shop, paying(meta=meta))).status == 200
        reply = await traced.shop.agent.legacy(
            "/mcp/shop", "tools/call", {"name": "n" * 10_000}, traceparent=ASKING.traceparent
        )
        servers = await traced.servers(3)
        talks = traced.shop.mcp.asked("tools/call")

    assert reply.status == 200
    for talk in talks:
        assert not {"x-evil", "tracestate"} & set(talk.headers)
        assert "tracestate" not in meta_of(talk)
    assert [each.span.name for each in servers] == ["tools/call pay"] * 2 + ["tools/call"]
    assert all(each.span.trace_state == "" for each in servers)


async def test_an_error_of_the_source_is_on_both_ends(
    tmp_path: Path, eventually: Eventually
) -> None:
    """reference/protocols.md 4: the JSON-RPC code is `error.type`."""

    async def refuse(talk: Talk) -> web.StreamResponse:
        identifier = json.dumps(talk.message["id"]).encode()
        error = b'{"code":-32602,"message":"no"}'
        return json_response(b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (identifier, error))

    async with traced_shop(tmp_path, eventually, OPEN) as traced:
        traced.shop.mcp.calls["pay"] = refuse
        await send(traced.shop, paying())
        [server] = await traced.servers()
        client = (await traced.within(server, "client"))["client"]

    for end in (server, client):
        assert end.attributes["error.type"] == "-32602"
        assert end.attributes["rpc.response.status_code"] == "-32602"
        assert end.is_error


@pytest.mark.promise("T1")
@pytest.mark.parametrize(("path", "name"), [("/mcp/child", "echo"), ("/mcp", "child_echo")])
async def test_a_child_process_is_told_of_the_trace_in_meta(
    tmp_path: Path, path: str, name: str, eventually: Eventually
) -> None:
    """It has no headers."""
    manifests = (lifecycle.ALLOW_ALL, lifecycle.stdio_source("child"))
    async with traced_shop(tmp_path, eventually, *manifests) as traced:
        reply = await traced.shop.agent.modern(path, "tools/call", {"name": name})
        [server] = await traced.servers()
        client = (await traced.within(server, "client"))["client"]

    trace_id, span_id = client.context
    assert json.loads(reply.text)["_meta"]["traceparent"] == f"00-{trace_id}-{span_id}-01"
    assert client.attributes["network.transport"] == "pipe"
    assert client.attributes["gen_ai.tool.name"] == "echo"


@pytest.mark.promise("T2")
async def test_a_caller_that_leaves_while_people_are_asked_is_in_the_trace(
    tmp_path: Path, eventually: Eventually
) -> None:
    """D15; nothing went on."""
    async with traced_shop(tmp_path, eventually) as traced:
        calling = asyncio.create_task(send(traced.shop, paying(), headers(ASKING)))
        (request,) = await traced.shop.people.asked()
        calling.cancel()
        [server] = await traced.servers()
        spans = await traced.within(server, "approval.wait")
        assert traced.shop.runs == 0

    assert server.attributes["error.type"] == "gone"
    assert spans["approval.wait"].attributes["mesh7.approval.outcome"] == "abandoned"
    assert spans["approval.wait"].attributes["mesh7.approval.id"] == request["id"]
    assert "client" not in spans
    [line] = [each for each in parts.audited(tmp_path) if "decision" in each]
    assert (line["outcome"], line["spanId"]) == ("gone", server.context[1])
