"""What clients of held calls see on the wire: late comments, one answer, and how they leave."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientResponse, web

from mesh7_core.policy import calls
from mesh7_sidecar.doors.waiting import HeldCalls
from mesh7_sidecar.settings import Patience
from tests.sidecar.doors import parts, shop
from tests.sidecar.doors.parts import BOTH, in_session
from tests.sidecar.doors.scripted_source import Behaviour, Talk, event, json_response, text_result

QUICK = Patience(stream_after_s=0.001, comment_every_s=0.001)
COMMENT = b": waiting for approval\n\n"
PATHS = {"/mcp/shop": "pay", "/mcp": "shop_pay"}
both_doors = pytest.mark.parametrize("path", PATHS)
PROGRESS = {
    "jsonrpc": "2.0", "method": "notifications/progress",
    "params": {"progressToken": 1, "progress": 1},
}  # fmt: skip


@contextlib.asynccontextmanager
async def held(served: shop.Shop, path: str) -> AsyncIterator[ClientResponse]:
    """A modern call whose answer has become a stream."""
    params = {"name": PATHS[path], "arguments": {"amount": 5}}
    body, fields = parts.modern_request("tools/call", params)
    async with served.agent.open(path, body, fields) as response:
        assert response.status == 200
        assert response.headers["content-type"] == "text/event-stream"
        yield response


async def approve(served: shop.Shop) -> None:
    """Say yes to the one call that waits."""
    (request,) = await served.people.asked()
    await served.people.approve(request["id"])


def paying(path: str, identifier: int) -> dict[str, object]:
    """A legacy call."""
    params = {"name": PATHS[path], "arguments": {"amount": 5}}
    return {"jsonrpc": "2.0", "id": identifier, "method": "tools/call", "params": params}


def cancelling(identifier: int) -> dict[str, object]:
    """How a legacy client says that it wants no answer."""
    params = {"requestId": identifier}
    return {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}


@pytest.mark.promise("A3")
@both_doors
async def test_a_client_that_reads_streams_sees_comments_until_its_one_answer(
    tmp_path: Path, path: str
) -> None:
    """protocols.md 1.5: the stream begins late, lives by comments and ends with the answer."""
    async with (
        shop.serving_shop(tmp_path, patience=QUICK) as served,
        held(served, path) as response,
    ):
        for _ in range(3):
            assert await response.content.readuntil(b"\n\n") == COMMENT
        await approve(served)
        message = await parts.next_event(response)
        assert message == {"jsonrpc": "2.0", "id": 1, "result": text_result(shop.PAID)}
        assert await response.content.read() == b""


@pytest.mark.promise("A3")
@both_doors
async def test_a_client_that_reads_no_streams_gets_plain_json(tmp_path: Path, path: str) -> None:
    """protocols.md 1.5: no byte comes before the answer, however long it takes."""
    params = {"name": PATHS[path], "arguments": {"amount": 5}}
    body, fields = parts.modern_request("tools/call", params)
    plain = fields | {"accept": "application/json"}
    async with shop.serving_shop(tmp_path, patience=QUICK) as served:
        calling = asyncio.create_task(served.agent.send(path, body, plain))
        await approve(served)
        reply = await calling

    assert reply.headers["content-type"] == "application/json"
    assert reply.text == shop.PAID


@pytest.mark.promise("A3")
@both_doors
async def test_when_the_hold_is_over_the_stream_ends_with_what_to_do(
    tmp_path: Path, path: str
) -> None:
    """Design 6.2: an `isError` result that says what waits, and that repeating is right."""
    async with (
        shop.serving_shop(tmp_path, patience=QUICK, hold_s=0.1) as served,
        held(served, path) as response,
    ):
        message = await parts.next_event(response)
        (request,) = await served.people.asked()

    result = message["result"]
    assert isinstance(result, dict)
    assert result["isError"] is True
    assert result["resultType"] == "complete"
    assert result["_meta"] == {
        "mesh7.dev/decision": "Hold", "mesh7.dev/reason": "approval-required",
        "mesh7.dev/rule": shop.RULE, "mesh7.dev/requestId": request["id"],
    }  # fmt: skip
    assert f"`{request['id']}`" in result["content"][0]["text"]
    assert "Repeat exactly the same call" in result["content"][0]["text"]


async def _with_progress(talk: Talk) -> web.StreamResponse:
    response = await talk.stream()
    await response.write(event(PROGRESS))
    await response.write(event(talk.envelope(text_result(shop.PAID))))
    return response


async def _invalid(talk: Talk) -> web.StreamResponse:
    error = b'{"jsonrpc":"2.0","id":%b,"error":{"code":-32602,"message":"no such till"}}'
    return json_response(error % json.dumps(talk.message["id"]).encode(), 400)


async def _bare(_: Talk) -> web.StreamResponse:
    return web.Response(status=400, text="no")


async def _broken(_: Talk) -> web.StreamResponse:
    return web.Response(status=500, text="oops")


@pytest.mark.promise("A3")
async def test_what_a_source_says_before_its_answer_goes_on_along_the_held_stream(
    tmp_path: Path,
) -> None:
    async with shop.serving_shop(tmp_path, patience=QUICK) as served:
        served.mcp.calls["pay"] = _with_progress
        async with held(served, "/mcp/shop") as response:
            await approve(served)
            told = [await parts.next_event(response) for _ in range(2)]

    assert told == [PROGRESS, {"jsonrpc": "2.0", "id": 1, "result": text_result(shop.PAID)}]


@pytest.mark.promise("A3")
@pytest.mark.parametrize(
    ("behaviour", "words"),
    [(_invalid, "no such till"), (_bare, "400"), (_broken, "500")],
    ids=["json-rpc", "bare", "broken"],
)
async def test_an_http_error_of_the_source_becomes_an_answer_on_the_held_stream(
    tmp_path: Path, behaviour: Behaviour, words: str
) -> None:
    """The status is lost with the stream, so the answer must say it."""
    async with shop.serving_shop(tmp_path, patience=QUICK) as served:
        served.mcp.calls["pay"] = behaviour
        async with held(served, "/mcp/shop") as response:
            await approve(served)
            message = await parts.next_event(response)
            assert await response.content.read() == b""

    assert message["id"] == 1
    assert words in json.dumps(message)


@pytest.mark.promise("A7")
@pytest.mark.promise("D32")
@pytest.mark.promise("D41")
@both_doors
async def test_a_legacy_client_cancels_a_held_call_by_its_message(
    tmp_path: Path, path: str
) -> None:
    """Design 6.2: matched by session and id, not forwarded, never answered; nothing runs."""
    async with shop.serving_shop(tmp_path, patience=QUICK) as served:
        session, other = [await served.agent.initialize(path) for _ in range(2)]
        mine, foreign = BOTH | in_session(session), BOTH | in_session(other)
        async with served.agent.open(path, paying(path, 7), mine) as response:
            (request,) = await served.people.asked()
            for fields, identifier in ((foreign, 7), (mine, 8), (mine, 7)):
                reply = await served.agent.send(path, cancelling(identifier), fields)
                assert reply.status == 202
            rest = await response.content.read()
        await served.people.approve(request["id"])
        await served.people.look_twice()
        assert served.runs == 0

    assert rest.replace(COMMENT, b"") == b""
    forwarded = [talk.params["requestId"] for talk in served.mcp.asked("notifications/cancelled")]
    assert forwarded == ([7, 8] if path == "/mcp/shop" else [])
    calls_made = [each for each in parts.audited(tmp_path) if "decision" in each]
    assert [(each["reason"], each["outcome"]) for each in calls_made] == [
        ("approval-required", "gone")
    ]


def test_ids_that_several_clients_without_a_session_use_at_once_cancel_nobody() -> None:
    """A7: nobody knows which of them is meant."""
    agent = calls.Agent(namespace="default", service_account="a", pod="p")
    key = (agent, "shop", "", 1)
    cancelled: list[str] = []
    held_calls = HeldCalls()

    def first() -> None:
        cancelled.append("first")

    def second() -> None:
        cancelled.append("second")

    held_calls.add(key, first)
    held_calls.add(key, second)
    assert not held_calls.cancel(key)
    held_calls.remove(key, second)
    assert held_calls.cancel(key)
    held_calls.remove(key, first)
    held_calls.remove(key, first)
    assert not held_calls.cancel(key)
    assert cancelled == ["first"]
