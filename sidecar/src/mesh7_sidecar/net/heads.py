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
_FINAL: Final = 200
_NOT_MODIFIED: Final = 304
_BODILESS: Final = frozenset({204, _NOT_MODIFIED})
_LENGTH_DIGITS: Final = 18


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

    __slots__ = ("_only", "_repeated", "headers", "keep_alive", "length")

    def __init__(self, headers: Headers) -> None:
        self.headers = headers
        self.keep_alive = False
        self.length = 0
        self._only = dict(headers)
        self._repeated: frozenset[bytes] = frozenset()
        if len(self._only) != len(headers):
            names = [name for name, _ in headers]
            self._repeated = frozenset(name for name in names if names.count(name) > 1)

    def header(self, name: bytes) -> bytes | None:
        """The value of the only copy of `name` (lower case), None when there is none.

        Raises:
            DuplicateHeader: there are two; taking either would be a guess (X2).
        """
        if name in self._repeated:
            raise DuplicateHeader(name)
        return self._only.get(name)

    def lone(self, name: bytes) -> bytes | None:
        """Like `header`, for those whose repetition spoils the whole head.

        Raises:
            BadHead: there are two.
        """
        if name in self._repeated:
            raise BadHead(400, f"`{name.decode()}` came more than once")
        return self._only.get(name)

    def settle(self, minor: int, otherwise: int) -> None:
        """Work out `keep_alive` and `length` (`otherwise` when nothing says) from the headers.

        Raises:
            BadHead: they contradict each other, or need what is not served.
        """
        self.keep_alive = self._keeps_alive(minor)
        length = self.lone(b"content-length")
        transfer = self.lone(b"transfer-encoding")
        if transfer is not None:
            # `gzip, chunked` would need a decoder; HTTP/1.0 proxies do not know chunks at all.
            if transfer.lower() != b"chunked" or minor == 0 or length is not None:
                message = "`transfer-encoding` can only be `chunked`, alone, in HTTP/1.1"
                raise BadHead(400, message)
            self.length = CHUNKED
        elif length is None:
            self.length = otherwise
        elif not length.isdigit() or len(length) > _LENGTH_DIGITS:
            raise BadHead(400, "`content-length` is not a number")
        else:
            self.length = int(length)

    def _keeps_alive(self, minor: int) -> bool:
        if b"connection" not in self._only:
            return minor == 1
        if self._only[b"connection"] == b"keep-alive" and not self._repeated:
            return True
        values = b",".join(value for name, value in self.headers if name == b"connection")
        tokens = {token.strip(b" \t") for token in values.lower().split(b",")}
        return b"close" not in tokens and (minor == 1 or b"keep-alive" in tokens)


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

    def __init__(self, method: str, target: str, minor: int, headers: Headers) -> None:
        super().__init__(headers)
        self.method = method
        self.target = target
        self.minor = minor
        self.expects_continue = False
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

    def __init__(self, status: int, headers: Headers) -> None:
        super().__init__(headers)
        self.status = status


class _Judge:
    """llhttp is asked whether the head is strict, not what is in it: it calls nothing back."""


def parse_request(raw: bytes) -> RequestHead:
    """Check one request head, `raw` ending with its empty line.

    Raises:
        BadHead: 400, or 417 for an expectation other than `100-continue`, or 431.
    """
    line = _REQUEST_LINE.match(raw)
    if line is None:
        raise BadHead(400, "the request line is not one of HTTP/1.1 in origin form")
    method, target, version = line.groups()
    minor = version[0] - 48
    _ask(httptools.HttpRequestParser(_JUDGE), raw)
    head = RequestHead(method.decode(), target.decode(), minor, _split(raw))
    head.settle(minor, otherwise=0)
    host = head.lone(b"host")
    if minor and host is None:
        raise BadHead(400, "a request needs exactly one `host` header")
    expectation = head.lone(b"expect")
    if expectation is not None:
        if expectation.lower() != b"100-continue":
            raise BadHead(417, "the only expectation served is `100-continue`")
        head.expects_continue = minor == 1
    return head


def parse_response(raw: bytes) -> ResponseHead:
    """Check one response head, `raw` ending with its empty line.

    Raises:
        BadHead: it is not a strict HTTP/1 head; the status in it means nothing.
    """
    line = _STATUS_LINE.match(raw)
    if line is None:
        raise BadHead(502, "the status line is not one of HTTP/1.1")
    version, status = line.groups()
    _ask(httptools.HttpResponseParser(_JUDGE), raw)
    head = ResponseHead(int(status), _split(raw))
    head.settle(version[0] - 48, otherwise=UNTIL_CLOSE)
    if head.status < _FINAL or head.status in _BODILESS:
        if head.length == CHUNKED or (head.length > 0 and head.status != _NOT_MODIFIED):
            raise BadHead(502, "the response announces a body that its status forbids")
        head.length = 0
    elif head.length == UNTIL_CLOSE:
        head.keep_alive = False
    return head


def _ask(judge: "httptools.HttpRequestParser | httptools.HttpResponseParser", raw: bytes) -> None:
    try:
        judge.feed_data(raw)
    except httptools.HttpParserUpgrade:
        # The head is whole; ignoring the wish to upgrade is what RFC 9110 7.8 lets a server do.
        pass
    except httptools.HttpParserError as error:
        text = str(error)
        message = f"the head is not strict HTTP/1.1: {text[:1].lower()}{text[1:]}"
        raise BadHead(400, message) from error


def _split(raw: bytes) -> Headers:
    """The headers of a head that llhttp has found strict: no folding, no bare line ends."""
    lines = raw.split(b"\r\n")[1:-2]
    if len(lines) > MAXIMUM_HEADERS:
        raise BadHead(431, f"more than {MAXIMUM_HEADERS} headers")
    parts = [line.partition(b":") for line in lines]
    return [(name.lower(), value.strip(b" \t")) for name, _, value in parts]


_JUDGE: Final = _Judge()
