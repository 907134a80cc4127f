"""What keeps browsers, other users and confusing requests out, before any URL means anything."""

import asyncio
from pathlib import Path

import pytest

from mesh7_core import errors
from mesh7_sidecar.settings import Address
from tests.sidecar.doors import parts
from tests.sidecar.doors.scripted_source import Script, serving, tool

TOKEN = "0123456789abcdef" * 2


async def raw(gateway: parts.Running, *lines: str, host: str | None = None) -> int:
    """The status of a `GET /v1/tools` with exactly these header lines."""
    place = gateway.agent.url.removeprefix("http://")
    reader, writer = await asyncio.open_connection(*place.rsplit(":", 1))
    head = ["GET /v1/tools HTTP/1.1", f"Host: {place if host is None else host}", *lines]
    writer.write("\r\n".join([*head, "Connection: close", "", ""]).encode())
    async with asyncio.timeout(parts.PATIENCE_S):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return int(answer.split(b" ")[1])


@pytest.mark.promise("X13")
@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200), ("127.0.0.1:7007", 200), ("localhost", 200), ("LOCALHOST:1", 200),
        ("[::1]:7007", 200), ("evil.example", 403), ("127.0.0.1.evil.example", 403),
        ("localhost.", 403), ("127.0.0.2", 403), ("0.0.0.0:80", 403), ("127.1", 403),
        ("127.0.0.1:x", 403), ("user@127.0.0.1", 403), ("", 403), ("[::1", 403),
    ],
)  # fmt: skip
async def test_only_this_machines_names_pass_as_host(
    tmp_path: Path, host: str, status: int
) -> None:
    async with parts.running(tmp_path, parts.OPEN_POLICY) as gateway:
        found = await raw(gateway, host=host)

    assert found == status


@pytest.mark.promise("X13")
@pytest.mark.parametrize(
    "line",
    [
        "Origin: http://evil.example", "Origin: null", "Origin: http://127.0.0.1.evil.example",
        "Origin: file://", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: none",
        "Sec-Fetch-Dest: iframe",
    ],
)  # fmt: skip
async def test_a_page_in_a_browser_gets_nowhere(tmp_path: Path, line: str) -> None:
    script = Script(tools=[tool("t")])
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        assert await raw(gateway, line) == 403
        name, _, value = line.partition(": ")
        found = [
            (await gateway.agent.send(path, {}, parts.BOTH | {name: value})).status
            for path in ("/mcp", "/mcp/s", "/v1/tools/s.t", "/v1/decide", "/http/x/y")
        ]

    assert found == [403] * 5
    assert script.asked("tools/call") == []


@pytest.mark.promise("X13")
async def test_an_origin_that_the_settings_allow_may_call(tmp_path: Path) -> None:
    allowed = "http://localhost:6274"
    async with parts.running(tmp_path, parts.OPEN_POLICY, allowed_origins=(allowed,)) as gateway:
        ours = await raw(gateway, f"Origin: {allowed}", "Sec-Fetch-Site: same-site")
        other = await raw(gateway, f"Origin: {allowed}.evil.example")

    assert (ours, other) == (200, 403)


@pytest.mark.promise("X2")
@pytest.mark.parametrize(
    "name",
    ["Host", "Authorization", "Content-Type", "Content-Encoding", "Origin",
     "MCP-Protocol-Version", "Mcp-Method", "Mcp-Name", "Mcp-Session-Id", "Last-Event-Id",
     "X-Session-Id", "X-Mesh7-Agent", "Mcp-Param-Region"],
)  # fmt: skip
async def test_a_header_that_may_stand_once_and_stands_twice_is_refused(
    tmp_path: Path, name: str
) -> None:
    async with parts.running(tmp_path, parts.OPEN_POLICY) as gateway:
        value = "127.0.0.1" if name == "Host" else "a"
        first = [] if name == "Host" else [f"{name}: {value}"]
        assert await raw(gateway, *first, f"{name.lower()}: {value}") == 400


