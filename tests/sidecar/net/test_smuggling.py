"""Requests that two parsers could read differently never reach the app (X9, X12)."""

import pytest

from tests.sidecar.net.conftest import Connect, Listen
from tests.sidecar.net.parts import EchoApp, message, post

CHUNKED = b"Transfer-Encoding: chunked"
END = b"0\r\n\r\n"
LENGTH = b"Content-Length: 1"
POST = b"POST / HTTP/1.1"

REFUSED = {
    "length and chunks": message(POST, b"Content-Length: 5", CHUNKED, body=END),
    "chunks and length": message(POST, CHUNKED, b"Content-Length: 5", body=END),
    "two lengths": message(POST, b"Content-Length: 5", b"Content-Length: 6", body=b"hello"),
    "two equal lengths": message(POST, b"Content-Length: 5", b"Content-Length: 5", body=b"hello"),
    "list of lengths": message(POST, b"Content-Length: 5, 5", body=b"hello"),
    "plus length": message(POST, b"Content-Length: +5", body=b"hello"),
    "negative length": message(POST, b"Content-Length: -5", body=b"hello"),
    "hex length": message(POST, b"Content-Length: 0x5", body=b"hello"),
    "empty length": message(POST, b"Content-Length:"),
    "huge length": message(POST, b"Content-Length: 99999999999999999999", body=b"hello"),
    "folded header": message(POST, b"A: b\r\n c"),
    "folded first header": b"GET / HTTP/1.1\r\n Host: gateway\r\n\r\n",
    "folded chunks": message(POST, b"Transfer-Encoding:\r\n chunked", body=END),
    "bare line feeds": b"GET / HTTP/1.1\nHost: gateway\n\n\r\n\r\n",
    "bare line feed in head": b"GET / HTTP/1.1\r\nHost: gateway\nA: b\r\n\r\n",
    "bare carriage return": b"GET / HTTP/1.1\r\nHost: gateway\rA: b\r\n\r\n",
    "blank before colon": message(POST, b"Content-Length : 5", body=b"hello"),
    "tab before colon": message(POST, b"Content-Length\t: 5", body=b"hello"),
    "no colon": message(POST, b"Nonsense"),
    "empty name": message(POST, b": x"),
    "NUL in name": message(POST, b"A\0: x"),
    "NUL in value": message(POST, b"A: x\0y"),
    "control in value": message(POST, b"A: x\x01y"),
    "name beyond ASCII": message(POST, b"\xe9: x"),
    "lower-case method": message(b"post / HTTP/1.1"),
    "unknown method": message(b"FOO / HTTP/1.1"),
    "method TRACE": message(b"TRACE / HTTP/1.1"),
    "method PROPFIND": message(b"PROPFIND / HTTP/1.1"),
    "method CONNECT": message(b"CONNECT gateway:80 HTTP/1.1"),
    "absolute form": message(b"GET http://elsewhere/ HTTP/1.1"),
    "asterisk form": message(b"OPTIONS * HTTP/1.1"),
    "fragment": message(b"GET /a#b HTTP/1.1"),
    "NUL in target": message(b"GET /a\0b HTTP/1.1"),
    "byte beyond ASCII in target": message(b"GET /\xff HTTP/1.1"),
    "blank in target": message(b"GET /a b HTTP/1.1"),
    "two blanks before target": message(b"GET  / HTTP/1.1"),
    "two blanks after target": message(b"GET /  HTTP/1.1"),
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/0.9 spelled out": message(b"GET / HTTP/0.9"),
    "HTTP/1.2": message(b"GET / HTTP/1.2"),
    "HTTP/2.0": message(b"GET / HTTP/2.0"),
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "RTSP": message(b"GET / RTSP/1.0"),
    "ICE": message(b"SOURCE / ICE/1.0"),
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "gzip transfer": message(POST, b"Transfer-Encoding: gzip", body=END),
    "gzip and chunks": message(POST, b"Transfer-Encoding: gzip, chunked", body=END),
    "chunks and identity": message(POST, b"Transfer-Encoding: chunked, identity", body=END),
    "chunks twice": message(POST, CHUNKED, CHUNKED, body=END),
    "identity": message(POST, b"Transfer-Encoding: identity", body=END),
    "almost chunked": message(POST, b"Transfer-Encoding: xchunked", body=END),
    "chunked behind a vertical tab": message(POST, b"Transfer-Encoding: \x0bchunked", body=END),
    "empty transfer": message(POST, b"Transfer-Encoding:", body=END),
    "chunks in HTTP/1.0": message(b"POST / HTTP/1.0", CHUNKED, body=END),
    "chunks ended by line feeds": message(POST, CHUNKED, body=b"5\nhello\n0\n\n"),
    "blank behind chunk size": message(POST, CHUNKED, body=b"5 \r\nhello\r\n0\r\n\r\n"),
    "hex sign in chunk size": message(POST, CHUNKED, body=b"0x5\r\nhello\r\n0\r\n\r\n"),
    "negative chunk size": message(POST, CHUNKED, body=b"-1\r\nhello\r\n0\r\n\r\n"),
    "huge chunk size": message(POST, CHUNKED, body=b"FFFFFFFFFFFFFFFFFF\r\nhello\r\n"),
    "chunk longer than said": message(POST, CHUNKED, body=b"5\r\nhello0\r\n\r\n"),
    "length in a trailer": message(POST, CHUNKED, body=b"0\r\nContent-Length: 9\r\n\r\n"),
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": message(b"GET / HTTP/1.1", b"Host: elsewhere"),
    "unknown expectation": message(POST, b"Expect: tea"),
}


