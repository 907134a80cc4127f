"""Held plain HTTP calls: the body belongs to the call, so it is read before anybody is asked."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from tests.sidecar.doors import shop
from tests.sidecar.doors.parts import BOTH
from tests.sidecar.doors.scripted_source import Talk

JSON = {"content-type": "application/json"}


@pytest.mark.promise("A1")
async def test_another_body_query_or_header_that_matters_is_another_call(tmp_path: Path) -> None:
    """A1: approved for one body, every other asks again."""
    async with shop.serving_shop(tmp_path, hold_s=0.0) as served:
        held = await served.agent.send("/http/api/pay", {"amount": 5})
        await served.people.approve(held.json["requestId"])
        others = [
            await served.agent.send("/http/api/pay", {"amount": 50}),
            await served.agent.send("/http/api/pay?twice=1", {"amount": 5}),
            await served.agent.send("/http/api/pays", {"amount": 5}),
            await served.agent.send("/http/api/pay", {"amount": 5}, {**BOTH, "if-match": "2"}),
        ]
        assert served.runs == 0
        same = await served.agent.send(
            "/http/api/pay", {"amount": 5}, {**BOTH, "traceparent": "00"}
        )

    assert (same.status, same.body) == (200, b"paid")
    assert [reply.status for reply in others] == [403] * 4
    requests = {reply.json["requestId"] for reply in (held, *others)}
    assert len(requests) == 5


@pytest.mark.promise("A3")
async def test_a_held_call_forwards_the_body_it_was_approved_with(tmp_path: Path) -> None:
    """Design 6.1: what people saw is what goes out."""
    bodies: list[bytes] = []

    async def note(talk: Talk) -> web.StreamResponse:
        bodies.append(await talk.request.read())
        headers = {"x-request-id": "7", "set-cookie": "a=b"}
        return web.Response(status=201, body=b"\x00\xff", headers=headers)

    async with shop.serving_shop(tmp_path) as served:
        served.api.everything = note
        sending = served.agent.send("/http/api/pay", b'{"amount": 5.00}', JSON)
        calling = asyncio.create_task(sending)
        (request,) = await served.people.asked()
        await served.people.approve(request["id"])
        reply = await calling
        again = await served.agent.send("/http/api/pay", b'{"amount": 5.00}', JSON)

    assert bodies == [b'{"amount": 5.00}']
    assert (reply.status, reply.body) == (201, b"\x00\xff")
    assert (again.status, again.body) == (201, b"\x00\xff")
    assert again.headers["x-mesh7-replay-of"] == request["id"]
    assert "x-mesh7-replay-of" not in reply.headers
    assert "set-cookie" not in again.headers
    assert again.headers.get("content-type") == reply.headers.get("content-type")


@pytest.mark.promise("A2")
async def test_an_answer_too_large_to_keep_is_not_run_again(tmp_path: Path) -> None:
    """Design 6.5: used is used; the repeat asks people anew."""

    async def large(_: Talk) -> web.StreamResponse:
        return web.Response(body=b"x" * (1024 * 1024 + 1))

    async with shop.serving_shop(tmp_path, hold_s=0.0) as served:
        served.api.everything = large
        held = await served.agent.send("/http/api/pay", {"amount": 5})
        await served.people.approve(held.json["requestId"])
        reply = await served.agent.send("/http/api/pay", {"amount": 5})
        again = await served.agent.send("/http/api/pay", {"amount": 5})

    assert (reply.status, len(reply.body)) == (200, 1024 * 1024 + 1)
    assert again.status == 403
    assert (again.json["decision"], again.json["reason"]) == ("Hold", "approval-required")
    assert again.json["requestId"] != held.json["requestId"]


@pytest.mark.promise("A11")
@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"x" * (4 * 1024 * 1024 + 1), {}, 413),
        (b"\x1f\x8b", {"content-encoding": "gzip"}, 415),
    ],
    ids=["too-large", "compressed"],
)
async def test_a_body_that_people_could_not_see_asks_nobody(
    tmp_path: Path, body: bytes, headers: dict[str, str], status: int
) -> None:
    async with shop.serving_shop(tmp_path) as served:
        reply = await served.agent.send("/http/api/pay", body, headers)
        assert await served.people.asked(0) == []
        assert served.runs == 0

    assert reply.status == status


@pytest.mark.promise("L7")
async def test_where_nobody_is_asked_a_large_body_streams_as_before(tmp_path: Path) -> None:
    sizes: list[int] = []

    async def measure(talk: Talk) -> web.StreamResponse:
        sizes.append(len(await talk.request.read()))
        return web.Response(text="ok")

    async with shop.serving_shop(tmp_path, shop.LIMITED) as served:
        served.api.everything = measure
        reply = await served.agent.send("/http/api/pay", b"x" * (5 * 1024 * 1024), {})

    assert reply.status == 200
    assert sizes == [5 * 1024 * 1024]
