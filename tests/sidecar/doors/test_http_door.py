"""`/http/<source>/…`: a plain HTTP API behind policy, both bodies streamed."""

import asyncio
import hashlib
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.sidecar.doors import parts
from tests.sidecar.doors.scripted_source import Behaviour, Script, Talk, plainly, serving

POLICY = """\
apiVersion: mesh7.dev/v1alpha1
kind: AgentPolicy
metadata: {name: api}
spec:
  selector: {}
  defaultAction: Deny
  rules:
  - {name: no-secret, tools: ["api.*"], when: "http.path.startsWith('/secret')", action: Deny}
  - {name: all, tools: ["api.*"], when: "http.method != 'DELETE'", action: Allow}
"""
PLAIN: dict[str, str] = {}


def api(url: str, more: str = "") -> str:
    """The source."""
    return parts.source("api", url, more, kind="http")


@pytest.mark.promise("S2")
@pytest.mark.parametrize(
    ("target", "sent"),
    [
        ("/", "/"), ("/a/b", "/a/b"), ("/a?x=1&x=%2F..", "/a?x=1&x=%2F.."), ("/%61", "/%61"),
        ("/a/", "/a/"), ("/caf%C3%A9", "/caf%C3%A9"),
    ],
)  # fmt: skip
async def test_a_target_is_forwarded_as_it_was_sent(tmp_path: Path, target: str, sent: str) -> None:
    script = Script(everything=plainly)
    async with (
        serving(script) as source,
        parts.running(tmp_path, api(source.url), POLICY) as gateway,
    ):
        reply = await gateway.agent.send(f"/http/api{target}", headers=PLAIN, method="GET")

    assert (reply.status, reply.body) == (200, b"fine")
    assert [talk.request.raw_path for talk in script.seen] == [sent]


@pytest.mark.promise("X12")
@pytest.mark.parametrize(
    "target",
    ["/secret", "/%73ecret", "/sec%72et/x", "/secret?x", "/a//secret", "/a/../secret",
     "/a/%2e%2e/secret", "/%2fsecret", "/a%2f..%2fsecret", "/%2573ecret", "/a\\..\\secret", "",
     "/secret%00", "/;/../secret", "/a/..;/secret",
     "/secret;x", "/a;/secret"],
)  # fmt: skip
async def test_no_spelling_of_a_denied_path_reaches_the_source(tmp_path: Path, target: str) -> None:
    script = Script(everything=plainly)
    async with (
        serving(script) as source,
        parts.running(tmp_path, api(source.url), POLICY) as gateway,
    ):
        reply = await gateway.agent.send(f"/http/api{target}", headers=PLAIN, method="GET")

    assert reply.status in (400, 403, 404)
    assert script.seen == []


@pytest.mark.promise("S2")
@pytest.mark.promise("M3")
async def test_a_denied_request_is_a_403_problem_that_names_the_rule(tmp_path: Path) -> None:
    script = Script(everything=plainly)
    async with (
        serving(script) as source,
        parts.running(tmp_path, api(source.url), POLICY) as gateway,
    ):
        by_rule = await gateway.agent.send("/http/api/secret", headers=PLAIN, method="GET")
        by_default = await gateway.agent.send("/http/api/x", headers=PLAIN, method="DELETE")
        unknown = await gateway.agent.send("/http/none/x", headers=PLAIN, method="GET")
        override = {"x-http-method-override": "DELETE"}
        overridden = await gateway.agent.send("/http/api/x", b"", override, "POST")

    assert by_rule.headers["content-type"] == "application/problem+json"
    facts = {key: by_rule.json[key] for key in ("status", "decision", "rule", "reason")}
    assert facts == {
        "status": 403, "decision": "Deny", "rule": "default/api/no-secret",
        "reason": "denied-by-rule",
    }  # fmt: skip
    assert (by_default.status, by_default.json["rule"]) == (403, "default/api/default")
    assert (unknown.status, unknown.json["reason"]) == (404, "unknown-source")
    assert overridden.status == 200
    assert [talk.headers.get("x-http-method-override") for talk in script.seen] == [None]


