"""Whatever bytes come in whatever pieces: no crash, no hang, and no other request than llhttp's."""

import asyncio
import contextlib
import itertools
import socket

import httptools
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh7_sidecar.net.connection import Connection
from mesh7_sidecar.net.identity import always
from mesh7_sidecar.net.limits import Limits
from mesh7_sidecar.net.listener import Listener
from mesh7_sidecar.net.sweep import Sweep
from tests.sidecar.net.parts import AGENT, EchoApp, message, post

Seen = list[tuple[str, str, bytes]]

CHUNKED = message(b"POST /c HTTP/1.1", b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n")
FRAGMENTS = [
    post(b"hello"), post(b""), message(b"GET /g HTTP/1.1"), CHUNKED, b"\r\n", b"\n", b"\r", b" ",
    b"GET ", b"/x ", b"HTTP/1.1\r\n", b"HTTP/1.0\r\n", b"Host: x\r\n", b"\r\n\r\n", b"0\r\n\r\n",
    b"Content-Length: 5\r\n", b"content-length: 2\r\n", b"Transfer-Encoding: chunked\r\n", b"A:",
    b"Connection: close\r\n", b"5\r\nhello\r\n", b";x=y\r\n", b"\0", b"\xff",
    b"POST / HTTP/1.1\r\n",
]  # fmt: skip
STREAMS = st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=8), max_size=8).map(b"".join)


class Oracle:
    """What a single llhttp parser makes of the whole stream."""

    def __init__(self, stream: bytes) -> None:
        self.seen: Seen = []
        self._parser = httptools.HttpRequestParser(self)
        with contextlib.suppress(httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._parser.feed_data(stream)

    def on_message_begin(self) -> None:
        self._target = b""
        self._body = b""

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode()
        self.seen.append((method, self._target.decode("latin-1"), self._body))


async def served(pieces: list[bytes], times: int = 1) -> list[Seen]:
    """What the app sees of `pieces`, on `times` connections of one listener in turn."""
    app = EchoApp()
    sweep = Sweep()
    listener = Listener(app, always(AGENT), Limits(), sweep)
    result: list[Seen] = []
    for _ in range(times):
        ours, theirs = socket.socketpair()
        loop = asyncio.get_running_loop()
        transport, connection = await loop.connect_accepted_socket(
            lambda: Connection(listener), ours
        )
        for piece in pieces:
            connection.data_received(piece)
        for _ in range(3):
            await asyncio.sleep(0)
        transport.abort()
        theirs.close()
        result.append(list(app.seen))
        app.seen.clear()
    assert await listener.close_gracefully(1) == 0
    assert listener.held == 0
    return result


def is_beginning(short: Seen, long: Seen) -> bool:
    return short == long[: len(short)]


@settings(deadline=None, max_examples=150)
@given(STREAMS, st.lists(st.integers(0, 400), max_size=6))
def test_the_app_sees_nothing_but_what_llhttp_saw(stream: bytes, cuts: list[int]) -> None:
    """X9: the listener's own framing never finds a request that the parser would not."""
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[start:end] for start, end in itertools.pairwise(edges)]
    oracle = Oracle(stream).seen

    in_pieces = asyncio.run(served([piece for piece in pieces if piece]))[0]
    at_once = asyncio.run(served([stream] if stream else []))[0]

    assert is_beginning(in_pieces, oracle)
    assert is_beginning(at_once, oracle)


@settings(deadline=None, max_examples=100)
@given(st.lists(STREAMS, min_size=1, max_size=3))
def test_a_head_known_by_its_bytes_means_what_it_meant_when_it_was_parsed(
    pieces: list[bytes],
) -> None:
    """The second time the parser is not asked any more; the app must see the same."""
    first, second, third = asyncio.run(served([piece for piece in pieces if piece], times=3))

    assert first == second == third
