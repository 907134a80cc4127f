"""`mesh7 stdio`: a client on two pipes, real processes behind, a real socket between."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mesh7_core import errors
from mesh7_sidecar import state
from mesh7_sidecar.stdio.program import Client
from tests.sidecar.sources.test_stdio import PLAIN, VERSION, Json, source_of, told
from tests.sidecar.stdio.parts import SmallGateway, StdioClient

Start = Callable[[state.Held], Awaitable[SmallGateway]]
META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
INITIALIZED = {"method": "notifications/initialized"}


class House:
    """One state folder, and all gateways that were started for it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.gateways: list[SmallGateway] = []
        self.clients: list[StdioClient] = []

    def hold(self) -> state.Held | state.HeldElsewhere:
        now = datetime(2026, 11, 21, tzinfo=UTC)
        return state.hold(self.directory, "mesh7 stdio", now)

    async def start(self, held: state.Held) -> SmallGateway:
        gateway = await SmallGateway(held, source_of(PLAIN)).start()
        self.gateways.append(gateway)
        return gateway

    async def client(self, client: Client | None = None, start: Start | None = None) -> StdioClient:
        made = StdioClient(self.directory, self.hold, start or self.start, client)
        self.clients.append(made)
        return await made.open()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path / "state")
    yield made
    for client in made.clients:
        client.dispose()
    await asyncio.sleep(0)  # transports close a turn later


def call(tool: str, identifier: int | str, **arguments: object) -> Json:
    params = {"name": tool, "arguments": arguments, "_meta": META}
    return {"id": identifier, "method": "tools/call", "params": params}


def legacy_call(tool: str, identifier: int | str) -> Json:
    params = {"name": tool, "arguments": {}}
    return {"id": identifier, "method": "tools/call", "params": params}


def hello(identifier: int | str = 0) -> Json:
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t"}}
    return {"id": identifier, "method": "initialize", "params": params}


@pytest.mark.promise("S1")
async def test_a_modern_call_goes_through_with_its_headers_and_identity(house: House) -> None:
    """Promised by design 10: each client speaks with its own agent and labels."""
    named = Client(agent="coder", labels={"app": "ide", "tier": "dev"}, source="child")
    client = await house.client(named)
    client.send(call("echo", "a", text="é\n"))
    answer = await client.receive()
    assert await client.close() == 0
    assert client.rest == b""
    assert answer["id"] == "a"
    assert told(answer)["arguments"] == {"text": "é\n"}
    [(method, target, fields)] = house.gateways[0].heads
    assert (method, target) == ("POST", "/mcp/child")
    assert [pair for pair in fields if pair[0].startswith((b"mcp-", b"x-mesh7"))] == [
        (b"x-mesh7-agent", b"coder"),
        (b"x-mesh7-label", b"app=ide"),
        (b"x-mesh7-label", b"tier=dev"),
        (b"mcp-protocol-version", b"2026-07-28"),
        (b"mcp-method", b"tools/call"),
        (b"mcp-name", b"echo"),
    ]


@pytest.mark.promise("M9")
@pytest.mark.promise("D34")
async def test_a_call_that_is_held_blocks_no_other(house: House) -> None:
    """Promised by M9 and D34: stdio is concurrent."""
    client = await house.client()
    client.send(call("silent", "held"))
    client.send(*(call("echo", number) for number in range(20)))
    answers = [await client.receive() for _ in range(20)]
    assert {answer["id"] for answer in answers} == set(range(20))
    house.gateways[0].way.abort()
    last = await client.receive()
    assert last["id"] == "held"
    assert last["result"]["isError"] is True
    assert await client.close() == 0
    assert client.rest == b""


@pytest.mark.promise("M5")
async def test_progress_comes_before_the_answer(house: House) -> None:
    """Promised by M5: progress passes."""
    client = await house.client()
    params = {"name": "progress", "arguments": {}, "_meta": {**META, "progressToken": "tok"}}
    client.send({"id": 1, "method": "tools/call", "params": params})
    methods = [(await client.receive()).get("method") for _ in range(3)]
    assert methods == ["notifications/progress", "notifications/progress", None]
    assert await client.close() == 0


async def test_a_modern_cancellation_closes_the_request_and_is_not_answered(
    house: House,
) -> None:
    """Promised by D32 and the modern revision: closing the stream is the cancel."""
    client = await house.client()
    client.send(call("cancel", "gone"), call("pid", 1))
    await client.receive()
    cancelled = {"requestId": "gone", "reason": "bored"}
    client.send({"method": "notifications/cancelled", "params": cancelled}, call("seen", 2))
    seen = await client.receive()
    while not told(seen):
        client.send(call("seen", 3))
        seen = await client.receive()
    [notice] = told(seen)
    assert notice["method"] == "notifications/cancelled"
    assert await client.close() == 0
    assert client.rest == b""


@pytest.mark.promise("M9")
async def test_a_legacy_session_pipelined_in_one_write_keeps_its_order(house: House) -> None:
    """Promised by M9: `printf … | mesh7 stdio` works."""
    client = await house.client()
    client.send(hello(), INITIALIZED, legacy_call("echo", 1), legacy_call("pid", 2))
    found = [await client.receive() for _ in range(4)]
    assert found[0]["id"] == 0
    assert {each.get("id", each.get("method")) for each in found[1:]} == {
        1, 2, "notifications/tools/list_changed",
    }  # fmt: skip
    assert await client.close() == 0
    methods = [method for method, _, _ in house.gateways[0].heads]
    assert methods.count("GET") == 1
    assert methods[-1] == "DELETE"


