"""How a gateway stops: what is under way is finished, what has no end is ended, nothing is left."""

import asyncio
import os
import signal
import time
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from mesh7_sidecar import main, state
from mesh7_sidecar.settings import Settings
from tests.peers import stopwatches
from tests.sidecar.doors import parts as doors
from tests.sidecar.doors.scripted_source import LEGACY, MODERN, Script, Talk, text_result
from tests.sidecar.lifecycle import parts
from tests.sidecar.lifecycle.parts import ALLOW_ALL, Guarded, guarded, scripted

AT_ONCE_S = 9.0
"""Less than the ten seconds that calls in flight get: nobody waited for those."""
SIGNALS = [signal.SIGTERM, signal.SIGINT]


class SlowTool:
    """A tool that answers when it is told to."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.release = asyncio.Event()

    async def __call__(self, talk: Talk) -> web.StreamResponse:
        self.begun.set()
        await self.release.wait()
        return talk.answer(text_result("done"))


async def refuses_connections(served: Guarded) -> None:
    """Return once the data listener takes nobody in any more."""

    async def refused() -> bool:
        try:
            _, writer = await asyncio.open_connection(*served.address)
        except ConnectionError:
            return True
        writer.close()
        return False

    await parts.comes_true(refused)


async def ended(served: Guarded) -> tuple[int, float]:
    """Exit code, and seconds until then."""
    with stopwatches.running() as passed_s:
        async with asyncio.timeout(60):
            code = await served.gateway.process.wait()
        return code, passed_s()


async def post_patiently(url: str, body: object, fields: dict[str, str]) -> bytes:
    """A request that waits as long as the test does."""
    async with aiohttp.request("POST", url, json=body, headers=fields) as answer:
        return await answer.read()


def is_free(directory: Path) -> bool:
    """Whether nothing holds the state folder."""
    held = main.hold(Settings(directory=directory, state=directory), "test")
    if isinstance(held, state.Held):
        held.release()
        return True
    return False


@pytest.mark.promise("D39")
@pytest.mark.parametrize("number", SIGNALS)
async def test_a_call_in_flight_is_finished_and_nobody_else_is_taken_in(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Issue 1: stop accepting, finish calls in flight for up to 10 s, then exit 0."""
    slow = SlowTool()
    async with (
        scripted("slow", script=Script(calls={"slow": slow})) as source,
        guarded(tmp_path, doors.source("s", source.url), ALLOW_ALL) as served,
    ):
        call = asyncio.ensure_future(served.agent.modern("/mcp/s", "tools/call", {"name": "slow"}))
        async with asyncio.timeout(30):
            await slow.begun.wait()
        served.gateway.process.send_signal(number)
        await refuses_connections(served)
        assert not call.done()
        slow.release.set()
        reply = await call
        code, took_s = await ended(served)

    assert (reply.status, reply.text) == (200, "done")
    assert code == 0
    assert took_s < AT_ONCE_S
    assert not (served.gateway.state / state.SOCKET_NAME).exists()
    assert is_free(served.gateway.state)
    assert '"outcome":"ok"' in (served.gateway.state / "audit.jsonl").read_text()
    assert "Traceback" not in served.logged


@pytest.mark.promise("D39")
async def test_a_call_that_does_not_end_is_cut_off_after_ten_seconds(tmp_path: Path) -> None:
    slow = SlowTool()
    async with (
        scripted("slow", script=Script(calls={"slow": slow})) as source,
        guarded(tmp_path, doors.source("s", source.url), ALLOW_ALL) as served,
    ):
        body, fields = doors.modern_request("tools/call", {"name": "slow"})
        call = asyncio.ensure_future(post_patiently(f"{served.gateway.url}/mcp/s", body, fields))
        async with asyncio.timeout(30):
            await slow.begun.wait()
        told_s = time.monotonic()
        served.gateway.process.send_signal(signal.SIGTERM)
        code, took_s = await ended(served)
        assert time.monotonic() - told_s > 9, "calls in flight get ten seconds"
        slow.release.set()
        outcome, *_ = await asyncio.gather(call, return_exceptions=True)

    assert code == 0
    assert took_s < 30
    assert isinstance(outcome, aiohttp.ClientError | ConnectionError)