@pytest.mark.promise("X13")
@pytest.mark.promise("S6")
async def test_with_a_token_file_nothing_opens_without_it_and_it_goes_no_further(
    tmp_path: Path,
) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    script = Script(tools=[tool("t")])
    async with (
        serving(script) as source,
        parts.running(
            tmp_path, parts.source("s", source.url), parts.source("api", source.url, kind="http"),
            parts.OPEN_POLICY, token_file=file,
        ) as gateway,
    ):  # fmt: skip
        without = [
            (await gateway.agent.send(path, {}, parts.BOTH)).status
            for path in ("/mcp", "/mcp/s", "/v1/tools/s.t", "/v1/decide", "/http/api/x", "/none")
        ]
        wrong = [
            await raw(gateway, f"Authorization: {value}")
            for value in ("Bearer", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer " * 2)
        ]
        held = {"authorization": f"bearer {TOKEN}"}
        body, fields = parts.modern_request("tools/call", {"name": "t", "arguments": {}})
        called = await gateway.agent.send("/mcp/s", body, fields | held)
        plain = await gateway.agent.send("/http/api/x", headers=held, method="GET")
        over_unix = await gateway.joined("me").send("/v1/tools", method="GET")

    assert without == [401] * 6
    assert wrong == [401] * 5
    assert called.text == "t"
    assert plain.status != 401
    assert over_unix.status == 200
    assert not [talk for talk in script.seen if "authorization" in talk.headers]


@pytest.mark.promise("X13")
@pytest.mark.promise("C4")
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])  # noqa: S104 - refused
async def test_beyond_loopback_the_gateway_does_not_start_without_a_token(
    tmp_path: Path, host: str
) -> None:
    with pytest.raises(errors.SettingsError, match="--token-file"):
        async with parts.running(tmp_path, parts.OPEN_POLICY, listen=Address(host, 0)):
            pytest.fail("it listens")


@pytest.mark.promise("C4")
@pytest.mark.parametrize("content", ["", "short", "two words that are long enough", "ü" * 20])
async def test_a_token_file_without_a_token_is_an_error(tmp_path: Path, content: str) -> None:
    file = tmp_path / "token"
    file.write_text(content)
    with pytest.raises(errors.SettingsError, match="must hold one token"):
        async with parts.running(tmp_path, parts.OPEN_POLICY, token_file=file):
            pytest.fail("it listens")


@pytest.mark.promise("X12")
@pytest.mark.parametrize(
    "path",
    ["/", "/mcp/", "/mcp/s/", "//mcp", "/MCP", "/mcp?x", "/mcp/s?x=1", "/m%63p", "/mcp/%73",
     "/mcp/S", "/mcp/../mcp", "/./mcp", "/v1/tools/", "/v1/tools/s", "/v1/tools/s.t/",
     "/v1/decide/", "/v1/tools/%73.t", "/v1/tools/s.%74", "/v1", "/http", "/http/s",
     "/control/status", "/control/join", "/metrics", "/healthz"],
)  # fmt: skip
async def test_every_other_spelling_of_a_path_is_not_found(tmp_path: Path, path: str) -> None:
    script = Script(tools=[tool("t")])
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), parts.OPEN_POLICY) as gateway,
    ):
        body, fields = parts.modern_request("tools/call", {"name": "t", "arguments": {}})
        statuses = [
            (await gateway.agent.send(path, body, fields)).status,
            (await gateway.agent.send(path, method="GET")).status,
        ]

    assert statuses == [404, 404]
    assert script.asked("tools/call") == []


@pytest.mark.promise("X16")
async def test_over_tcp_nobody_says_who_they_are(tmp_path: Path) -> None:
    """D8: the listener knows, and a header that claims otherwise is not read."""
    policy = parts.OPEN_POLICY.replace("selector: {}", "selector: {}\n  serviceAccounts: [chosen]")
    script = Script(tools=[tool("t")])
    async with (
        serving(script) as source,
        parts.running(tmp_path, parts.source("s", source.url), policy) as gateway,
    ):
        claimed = parts.BOTH | {"x-mesh7-agent": "chosen"}
        tcp = await gateway.agent.send("/v1/decide", {"tool": "s.t"}, claimed)
        unix = await gateway.joined("chosen").send("/v1/decide", {"tool": "s.t"})

    assert (tcp.json["decision"], tcp.json["reason"]) == ("Deny", "no-policy")
    assert unix.json["decision"] == "Allow"