@pytest.mark.promise("D13")
async def test_a_servers_request_reaches_the_client_and_its_answer_the_server(
    house: House,
) -> None:
    """Promised by D13 and M5."""
    client = await house.client()
    client.send(hello(), legacy_call("ask", 7))
    await client.receive()
    asked = await client.receive()
    assert asked["method"] == "sampling/createMessage"
    client.send({"id": asked["id"], "result": {"text": "hi"}})
    answer = await client.receive()
    assert (answer["id"], told(answer)) == (7, {"text": "hi"})
    assert await client.close() == 0


@pytest.mark.promise("D32")
async def test_blank_lines_and_notifications_are_not_answered_and_malformed_lines_are(
    house: House,
) -> None:
    """Promised by D32."""
    client = await house.client()
    client.send_raw(b"\n  \r\n")
    client.send({"method": "notifications/whatever"}, INITIALIZED)
    client.send({"method": "notifications/cancelled", "params": {"requestId": 99}})
    client.send_raw(b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}\n')
    client.send_raw(b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]\n')
    overlong = b'{"jsonrpc":"2.0","id":5,"method":"' + b"x" * 5_000_000 + b'"}\n'
    await client.send_large(overlong)
    found = [await client.receive() for _ in range(3)]
    assert [(each["id"], each["error"]["code"]) for each in found] == [
        (None, -32700),
        (None, -32600),
        (5, -32600),
    ]
    assert await client.close() == 0
    assert client.rest == b""
    assert house.gateways[0].heads == []


async def test_an_error_without_an_id_gets_the_requests_own(house: House) -> None:
    """Promised by M9: every request is answered under its id."""
    client = await house.client()
    client.send({"id": "x", "method": "tools/list", "params": {}})
    answer = await client.receive()
    assert (answer["id"], answer["error"]["code"]) == ("x", -32600)
    assert await client.close() == 0


async def test_the_end_of_stdin_waits_for_calls_under_way(house: House) -> None:
    """Promised by M9: what is in flight is finished."""
    client = await house.client()
    client.send(call("big", 1, size=300_000))
    closing = asyncio.ensure_future(client.close())
    answer = await client.receive()
    assert len(told(answer)) == 300_000
    assert await closing == 0


async def test_a_term_signal_ends_it_with_exit_code_0(house: House) -> None:
    """Promised by the brief: SIGTERM like the end of stdin."""
    client = await house.client()
    client.send(call("pid", 1))
    await client.receive()
    os.kill(os.getpid(), signal.SIGTERM)
    assert await client.exit_code() == 0
    assert isinstance(house.hold(), state.Held)


@pytest.mark.promise("S1")
async def test_a_second_client_joins_and_the_holder_stays_until_it_leaves(
    house: House,
) -> None:
    """Promised by design 10: the holder stays until the last leaves."""
    first = await house.client()
    first.send(call("pid", 1))
    pid = told(await first.receive())
    second = await house.client(Client(agent="other"))
    second.send(call("pid", 1))
    assert told(await second.receive()) == pid
    leaving = asyncio.ensure_future(first.close())
    second.send(call("pid", 2))
    assert told(await second.receive()) == pid
    assert not leaving.done()
    assert await second.close() == 0
    assert await leaving == 0
    assert len(house.gateways) == 1
    assert not (house.directory / state.SOCKET_NAME).exists()


async def test_when_the_holder_dies_a_joined_client_takes_over_with_its_session(
    house: House,
) -> None:
    """Promised by the brief: a killed holder takes nobody with it."""
    held = house.hold()
    assert isinstance(held, state.Held)
    gateway = await house.start(held)
    client = await house.client()
    client.send(hello(), INITIALIZED, legacy_call("pid", 1))
    found = {each.get("id"): each for each in [await client.receive() for _ in range(3)]}
    before = told(found[1])
    await gateway.close()
    client.send(legacy_call("pid", 2))
    answers: list[Json] = []
    while not answers:
        answers += [each for each in [await client.receive()] if each.get("id") == 2]
    assert told(answers[0]) != before
    assert len(house.gateways) == 2
    assert await client.close() == 0


async def test_clients_that_start_at_once_share_one_gateway(house: House) -> None:
    """Promised by design 10: the first process holds the folder, later ones join."""
    clients = [await house.client() for _ in range(5)]
    for client in clients:
        client.send(call("pid", 1))
    pids = {told(await client.receive()) for client in clients}
    assert len(pids) == len(house.gateways) == 1
    codes = await asyncio.gather(*(client.close() for client in clients))
    assert codes == [0] * 5


async def test_a_reader_that_is_gone_ends_the_program(house: House) -> None:
    """Promised by M9: nobody is served who does not read."""
    client = await house.client()
    client.send(call("pid", 1))
    await client.receive()
    client.stop_reading()
    client.send(call("pid", 2))
    async with asyncio.timeout(30):
        assert await client.task == 0


async def test_a_gateway_that_cannot_start_leaves_the_folder_free(house: House) -> None:
    """Promised by issue 1: a clear message, and nothing left behind."""

    async def fail(held: state.Held) -> SmallGateway:
        held.release()
        raise errors.ManifestError("broken.yaml:1: no")

    client = await house.client(start=fail)
    with pytest.raises(errors.ManifestError):
        await client.task
    assert isinstance(house.hold(), state.Held)
