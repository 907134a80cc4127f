"""HTTP itself as a weapon: framing, paths, sizes, slowness and floods against a real gateway."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.peers import stopwatches
from tests.sidecar.doors import parts as doors
from tests.sidecar.doors.scripted_source import Script
from tests.sidecar.hostile.parts import (
    LEGACY_HEADERS,
    Attack,
    attacked,
    legacy,
    modern,
    modern_headers,
)  # fmt: skip
from tests.sidecar.lifecycle import parts
from tests.sidecar.lifecycle.parts import ALLOW_ALL, guarded, scripted

BODY, HONEST = modern("tools/call", {"name": "echo", "arguments": {}})
MIB = 1024 * 1024
LONG_S = 5.0
"""Less than the ten seconds that a slow client gets; a busy machine is slow, too."""


def request(*lines: str, body: bytes = BODY, target: str = "/mcp/s") -> bytes:
    """A POST with an honest call's headers and these lines besides; no framing of its own."""
    head = [f"POST {target} HTTP/1.1", "Host: 127.0.0.1"]
    head += [f"{name}: {value}" for name, value in HONEST.items()]
    return "\r\n".join([*head, *lines]).encode("latin-1") + b"\r\n\r\n" + body


LENGTH = f"Content-Length: {len(BODY)}"
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
INNER = request(LENGTH)
SMUGGLED = {
    "length and chunks": request(LENGTH, "Transfer-Encoding: chunked", body=CHUNKED),
    "chunks and length": request("Transfer-Encoding: chunked", LENGTH, body=CHUNKED),
    "two lengths": request("Content-Length: 0", LENGTH),
    "two equal lengths": request(LENGTH, LENGTH),
    "length list": request(f"Content-Length: {len(BODY)}, {len(BODY)}"),
    "length with sign": request(f"Content-Length: +{len(BODY)}"),
    "negative length": request("Content-Length: -1"),
    "folded length": request("Content-Length:\r\n 0"),
    "blank before colon": request(f"Content-Length : {len(BODY)}"),
    "folded header": request("X-A: b\r\n c", LENGTH),
    "bare line feed": request(f"X-A: b\n{LENGTH}"),
    "bare carriage return": request(f"X-A: b\r{LENGTH}"),
    "NUL in a value": request("X-A: \0", LENGTH),
    "unknown transfer coding": request("Transfer-Encoding: xchunked", body=CHUNKED),
    "coding behind a tab": request("Transfer-Encoding:\x0bchunked", body=CHUNKED),
    "two codings": request("Transfer-Encoding: gzip, chunked", body=CHUNKED),
    "chunk size with sign": request(
        "Transfer-Encoding: chunked", body=CHUNKED.replace(b"\r\n", b" \r\n", 1)
    ),
    "chunks ended by line feeds": request(
        "Transfer-Encoding: chunked", body=CHUNKED.replace(b"\r\n", b"\n")
    ),
    "a call in a length": request("Content-Length: 0", "Transfer-Encoding: chunked", body=INNER),
    "a call behind chunks": request(
        LENGTH, "Transfer-Encoding: chunked", body=b"0\r\n\r\n" + INNER
    ),
    "no host": INNER.replace(b"Host: 127.0.0.1\r\n", b""),
    "HTTP/0.9": b"POST /mcp/s\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.promise("X9")
async def test_x9_ambiguous_framing_is_refused_and_nothing_hides_behind_it(tmp_path: Path) -> None:
    """One refusal, then the connection is closed: a smuggled call never becomes a request."""
    async with attacked(tmp_path) as attack:
        found = {}
        for name, payload in SMUGGLED.items():
            answer = await attack.raw(payload)
            is_refused = 400 <= answer.status < 600 and answer.status != 404
            found[name] = (is_refused, answer.count)
        assert found == dict.fromkeys(SMUGGLED, (True, 1))
        assert attack.reached == []
        assert await attack.is_well()


@pytest.mark.promise("X9")
async def test_x9_hop_by_hop_and_named_headers_do_not_travel(tmp_path: Path) -> None:
    """What `Connection` lists, and every credential of the agent's own, ends here."""
    private = {
        "connection": "keep-alive, x-request-id", "x-request-id": "17", "keep-alive": "timeout=1",
        "te": "trailers", "upgrade": "h2c", "proxy-authorization": "Basic eDp5",
        "proxy-connection": "keep-alive", "authorization": "Bearer mine", "cookie": "a=b",
        "x-api-key": "mine", "forwarded": "for=1", "x-forwarded-for": "1", "x-real-ip": "1",
        "x-http-method-override": "DELETE",
    }  # fmt: skip
    async with scripted("echo") as source:
        manifests = (
            doors.source("s", source.url), doors.source("h", source.url, kind="http"), ALLOW_ALL,
        )  # fmt: skip
        async with guarded(tmp_path, *manifests) as served:
            await served.until(parts.is_ready("s"))
            source.script.seen.clear()
            attack = Attack(served, source.script)
            await attack.post("/mcp/s", BODY, (HONEST | private).items())
            await attack.post("/http/h/mcp", BODY, (HONEST | private).items())

            assert len(attack.reached) == 2
            travelled = {name for talk in attack.reached for name in talk.headers}
            # The pool's own `connection` is of its own hop.
            assert travelled & (set(private) - {"connection"}) == set()


PATHS = [
    "//mcp/s", "/mcp//s", "/mcp/s/", "/mcp/", "/mcp/s?x=1", "/mcp/s?", "/mcp/%73", "/%6dcp/s",
    "/mcp/s%00", "/mcp/s%2f", "/mcp%2fs", "/mcp/..%2fmcp/s", "/mcp/../mcp/s", "/./mcp/s",
    "/mcp/s/..", "/mcp/s;a=b", "/MCP/s", "/mcp/S", "/mcp/s%20", "/mcp/s.",
    "/mcp/..%2fcontrol/status",
    "/control/status", "/control/join", "/healthz", "/readyz", "/", "/mcp/other", "/http/s/",
    "/v1/tools/", "/v1/tools/s", "/v1/tools/s.", "/v1/tools/s.echo/", "/v1/tools/s.echo?x=1",
    "/v1/tools/s.ech%6f", "/v1/tools/s%2eecho", "/v1/tools/S.echo", "/v1//tools/s.echo",
    "/v1/tools/../tools/s.echo", "/v1/decide/",
]  # fmt: skip
NO_TARGETS = [
    "http://127.0.0.1/mcp/s", "http://elsewhere/mcp/s", "https://127.0.0.1/mcp/s", "*", "mcp/s",
    "/mcp/s#x", "127.0.0.1:80", "\\mcp\\s", "/mcp/s\\..",
]  # fmt: skip


@pytest.mark.promise("X12")
async def test_x12_a_path_has_one_spelling(tmp_path: Path) -> None:
    """Nor is anything of the unix socket or the admin listener to be found here."""
    async with attacked(tmp_path) as attack:
        found = {path: (await attack.raw(request(LENGTH, target=path))).status for path in PATHS}
        assert {path: status for path, status in found.items() if status != 404} == {}
        refused = {
            path: (await attack.raw(request(LENGTH, target=path))).status for path in NO_TARGETS
        }
        assert {path: each for path, each in refused.items() if each not in (400, 404)} == {}
        assert attack.reached == []


@pytest.mark.promise("X12")
@pytest.mark.promise("X13")
async def test_x12_a_host_that_is_not_ours_gets_nothing(tmp_path: Path) -> None:
    """DNS rebinding: the page's name stays in `Host`."""
    hosts = ["evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil.example", "[::1", "", "0"]
    marks = ["Origin: http://evil.example", "Origin: null", "Sec-Fetch-Site: same-origin"]
    async with attacked(tmp_path) as attack:
        for host in hosts:
            payload = request(LENGTH).replace(b"Host: 127.0.0.1", f"Host: {host}".encode())
            assert (await attack.raw(payload)).status in (400, 403), host
        for mark in marks:
            assert (await attack.raw(request(LENGTH, mark))).status == 403, mark
        assert attack.reached == []


@pytest.mark.promise("X11")
async def test_x11_what_is_too_large_is_refused_without_being_read(tmp_path: Path) -> None:
    """docs/reference/limits.md; the attacker announces much and sends little."""
    large = {
        "announced body": (request(f"Content-Length: {10**10}", body=b"{"), 413),
        "body": (request(f"Content-Length: {5 * MIB}", body=b" " * 5 * MIB), 413),
        "chunked body": (
            request("Transfer-Encoding: chunked", body=b"500000\r\n" + b" " * 5 * MIB), 413,
        ),
        "value": (request(f"X-A: {'a' * 70_000}", LENGTH), 431),
        "many headers": (request(*[f"X-{number}: 1" for number in range(10_000)], LENGTH), 431),
        "head without end": (request(LENGTH)[:20] + b"a" * 70_000, 431),
        "target": (request(LENGTH, target="/" + "a" * 20_000), 414),
    }  # fmt: skip
    async with attacked(tmp_path) as attack:
        before = resident_bytes(attack.served.gateway.pid)
        found = {name: (await attack.raw(payload)).status for name, (payload, _) in large.items()}
        assert found == {name: status for name, (_, status) in large.items()}
        assert attack.reached == []
        assert await attack.is_well()
        assert resident_bytes(attack.served.gateway.pid) - before < 40 * MIB


def resident_bytes(process: int) -> int:
    """What a process takes of memory; 0 where /proc is not."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    except FileNotFoundError:
        return 0
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


@contextlib.asynccontextmanager
async def connections(
    attack: Attack, count: int, payload: bytes = b""
) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Open connections that have sent `payload` and say nothing more."""
    opened = await asyncio.gather(
        *(asyncio.open_connection(*attack.served.address) for _ in range(count))
    )
    try:
        for _, writer in opened:
            writer.write(payload)
        yield [reader for reader, _ in opened]
    finally:
        for _, writer in opened:
            writer.close()
        await asyncio.gather(
            *(writer.wait_closed() for _, writer in opened), return_exceptions=True
        )


@pytest.mark.promise("X11")
async def test_x11_slow_clients_are_sent_away_and_slow_nobody(tmp_path: Path) -> None:
    """A slow loris: a head gets ten seconds from its first byte to its last."""
    half = b"POST /mcp/s HTTP/1.1\r\nHost: 127.0"
    async with attacked(tmp_path) as attack, connections(attack, 100, half) as readers:
        longest_s = 0.0
        started = time.monotonic()
        answers = asyncio.gather(*(reader.read() for reader in readers))
        with stopwatches.running() as passed_s:
            while not answers.done():
                asked_s = passed_s()
                assert await attack.is_well()
                longest_s = max(longest_s, passed_s() - asked_s)
                await asyncio.wait([answers], timeout=0.1)
            assert passed_s() < 30
        assert time.monotonic() - started > 5, "they have some seconds"

        assert all(answer.startswith(b"HTTP/1.1 408 ") for answer in await answers)
        assert longest_s < LONG_S


@pytest.mark.promise("X11")
async def test_x11_a_flood_of_connections_leaves_room_for_calls(tmp_path: Path) -> None:
    """Beyond 1,000 idle ones the oldest are closed."""
    async with attacked(tmp_path) as attack:
        async with connections(attack, 1_500) as readers:
            assert await attack.is_well()
            open_yet = {asyncio.ensure_future(reader.read()) for reader in readers}
            async with asyncio.timeout(parts.PATIENCE_S):
                while len(open_yet) > len(readers) - 400:
                    _, open_yet = await asyncio.wait(open_yet, return_when=asyncio.FIRST_COMPLETED)
            for each in open_yet:
                each.cancel()
            await asyncio.gather(*open_yet, return_exceptions=True)
            assert await attack.is_well()
        assert attack.reached == []


async def pipelined(attack: Attack, payloads: list[bytes]) -> int:
    """Send many requests on one connection; the number of answers."""
    reader, writer = await asyncio.open_connection(*attack.served.address)
    count, ending = 0, b""
    try:
        async with asyncio.timeout(60):
            sending = asyncio.ensure_future(_send(writer, payloads))
            while count < len(payloads):
                chunk = await reader.read(65_536)
                assert chunk, f"closed after {count} answers"
                piece = ending + chunk
                count += piece.count(b"HTTP/1.1 ")
                # A mark that is cut in two is counted with the next piece, a whole one once.
                ending = piece[-8:] if b"HTTP/1.1 " not in piece[-16:] else b""
            await sending
    finally:
        writer.close()
    return count


async def _send(writer: asyncio.StreamWriter, payloads: list[bytes]) -> None:
    for payload in payloads:
        writer.write(payload)
        await writer.drain()


@pytest.mark.promise("X11")
@pytest.mark.promise("P11")
async def test_x11_made_up_names_and_heads_do_not_fill_the_memory(tmp_path: Path) -> None:
    """Every cache is bounded: names, heads, sessions that were never opened, trace ids."""
    count, warmed = 6_000, 2_500

    def made_up(number: int) -> list[bytes]:
        body, fields = modern("tools/call", {"name": f"made-up-{number}", "arguments": {}})
        trace = f"traceparent: 00-{number:032x}-{number:016x}-01"
        lines = [f"{name}: {value}" for name, value in fields.items()]
        unknown = LEGACY_HEADERS | {"mcp-session-id": f"none-{number}"}
        old = legacy("tools/call", {"name": "echo"})
        spoken = [f"{name}: {value}" for name, value in unknown.items()]
        dry = b'{"tool":"s.x%d"}' % number
        return [
            raw("/mcp/s", body, [*lines, trace]),
            raw("/mcp/s", old, spoken),
            raw(f"/v1/tools/s.tool-{number}", b"{}", ["content-type: application/json"]),
            raw(f"/nowhere/{number}", dry, [f"x-session-id: {number}"]),
        ]

    async with attacked(tmp_path) as attack:
        warm = [payload for number in range(warmed) for payload in made_up(number)]
        assert await pipelined(attack, warm) == len(warm)
        before = resident_bytes(attack.served.gateway.pid)
        flood = [payload for number in range(warmed, count) for payload in made_up(number)]
        assert await pipelined(attack, flood) == len(flood)

        assert resident_bytes(attack.served.gateway.pid) - before < 10 * MIB
        assert attack.tools_called == []
        assert await attack.is_well()


def raw(target: str, body: bytes, lines: list[str]) -> bytes:
    """One request that leaves the connection open."""
    head = [f"POST {target} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


@pytest.mark.promise("X11")
@pytest.mark.promise("M8")
async def test_x11_a_flood_of_handshakes_starts_no_flood_of_children(tmp_path: Path) -> None:
    """A stdio source has a child per session, at most 32; the others are told to wait or evict."""
    params: dict[str, object] = {
        "protocolVersion": doors.LEGACY, "capabilities": {},
        "clientInfo": {"name": "x", "version": "1"},
    }  # fmt: skip
    body = legacy("initialize", params)
    async with guarded(tmp_path, parts.stdio_source("s"), ALLOW_ALL) as served:
        await served.until(parts.is_ready("s"))
        attack = Attack(served, Script())
        answers = await asyncio.gather(
            *(attack.post("/mcp/s", body, LEGACY_HEADERS.items()) for _ in range(60))
        )
        found = await served.status()

        assert {answer.status for answer in answers} <= {200, 503}
        assert sum(answer.status == 200 for answer in answers) >= 1
        assert parts.of_source(found, "s")["child"]["sessions"] <= 32
        assert (await served.call("s.pid")).status == 200


@pytest.mark.promise("X11")
async def test_x11_a_flood_of_sessions_pushes_the_oldest_out(tmp_path: Path) -> None:
    """docs/reference/limits.md: 10,000 live sessions; nothing of them slows a call."""
    params: dict[str, object] = {
        "protocolVersion": doors.LEGACY, "capabilities": {},
        "clientInfo": {"name": "x", "version": "1"},
    }  # fmt: skip
    lines = [f"{name}: {value}" for name, value in LEGACY_HEADERS.items()]
    async with attacked(tmp_path) as attack:
        agent = attack.served.agent
        oldest = doors.in_session(await agent.initialize("/mcp"))
        assert (await agent.legacy("/mcp", "ping", {}, **oldest)).status == 200
        before = resident_bytes(attack.served.gateway.pid)
        flood = [raw("/mcp", legacy("initialize", params), lines)] * 10_000
        assert await pipelined(attack, flood) == len(flood)

        assert (await agent.legacy("/mcp", "ping", {}, **oldest)).status == 404
        newest = doors.in_session(await agent.initialize("/mcp"))
        assert (await agent.legacy("/mcp", "ping", {}, **newest)).status == 200
        assert resident_bytes(attack.served.gateway.pid) - before < 30 * MIB
        assert attack.reached == []
        assert await attack.is_well()


def test_an_honest_request_is_what_the_attacks_are_made_of() -> None:
    """Else they would be refused for another reason than they are meant to be."""
    assert modern_headers() == HONEST
