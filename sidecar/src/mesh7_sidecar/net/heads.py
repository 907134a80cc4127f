"""The head of an HTTP/1.1 message: raw bytes → a checked value, or the reason why not.

Pure: no clock, no network, no logging. llhttp in its strict mode judges the bytes; this module
adds what llhttp lets through (tests/sidecar/net/test_smuggling.py lists both kinds). A head is
given as the bytes up to and with the empty line, so nobody can disagree on where it ends.
"""

import re
from typing import Final

import httptools

from mesh7_core import errors

Headers = list[tuple[bytes, bytes]]
"""Lower-case names; order and duplicates kept; values without blanks around them."""

CHUNKED: Final = -1
"""A body length that chunks tell."""
UNTIL_CLOSE: Final = -2
"""A response body that ends with the connection."""
MAXIMUM_HEADERS: Final = 200
"""More header lines than this are refused: each costs far more memory than its bytes."""

# One blank, origin form, visible ASCII without `#`, HTTP/1 only: llhttp also takes several
# blanks, absolute form, fragments, HTTP/0.9 and 2.0, RTSP, ICE and thirty more methods.
_REQUEST_LINE: Final = re.compile(
    rb"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (/[!\"$-~]*) HTTP/1\.([01])\r\n"
)
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: [^\r\n\0]*)?\r\n")
_BODILESS: Final = frozenset({204, 304})