async def events_without_end(talk: Talk) -> web.StreamResponse:
    """A stream that stays open until the other side closes it."""
    stream = await talk.stream()
    await stream.write(b": here\n\n")
    await asyncio.Event().wait()
    return stream


async def acknowledged(talk: Talk) -> web.StreamResponse:
    """A subscription that lasts."""
    stream = await talk.stream()
    await stream.write(b'data: {"jsonrpc":"2.0","method":"notifications/message"}\n\n')
    await asyncio.Event().wait()
    return stream


@pytest.mark.promise("D39")
async def test_an_open_session_stream_does_not_keep_a_gateway(tmp_path: Path) -> None:
    """Streams that have no end are no calls in flight."""
    script = Script(eras=(LEGACY,), methods={"GET": events_without_end})
    async with (
        scripted("echo", script=script) as source,
        guarded(tmp_path, doors.source("s", source.url), ALLOW_ALL) as served,
    ):
        session = await served.agent.initialize("/mcp/s")
        fields = doors.BOTH | doors.in_session(session)
        async with served.agent.open("/mcp/s", None, fields, "GET") as response:
            assert await response.content.readuntil(b"\n\n") == b": here\n\n"
            served.gateway.process.send_signal(signal.SIGTERM)
            assert await response.content.read() == b"", "the stream ends in order"
            code, took_s = await ended(served)

    assert (code, took_s < AT_ONCE_S) == (0, True)


@pytest.mark.promise("D39")
async def test_an_open_subscription_does_not_keep_a_gateway(tmp_path: Path) -> None:
    script = Script(eras=(MODERN,), methods={"subscriptions/listen": acknowledged})
    async with (
        scripted("echo", script=script) as source,
        guarded(tmp_path, doors.source("s", source.url), ALLOW_ALL) as served,
    ):
        await served.until(parts.is_ready("s"))
        body, fields = doors.modern_request(
            "subscriptions/listen", {"notifications": {"toolsListChanged": True}}
        )
        async with served.agent.open("/mcp/s", body, fields) as response:
            assert response.status == 200
            await response.content.readuntil(b"\n\n")
            served.gateway.process.send_signal(signal.SIGTERM)
            await response.content.read()
            code, took_s = await ended(served)

    assert (code, took_s < AT_ONCE_S) == (0, True)


@pytest.mark.promise("D39")
async def test_an_open_stream_of_all_sources_does_not_keep_a_gateway(tmp_path: Path) -> None:
    async with guarded(tmp_path, ALLOW_ALL) as served:
        session = await served.agent.initialize("/mcp")
        fields = doors.BOTH | doors.in_session(session)
        async with served.agent.open("/mcp", None, fields, "GET") as response:
            assert response.status == 200
            served.gateway.process.send_signal(signal.SIGTERM)
            await response.content.read()
            code, took_s = await ended(served)

    assert (code, took_s < AT_ONCE_S) == (0, True)


