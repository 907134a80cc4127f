"""The admin listener answers people's and Kubernetes' questions, and nobody else's."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping

import pytest

from mesh7_sidecar.net import admin, listener


class Readiness:
    """What main would know."""

    def __init__(self) -> None:
        self.is_ready = True
        self.has_started = True
        self.facts: Mapping[str, object] = {"bundle": "sha256:1"}

    def __call__(self) -> tuple[bool, Mapping[str, object]]:
        return self.is_ready, self.facts


@pytest.fixture
def readiness() -> Readiness:
    return Readiness()


@pytest.fixture
async def running(readiness: Readiness) -> AsyncIterator[admin.Admin]:
    app = admin.admin_app(readiness, lambda: readiness.has_started, hosts=["10.0.0.7"])
    server = await admin.serve_admin(app, [listener.tcp_socket("127.0.0.1", 0)])
    yield server
    await server.close()


async def ask(
    running: admin.Admin, target: bytes, *headers: bytes, host: bytes = b"localhost:1"
) -> tuple[int, object]:
    reader, writer = await asyncio.open_connection(*running.addresses[0])
    lines = (b"GET %b HTTP/1.1" % target, b"Connection: close", *headers)
    hosts = (b"Host: " + host,) if host else ()
    writer.write(b"".join(line + b"\r\n" for line in (*lines, *hosts)) + b"\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/json" in head
    return int(head.split(b" ")[1]), json.loads(body)


async def test_liveness_is_that_the_loop_answers(running: admin.Admin) -> None:
    assert await ask(running, b"/healthz") == (200, {"status": "ok"})


async def test_readiness_is_what_main_says(running: admin.Admin, readiness: Readiness) -> None:
    assert await ask(running, b"/readyz") == (200, {"ready": True, "bundle": "sha256:1"})
    readiness.is_ready = False
    readiness.facts = {"problem": "no bundle"}
    assert await ask(running, b"/readyz") == (503, {"ready": False, "problem": "no bundle"})


async def test_it_has_started_when_main_says_so(running: admin.Admin, readiness: Readiness) -> None:
    assert await ask(running, b"/startz") == (200, {"started": True})
    readiness.has_started = False
    assert await ask(running, b"/startz") == (503, {"started": False})


async def test_in_a_pod_the_api_server_asks_under_its_own_name(readiness: Readiness) -> None:
    """Issue 7: `kubectl mesh7 explain POD` asks by the API server's proxy; a browser cannot."""
    app = admin.admin_app(readiness, lambda: readiness.has_started, hosts=None)
    running = await admin.serve_admin(app, [listener.tcp_socket("127.0.0.1", 0)])
    try:
        assert (await ask(running, b"/readyz", host=b"kubernetes.example:6443"))[0] == 200
        status, _ = await ask(running, b"/readyz", b"Origin: https://a.example", host=b"a.example")
        assert status == 403
    finally:
        await running.close()


@pytest.mark.promise("X13")
@pytest.mark.parametrize(
    "host", [b"evil.example", b"localhost.evil.example:1", b"127.0.0.1@evil", b"::1", b"10.0.0.8"]
)
async def test_another_host_is_refused(running: admin.Admin, host: bytes) -> None:
    """protocols.md 6 row 13: a name that was rebound to loopback."""
    status, _ = await ask(running, b"/healthz", host=host)
    assert status == 403


@pytest.mark.parametrize("host", [b"127.0.0.1", b"LOCALHOST:7008", b"[::1]:7008", b"10.0.0.7:1"])
async def test_its_own_names_are_served(running: admin.Admin, host: bytes) -> None:
    assert await ask(running, b"/healthz", host=host) == (200, {"status": "ok"})


@pytest.mark.promise("X13")
@pytest.mark.parametrize(
    "header", [b"Origin: http://localhost", b"Origin: null", b"Sec-Fetch-Site: none"]
)
async def test_browsers_are_refused(running: admin.Admin, header: bytes) -> None:
    status, _ = await ask(running, b"/healthz", header)
    assert status == 403


async def test_what_does_not_exist_says_so_in_json(running: admin.Admin) -> None:
    assert await ask(running, b"/mcp") == (404, {"error": "not found"})


async def test_metrics_are_what_main_writes_for_whoever_asks(readiness: Readiness) -> None:
    """docs/reference/telemetry.md; a browser and another host are refused as everywhere here."""
    asked: list[str] = []

    async def scrape(accept: str) -> tuple[str, bytes]:
        asked.append(accept)
        return "application/json", b"[1]"

    app = admin.admin_app(readiness, lambda: True, (), scrape)
    running = await admin.serve_admin(app, [listener.tcp_socket("127.0.0.1", 0)])
    try:
        assert await ask(running, b"/metrics", b"Accept: text/x") == (200, [1])
        assert (await ask(running, b"/metrics", b"Origin: https://a.example"))[0] == 403
        assert (await ask(running, b"/metrics", host=b"evil.example"))[0] == 403
    finally:
        await running.close()
    assert asked == ["text/x"]


async def test_without_anybody_who_counts_there_are_no_metrics(running: admin.Admin) -> None:
    assert await ask(running, b"/metrics") == (404, {"error": "not found"})