@pytest.mark.promise("S6")
@pytest.mark.promise("X15")
async def test_the_agents_credentials_stay_behind_and_the_sources_are_added(
    tmp_path: Path,
) -> None:
    async def answer(_: Talk) -> web.StreamResponse:
        kept = {"x-ratelimit-left": "3", "etag": '"1"', "content-type": "text/csv"}
        dropped = {"set-cookie": "a=b", "access-control-allow-origin": "*", "server": "x",
                   "mcp-session-id": "s", "www-authenticate": "Basic"}  # fmt: skip
        return web.Response(body=b"a,b", headers=kept | dropped)

    script = Script(everything=answer)
    own = "auth: {key: bill, header: X-Api-Key}\nheaders: [{name: X-Team, value: t}]"
    sent = {
        "authorization": "Bearer agents-own", "proxy-authorization": "x", "cookie": "c=1",
        "x-api-key": "agents-key", "x-forwarded-for": "1.2.3.4", "forwarded": "for=1.2.3.4",
        "x-mesh7-agent": "root", "connection": "keep-alive, accept-language",
        "accept-language": "de", "accept": "text/csv", "if-match": '"1"',
    }  # fmt: skip
    async with (
        serving(script) as source,
        parts.running(
            tmp_path,
            api(source.url, own),
            POLICY,
            environment={"MESH7_CREDENTIAL_BILL": "the-real-one"},
        ) as gateway,
    ):
        reply = await gateway.agent.send("/http/api/x", headers=sent, method="GET")

    found = script.seen[0].headers
    assert found["x-api-key"] == "the-real-one"
    assert found["x-team"] == "t"
    assert (found["accept"], found["if-match"]) == ("text/csv", '"1"')
    assert found["host"] == f"127.0.0.1:{source.port}"
    dropped = {"authorization", "proxy-authorization", "cookie", "x-forwarded-for", "forwarded",
               "x-mesh7-agent", "accept-language"}  # fmt: skip
    assert not dropped & set(found)
    assert reply.body == b"a,b"
    assert {name.lower() for name in reply.headers} - {"date"} == {
        "x-ratelimit-left", "etag", "content-type", "content-length",
    }  # fmt: skip


@pytest.mark.promise("S6")
async def test_a_rotated_credential_is_used_without_a_restart(
    tmp_path: Path,
) -> None:
    script = Script(everything=plainly)
    secrets = tmp_path / "credentials"
    secrets.mkdir()
    (secrets / "bill").write_text("first\n")
    async with (
        serving(script) as source,
        parts.running(
            tmp_path, api(source.url, "auth: {key: bill}"), POLICY, credentials=secrets
        ) as gateway,
    ):
        await gateway.agent.send("/http/api/x", headers=PLAIN, method="GET")
        (secrets / "fresh").write_text("second\n")
        (secrets / "fresh").rename(secrets / "bill")
        async with asyncio.timeout(parts.PATIENCE_S):
            while script.seen[-1].headers["authorization"] == "Bearer first":
                await gateway.agent.send("/http/api/x", headers=PLAIN, method="GET")
        (secrets / "bill").unlink()
        async with asyncio.timeout(parts.PATIENCE_S):
            while (
                reply := await gateway.agent.send("/http/api/x", headers=PLAIN, method="GET")
            ).status == 200:
                pass

    assert {talk.headers["authorization"] for talk in script.seen} == {
        "Bearer first", "Bearer second",
    }  # fmt: skip
    assert reply.status == 503
    assert "credential `bill` is missing" in str(reply.json["detail"])


@pytest.mark.promise("S7")
async def test_a_redirect_is_an_answer_and_is_not_followed(tmp_path: Path) -> None:
    async def redirect(_: Talk) -> web.StreamResponse:
        return web.Response(status=307, headers={"location": "/secret"})

    script = Script(everything=redirect)
    async with (
        serving(script) as source,
        parts.running(tmp_path, api(source.url), POLICY) as gateway,
    ):
        reply = await gateway.agent.send("/http/api/x", b"{}", PLAIN)

    assert (reply.status, reply.headers["location"]) == (307, "/secret")
    assert len(script.seen) == 1


def _answering(status: int, body: bytes, kind: str) -> Behaviour:
    async def answer(_: Talk) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers={"content-type": kind})

    return answer


@pytest.mark.promise("S5")
@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b"\x00\xff\xfe", "application/octet-stream"), (404, b"<h1>no</h1>", "text/html"),
        (500, b"Traceback", "text/plain"), (418, b"", "text/plain"), (204, b"", "text/plain"),
        (401, b'{"a": 1.0}', "application/json"), (503, b"{", "application/json"),
    ],
)  # fmt: skip
async def test_a_backends_status_and_body_pass_as_they_are(
    tmp_path: Path, status: int, body: bytes, kind: str
) -> None:
    script = Script(everything=_answering(status, body, kind))
    async with (
        serving(script) as source,
        parts.running(tmp_path, api(source.url), POLICY) as gateway,
    ):
        reply = await gateway.agent.send("/http/api/x", headers=PLAIN, method="GET")

    assert (reply.status, reply.body) == (status, body)
    if status != 204:
        assert reply.headers["content-type"] == kind
        assert reply.headers["content-length"] == str(len(body))
    record = parts.audited(tmp_path)[0]
    assert (record["status"], record["outcome"]) == (
        status,
        "tool-error" if status >= 400 else "ok",
    )


@pytest.mark.promise("S5")
@pytest.mark.promise("X10")
async def test_an_encoded_answer_passes_encoded(tmp_path: Path) -> None:
    packed = zlib.compress(b"x" * 1000)

    async def answer(_: Talk) -> web.StreamResponse:
        return web.Response(body=packed, headers={"content-encoding": "deflate"})

    script = Script(everything=answer)
    async with (
        serving(script) as source,
        parts.running(tmp_path, api(source.url), POLICY) as gateway,
    ):
        reply = await gateway.agent.send("/http/api/x", headers=PLAIN, method="GET")
        compressed = {"content-encoding": "deflate"}
        refused = await gateway.agent.send("/http/api/x", packed, compressed)

    assert (reply.body, reply.headers["content-encoding"]) == (packed, "deflate")
    assert refused.status == 415
    assert len(script.seen) == 1