@pytest.mark.promise("X9")
@pytest.mark.parametrize("name", REFUSED)
async def test_an_ambiguous_request_is_refused_and_its_connection_closed(
    listen: Listen, connect: Connect, name: str
) -> None:
    """protocols.md 6 row 9: nothing of it, and nothing behind it, reaches the app."""
    app = EchoApp()
    client = await connect(await listen(app))

    await client.send(REFUSED[name] + post(b"smuggled", b"/smuggled"))
    answer = await client.rest()

    expected = b"HTTP/1.1 417 " if name == "unknown expectation" else b"HTTP/1.1 400 "
    assert answer.startswith(expected)
    assert answer.count(b"connection: close") == 1
    assert app.seen == []


@pytest.mark.promise("X9")
@pytest.mark.parametrize("name", REFUSED)
async def test_a_request_before_an_ambiguous_one_is_answered(
    listen: Listen, connect: Connect, name: str
) -> None:
    """What was well formed was answered; the rest of the connection is not trusted."""
    app = EchoApp()
    client = await connect(await listen(app))

    await client.send(post(b"first", b"/first") + REFUSED[name])
    answer = await client.rest()

    assert answer.count(b"HTTP/1.1 200 ") == 1
    assert app.seen == [("POST", "/first", b"first")]


@pytest.mark.promise("X9")
@pytest.mark.parametrize(
    ("payload", "body"),
    [
        (message(POST, CHUNKED, body=b"5;a=b\r\nhello\r\n0\r\nT: v\r\n\r\n"), b"hello"),
        (message(POST, b"Transfer-Encoding: CHUNKED", body=b"5\r\nhello\r\n0\r\n\r\n"), b"hello"),
        (message(POST, b"Content-Length: 005 ", body=b"hello"), b"hello"),
        (b"\r\n" + post(b"hello"), b"hello"),
        (message(POST, b"Connection: Upgrade", b"Upgrade: h2c", CHUNKED, body=END), b""),
        (message(POST, b"Connection: Upgrade", b"Upgrade: x", LENGTH, body=b"a"), b"a"),
        (message(POST, b"Content_Length: 9", b"Empty:", b"Content-Length: 0"), b""),
    ],
)  # fmt: skip
async def test_unusual_but_clear_requests_are_served(
    listen: Listen, connect: Connect, payload: bytes, body: bytes
) -> None:
    """Extensions and trailers are dropped, a wish to upgrade is ignored."""
    app = EchoApp()
    client = await connect(await listen(app))

    await client.send(payload)
    answer = await client.answer()

    assert answer == (200, b"POST / " + body)
    assert app.seen == [("POST", "/", body)]