class BadHead(Exception):  # noqa: N818 - it never leaves this room
    """The head cannot be accepted.

    Attributes:
        status: what a client is answered with.
        message: one line for people; never quotes the head.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class DuplicateHeader(errors.Mesh7Error):
    """A header that must be unique came twice; whoever asked answers 400.

    Attributes:
        name: the header, lower case.
    """

    def __init__(self, name: bytes) -> None:
        text = name.decode("latin-1")
        super().__init__(f"header `{text}` came more than once, send it once")
        self.name = name


class _Head:
    """What both kinds of head have."""

    __slots__ = ("_first", "_repeated", "headers", "keep_alive", "length")

    def __init__(self, headers: Headers, keep_alive: bool, length: int) -> None:  # noqa: FBT001
        self.headers = headers
        self.keep_alive = keep_alive
        self.length = length
        self._first = dict(headers)
        self._repeated: frozenset[bytes] = frozenset()
        if len(self._first) != len(headers):
            names = [name for name, _ in headers]
            self._repeated = frozenset(name for name in names if names.count(name) > 1)

    def header(self, name: bytes) -> bytes | None:
        """The value of the only copy of `name` (lower case), None when there is none.

        Raises:
            DuplicateHeader: there are two; taking either would be a guess (X2).
        """
        if name in self._repeated:
            raise DuplicateHeader(name)
        return self._first.get(name)


class RequestHead(_Head):
    """One request head. Shared by all requests of the listener with these very bytes: read only.

    Attributes:
        method: GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS.
        target: origin form, starts with `/`, visible ASCII.
        minor: 0 or 1, of the HTTP version.
        headers: see `Headers`.
        keep_alive: what the client asked for.
        length: bytes of the body, or CHUNKED.
        expects_continue: the client waits for `100 Continue` before it sends the body.
        memo: for whoever reads heads to remember what it worked out from these bytes; None at
            first. It lives as long as the listener remembers the head.
    """

    __slots__ = ("expects_continue", "memo", "method", "minor", "target")

    def __init__(  # noqa: PLR0913 - one field each
        self,
        method: str,
        target: str,
        minor: int,
        headers: Headers,
        keep_alive: bool,  # noqa: FBT001
        length: int,
        expects_continue: bool,  # noqa: FBT001
    ) -> None:
        super().__init__(headers, keep_alive, length)
        self.method = method
        self.target = target
        self.minor = minor
        self.expects_continue = expects_continue
        self.memo: object = None


class ResponseHead(_Head):
    """One response head. Shared by all responses of the pool with these very bytes: read only.

    Attributes:
        status: 100 to 999.
        keep_alive: the connection may carry another request afterwards.
        length: bytes of the body, CHUNKED or UNTIL_CLOSE; 0 for 204 and 304. The answer to
            HEAD has none whatever this says.
    """

    __slots__ = ("status",)

    def __init__(self, status: int, headers: Headers, keep_alive: bool, length: int) -> None:  # noqa: FBT001
        super().__init__(headers, keep_alive, length)
        self.status = status


class _Lines:
    """What llhttp calls back with."""

    __slots__ = ("headers",)

    def __init__(self) -> None:
        self.headers: Headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        # llhttp leaves blanks behind a Content-Length.
        self.headers.append((name.lower(), value.strip(b" \t")))


def parse_request(raw: bytes) -> RequestHead:
    """Check one request head, `raw` ending with its empty line.

    Raises:
        BadHead: 400, or 417 for an expectation other than `100-continue`, or 431.
    """
    line = _REQUEST_LINE.match(raw)
    if line is None:
        raise BadHead(400, "the request line is not one of HTTP/1.1 in origin form")
    lines = _Lines()
    headers = _read(httptools.HttpRequestParser(lines), lines, raw)
    method, target, version = line.groups()
    minor = version[0] - 48
    found = _facts(headers)
    if found.hosts > 1 or (minor and not found.hosts):
        raise BadHead(400, "a request needs exactly one `host` header")
    return RequestHead(
        method=method.decode(),
        target=target.decode(),
        minor=minor,
        headers=headers,
        keep_alive=found.keeps_alive(minor),
        length=_length(found, minor, otherwise=0),
        expects_continue=_expects_continue(found, minor),
    )


def parse_response(raw: bytes) -> ResponseHead:
    """Check one response head, `raw` ending with its empty line.

    Raises:
        BadHead: it is not a strict HTTP/1 head; the status in it means nothing.
    """
    line = _STATUS_LINE.match(raw)
    if line is None:
        raise BadHead(502, "the status line is not one of HTTP/1.1")
    lines = _Lines()
    headers = _read(httptools.HttpResponseParser(lines), lines, raw)
    minor = line.group(1)[0] - 48
    status = int(line.group(2))
    found = _facts(headers)
    length = _length(found, minor, otherwise=UNTIL_CLOSE)
    if status < 200 or status in _BODILESS:  # noqa: PLR2004
        if length == CHUNKED or (length > 0 and status != 304):  # noqa: PLR2004
            raise BadHead(502, "the response announces a body that its status forbids")
        length = 0
    keep_alive = found.keeps_alive(minor) and length != UNTIL_CLOSE
    return ResponseHead(status, headers, keep_alive, length)


class _Facts:
    """What the headers say about framing."""

    __slots__ = ("connection", "expect", "hosts", "length", "transfer")

    def __init__(self) -> None:
        self.hosts = 0
        self.length: bytes | None = None
        self.transfer: bytes | None = None
        self.connection = b""
        self.expect: bytes | None = None

    def keeps_alive(self, minor: int) -> bool:
        if not self.connection:
            return minor == 1
        tokens = {token.strip(b" \t") for token in self.connection.lower().split(b",")}
        return b"close" not in tokens and (minor == 1 or b"keep-alive" in tokens)


def _read(
    parser: "httptools.HttpRequestParser | httptools.HttpResponseParser", lines: _Lines, raw: bytes
) -> Headers:
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        # The head is whole; ignoring the wish to upgrade is what RFC 9110 7.8 lets a server do.
        pass
    except httptools.HttpParserError as error:
        raise BadHead(400, f"the head is not strict HTTP/1.1: {_sentence(error)}") from error
    if len(lines.headers) > MAXIMUM_HEADERS:
        raise BadHead(431, f"more than {MAXIMUM_HEADERS} headers")
    return lines.headers


def _sentence(error: httptools.HttpParserError) -> str:
    text = str(error)
    return text[:1].lower() + text[1:]


def _facts(headers: Headers) -> _Facts:
    found = _Facts()
    for name, value in headers:
        if name == b"host":
            found.hosts += 1
        elif name == b"content-length":
            found.length = value  # llhttp refuses a second one
        elif name == b"transfer-encoding":
            if found.transfer is not None:
                raise BadHead(400, "`transfer-encoding` came more than once")
            found.transfer = value
        elif name == b"connection":
            found.connection = b",".join((found.connection, value))
        elif name == b"expect":
            found.expect = value
    return found


def _length(found: _Facts, minor: int, otherwise: int) -> int:
    if found.transfer is not None:
        # `gzip, chunked` would need a decoder; HTTP/1.0 proxies do not know chunks at all.
        if found.transfer.lower() != b"chunked" or minor == 0 or found.length is not None:
            raise BadHead(400, "`transfer-encoding` can only be `chunked`, alone, in HTTP/1.1")
        return CHUNKED
    if found.length is None:
        return otherwise
    if not found.length.isdigit() or len(found.length) > 18:  # noqa: PLR2004
        raise BadHead(400, "`content-length` is not a number")
    return int(found.length)


def _expects_continue(found: _Facts, minor: int) -> bool:
    if found.expect is None:
        return False
    if found.expect.lower() != b"100-continue":
        raise BadHead(417, "the only expectation served is `100-continue`")
    return minor == 1