async def _hash(talk: Talk) -> web.StreamResponse:
    digest = hashlib.sha256()
    async for chunk in talk.request.content.iter_any():
        digest.update(chunk)
    framing = talk.headers.get("transfer-encoding", talk.headers.get("content-length"))
    return web.Response(text=f"{digest.hexdigest()} {framing}")


@pytest.mark.promise("S2")
@pytest.mark.parametrize("is_chunked", [True, False])
async def test_a_large_body_streams_to_the_source_in_the_framing_it_came(
    tmp_path: Path,
    is_chunked: bool,
) -> None:
    """8 MiB: more than any buffer on the way, and more than a buffered body may be."""
    piece = bytes(range(256)) * 1024

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(32):
            yield piece

    script = Script(everything=_hash)
    async with (
        serving(script) as source,
        parts.running(tmp_path, api(source.url), POLICY) as gateway,
    ):
        body = pieces() if is_chunked else piece * 32
        async with gateway.agent.open("/http/api/upload", body, PLAIN) as response:
            text = await response.text()

    framing = "chunked" if is_chunked else str(len(piece) * 32)
    assert text == f"{hashlib.sha256(piece * 32).hexdigest()} {framing}"


@pytest.mark.promise("S2")
async def test_both_bodies_stream_at_the_same_time(tmp_path: Path) -> None:
    async def echo(talk: Talk) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(talk.request)
        async for chunk in talk.request.content.iter_any():
            await response.write(chunk)
        return response

    turns: asyncio.Queue[bytes] = asyncio.Queue()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"first."
        yield await turns.get()

    script = Script(everything=echo)
    async with (
        serving(script) as source,
        parts.running(tmp_path, api(source.url), POLICY) as gateway,
        gateway.agent.open("/http/api/echo", pieces(), PLAIN) as response,
    ):
        first = await response.content.readexactly(6)
        await turns.put(b"second")
        rest = await response.read()

    assert (first, rest) == (b"first.", b"second")


@pytest.mark.promise("S2")
async def test_events_stream_as_they_come_and_leaving_ends_them_at_the_source(
    tmp_path: Path,
) -> None:
    async def events(talk: Talk) -> web.StreamResponse:
        response = await talk.stream()
        try:
            await response.write(b"data: 1\n\n")
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            talk.gone.set()
            raise
        return response

    script = Script(everything=events)
    async with (
        serving(script) as source,
        parts.running(tmp_path, api(source.url), POLICY) as gateway,
    ):
        async with gateway.agent.open("/http/api/events", b"{}", PLAIN) as response:
            assert response.headers["content-type"] == "text/event-stream"
            assert await response.content.readuntil(b"\n\n") == b"data: 1\n\n"
        async with asyncio.timeout(parts.PATIENCE_S):
            await script.seen[0].gone.wait()

    assert [record["outcome"] for record in parts.audited(tmp_path)] == ["gone"]


@pytest.mark.promise("S5")
async def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    async def broken(talk: Talk) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-length": "1000"})
        await response.prepare(talk.request)
        await response.write(b"half")
        assert talk.request.transport is not None
        talk.request.transport.close()
        return response

    script = Script(everything=broken)
    async with (
        serving(script) as source,
        parts.running(tmp_path, api(source.url), POLICY) as gateway,
        gateway.agent.open("/http/api/x", None, PLAIN, "GET") as response,
    ):
        assert await response.content.readexactly(4) == b"half"
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()

    assert [record["outcome"] for record in parts.audited(tmp_path)] == ["failed"]


@pytest.mark.promise("S9")
async def test_a_backend_that_is_down_is_a_502_and_a_slow_one_a_504_that_names_the_source(
    tmp_path: Path,
) -> None:
    async def silent(_: Talk) -> web.StreamResponse:
        await asyncio.Event().wait()
        return web.Response()

    script = Script(everything=silent)
    async with (
        serving(script) as source,
        parts.running(tmp_path, api(source.url, "bounds: {timeout: 1s}"), POLICY) as gateway,
    ):
        slow = await gateway.agent.send("/http/api/x", headers=PLAIN, method="GET")
        await source.stop()
        down = await gateway.agent.send("/http/api/x", b"body", PLAIN)

    assert (slow.status, down.status) == (504, 502)
    for reply in (slow, down):
        assert reply.json["reason"] == "source-unavailable"
        assert str(reply.json["detail"]).startswith("source `api` ")
        assert b"127.0.0.1" not in reply.body


@pytest.mark.promise("S5")
async def test_head_has_a_length_and_no_body(tmp_path: Path) -> None:
    script = Script(everything=plainly)
    async with (
        serving(script) as source,
        parts.running(tmp_path, api(source.url), POLICY) as gateway,
    ):
        reply = await gateway.agent.send("/http/api/x", headers=PLAIN, method="HEAD")
        after = await gateway.agent.send("/http/api/x", headers=PLAIN, method="GET")

    assert (reply.status, reply.body, reply.headers["content-length"]) == (200, b"", "4")
    assert after.body == b"fine"
