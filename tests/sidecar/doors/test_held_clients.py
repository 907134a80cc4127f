"""Real clients in front of a call that is held and then approved."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mesh7_sidecar import state
from mesh7_sidecar.settings import Patience
from mesh7_sidecar.stdio.program import Client
from tests.peers import asking
from tests.sidecar.doors import parts, shop
from tests.sidecar.sources.test_stdio import Json
from tests.sidecar.stdio.parts import SmallGateway, StdioClient

QUICK = Patience(stream_after_s=0.05, comment_every_s=0.05)
CLIENTS = (
    asking.NEW_SDK, asking.OLD_SDK, asking.FASTMCP, asking.NEW_TYPESCRIPT, asking.OLD_TYPESCRIPT,
)  # fmt: skip


HELLO: Json = {
    "protocolVersion": parts.LEGACY, "capabilities": {},
    "clientInfo": {"name": "tester", "version": "1"},
}  # fmt: skip


def _call(identifier: int, name: str, **arguments: object) -> Json:
    params = {"name": name, "arguments": arguments}
    return {"id": identifier, "method": "tools/call", "params": params}


@contextlib.asynccontextmanager
async def _joined(served: shop.Shop, source: str | None) -> AsyncIterator[StdioClient]:
    """`mesh7 stdio` that joins the gateway."""

    def hold() -> state.Held | state.HeldElsewhere:
        now = datetime(2026, 11, 21, tzinfo=UTC)
        return state.hold(served.gateway.directory, "mesh7 stdio", now)

    async def start(_: state.Held) -> SmallGateway:
        raise AssertionError

    client = StdioClient(
        served.gateway.directory, hold, start, Client(agent="default", source=source)
    )
    await client.open()
    try:
        yield client
    finally:
        client.dispose()
        await asyncio.sleep(0)  # transports close a turn later


async def _approved(served: shop.Shop, calling: "asyncio.Task[asking.Answered]") -> asking.Called:
    (request,) = await served.people.asked(patience_s=60)
    await served.people.approve(request["id"])
    (called,) = (await calling).calls
    return called


@pytest.mark.promise("A3")
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(("path", "name"), [("/mcp/shop", "pay"), ("/mcp", "shop_pay")])
async def test_every_client_gets_the_answer_of_a_call_that_is_approved_while_it_waits(
    tmp_path: Path, client: str, path: str, name: str
) -> None:
    """protocols.md 1.5: all of them read a late stream with comments."""
    async with shop.serving_shop(tmp_path, patience=QUICK) as served:
        url = served.agent.url + path
        calling = asyncio.create_task(asking.ask(client, url, (name, {"amount": 5})))
        called = await _approved(served, calling)
        assert served.runs == 1

    assert (called.is_error, called.text, called.raised) == (False, shop.PAID, "")


@pytest.mark.promise("A3")
@pytest.mark.parametrize("client", CLIENTS)
async def test_every_client_shows_its_model_what_waits(tmp_path: Path, client: str) -> None:
    """M3: the pending answer is a result, whatever the client makes of errors."""
    async with shop.serving_shop(tmp_path, hold_s=0.0) as served:
        url = f"{served.agent.url}/mcp/shop"
        answered = await asking.ask(client, url, ("pay", {"amount": 5}), ("look", {}))

    pending, looked = answered.calls
    assert (pending.is_error, pending.raised) == (True, "")
    assert pending.meta["mesh7.dev/decision"] == "Hold"
    assert str(pending.meta["mesh7.dev/requestId"]) in pending.text
    assert not looked.is_error


@pytest.mark.promise("A3")
@pytest.mark.promise("M9")
@pytest.mark.parametrize("client", [asking.NEW_SDK, asking.OLD_SDK])
async def test_a_held_call_over_stdio_gets_its_answer(tmp_path: Path, client: str) -> None:
    async with shop.serving_shop(tmp_path, patience=QUICK) as served:
        argv = [sys.executable, "-m", "mesh7_cli", "stdio", str(served.gateway.folder),
                "--source", "shop", "--state", str(served.gateway.directory)]  # fmt: skip
        calling = asyncio.create_task(asking.ask(client, argv, ("pay", {"amount": 5})))
        called = await _approved(served, calling)

    assert (called.is_error, called.text, called.raised) == (False, shop.PAID, "")


@pytest.mark.promise("M9")
@pytest.mark.promise("D32")
@pytest.mark.promise("D34")
@pytest.mark.promise("D41")
@pytest.mark.parametrize("path", ["/mcp/shop", "/mcp"])
async def test_over_stdio_a_held_call_blocks_no_other_and_its_cancellation_is_not_answered(
    tmp_path: Path, path: str
) -> None:
    """D32, D34: a ping and another call are answered meanwhile; nothing runs for who gave up."""
    prefix, named = ("", "shop") if path == "/mcp/shop" else ("shop_", None)
    async with shop.serving_shop(tmp_path) as served, _joined(served, named) as client:
        client.send({"id": 0, "method": "initialize", "params": HELLO})
        await client.receive()
        client.send({"method": "notifications/initialized"}, _call(1, f"{prefix}pay", amount=5))
        await served.people.asked(patience_s=60)
        client.send(_call(2, f"{prefix}look"), {"id": 3, "method": "ping"})
        answered = [await client.receive() for _ in range(2)]
        (waits,) = await served.people.asked(patience_s=60)
        client.send({"method": "notifications/cancelled", "params": {"requestId": 1}})
        client.send({"id": 4, "method": "ping"})
        last = await client.receive()
        (left,) = await served.people.asked(patience_s=60)
        assert await client.close() == 0
        # Who asks cannot approve, so not before the client has left.
        await served.people.approve(left["id"])
        await served.people.look_twice()
        assert [talk.params["name"] for talk in served.mcp.asked("tools/call")] == ["look"]
        assert client.rest == b""

    assert (waits["waiting"], left["waiting"]) == (1, 0)
    assert sorted(each["id"] for each in answered) == [2, 3]
    assert last["id"] == 4
