"""Real clients in front of a call that is held and then approved."""

import asyncio
import sys
from pathlib import Path

import pytest

from mesh7_sidecar.settings import Patience
from tests.peers import asking
from tests.sidecar.doors import shop

QUICK = Patience(stream_after_s=0.05, comment_every_s=0.05)
CLIENTS = (
    asking.NEW_SDK, asking.OLD_SDK, asking.FASTMCP, asking.NEW_TYPESCRIPT, asking.OLD_TYPESCRIPT,
)  # fmt: skip


async def _approved(served: shop.Shop, calling: "asyncio.Task[asking.Answered]") -> asking.Called:
    (request,) = await served.people.asked(patience_s=40)
    await served.people.approve(request["id"])
    (called,) = (await calling).calls
    return called


@pytest.mark.promise("A3")
@pytest.mark.timeout(60)
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
@pytest.mark.timeout(60)
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
@pytest.mark.timeout(60)
@pytest.mark.parametrize("client", [asking.NEW_SDK, asking.OLD_SDK])
async def test_a_held_call_over_stdio_gets_its_answer(tmp_path: Path, client: str) -> None:
    async with shop.serving_shop(tmp_path, patience=QUICK) as served:
        argv = [sys.executable, "-m", "mesh7_cli", "stdio", str(served.gateway.folder),
                "--source", "shop", "--state", str(served.gateway.directory)]  # fmt: skip
        calling = asyncio.create_task(asking.ask(client, argv, ("pay", {"amount": 5})))
        called = await _approved(served, calling)

    assert (called.is_error, called.text, called.raised) == (False, shop.PAID, "")