@pytest.mark.promise("D39")
async def test_idle_connections_do_not_keep_a_gateway(tmp_path: Path) -> None:
    """Nor do those that have sent half a request, nor a probe's on the admin listener."""
    async with guarded(tmp_path, ALLOW_ALL) as served:
        host, _, port = served.gateway.admin.removeprefix("http://").rpartition(":")
        opened = [
            await asyncio.open_connection(*address)
            for address in (served.address, served.address, (host, int(port)))
        ]
        opened[1][1].write(b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        opened[2][1].write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await opened[2][0].readuntil(b"\r\n\r\n")
        served.gateway.process.send_signal(signal.SIGTERM)
        code, took_s = await ended(served)
        for _, writer in opened:
            writer.close()

    assert (code, took_s < AT_ONCE_S) == (0, True)


async def processes_in(pid_file: Path) -> list[int]:
    """The process ids that a stubborn server wrote, once they are there."""

    def words() -> list[str]:
        return pid_file.read_text().split() if pid_file.exists() else []

    await parts.eventually(lambda: len(words()) == 2)
    return [int(word) for word in words()]


def is_running(process: int) -> bool:
    """Whether a process is there and no zombie; whoever adopted a grandchild has to reap it."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def is_there(process: int) -> bool:
    """Whether a process is there, if only as a zombie."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.promise("D12")
@pytest.mark.promise("M8")
async def test_children_that_ignore_sigterm_are_gone_with_their_own_children(
    tmp_path: Path,
) -> None:
    """No process of a stopped gateway is left, whatever it ignores."""
    pid_file = tmp_path / "pids"
    source = parts.stdio_source("child", "--stubborn", str(pid_file))
    async with guarded(tmp_path, source, ALLOW_ALL) as served:
        await served.until(parts.is_ready("child"))
        child, grandchild = await processes_in(pid_file)
        assert is_there(child)
        assert is_there(grandchild)
        served.gateway.process.send_signal(signal.SIGTERM)
        code, _ = await ended(served)

        assert code == 0
        assert not is_there(child)
        assert not is_running(grandchild)


@pytest.mark.promise("D12")
async def test_a_server_that_crashes_in_a_loop_takes_nothing_down(tmp_path: Path) -> None:
    """D12: stdio server that exits after its handshake → the predecessor dies in 10 s."""
    crashing = parts.stdio_source("crash", "--exit-after-handshake")
    async with (
        scripted("echo") as source,
        guarded(tmp_path, crashing, doors.source("s", source.url), ALLOW_ALL) as served,
    ):
        await served.until(parts.is_ready("s"))
        for _ in range(5):
            assert (await served.call("crash.pid")).status >= 400
            assert (await served.call("s.echo")).status == 200
        found = await served.status()
        assert parts.of_source(found, "crash")["state"] == "failed"
        served.gateway.process.send_signal(signal.SIGTERM)
        assert (await ended(served))[0] == 0
        assert "Traceback" not in served.logged


async def test_a_signal_that_comes_with_the_announcement_stops_in_order(tmp_path: Path) -> None:
    """Whoever reads the ready line may stop us at once."""
    for _ in range(3):
        async with guarded(tmp_path, ALLOW_ALL) as served:
            served.gateway.process.send_signal(signal.SIGTERM)
            assert (await ended(served))[0] == 0


@pytest.mark.promise("D39")
async def test_the_admin_listener_says_that_a_stopping_gateway_is_not_ready(tmp_path: Path) -> None:
    """While calls in flight are finished nobody should be sent here."""
    slow = SlowTool()
    async with (
        scripted("slow", script=Script(calls={"slow": slow})) as source,
        guarded(tmp_path, doors.source("s", source.url), ALLOW_ALL) as served,
    ):
        call = asyncio.ensure_future(served.call("s.slow"))
        async with asyncio.timeout(30):
            await slow.begun.wait()
        served.gateway.process.send_signal(signal.SIGTERM)
        await refuses_connections(served)
        async with aiohttp.request("GET", f"{served.gateway.admin}/readyz") as answer:
            assert answer.status == 503
        slow.release.set()
        assert (await call).status == 200


async def test_calls_in_flight_over_the_unix_socket_are_finished_too(tmp_path: Path) -> None:
    slow = SlowTool()
    async with (
        scripted("slow", script=Script(calls={"slow": slow})) as source,
        guarded(tmp_path, doors.source("s", source.url), ALLOW_ALL) as served,
    ):
        words = "call", "--state", str(served.gateway.state), "s.slow"
        calling = asyncio.ensure_future(parts.mesh7(*words))
        async with asyncio.timeout(30):
            await slow.begun.wait()
        served.gateway.process.send_signal(signal.SIGTERM)
        await refuses_connections(served)
        slow.release.set()
        said = await calling

    assert (said.code, "done" in said.out) == (0, True)


async def test_a_gateway_needs_no_help_to_find_programs_beside_it(tmp_path: Path) -> None:
    """`command: [python]` means the one of our own environment (hosting.environment)."""
    source = parts.stdio_source("child", command=["python", str(parts.STDIO_SERVER)])
    async with guarded(tmp_path, source, ALLOW_ALL) as served:
        await served.until(parts.is_ready("child"))
