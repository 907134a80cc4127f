"""Header lines: which of them end at this hop, and how they are written.

Pure: no clock, no network, no logging.
"""

from typing import Final

from mesh7_sidecar.net.heads import Headers

HOP_BY_HOP: Final = frozenset(
    {
        b"connection", b"expect", b"http2-settings", b"keep-alive", b"proxy-authenticate",
        b"proxy-authorization", b"proxy-connection", b"te", b"trailer", b"transfer-encoding",
        b"upgrade",
    }
)  # fmt: skip
"""Lower case. They speak about one connection and are never relayed (X9)."""

_FORBIDDEN: Final = (b"\r", b"\n", b"\0")


def end_to_end(headers: Headers) -> Headers:
    """`headers` without those that end here: HOP_BY_HOP and whatever `connection` lists."""
    listed = _listed(headers)
    dropped = HOP_BY_HOP | listed if listed else HOP_BY_HOP
    return [header for header in headers if header[0] not in dropped]


def render(headers: Headers) -> bytes:
    """The header lines, each ending in CRLF, without the empty line.

    Raises:
        ValueError: a name or value holds CR, LF or NUL and would start a line of its own (X9).
    """
    block = b"".join([b"%b: %b\r\n" % header for header in headers])
    lines = len(headers)
    if block.count(b"\n") != lines or block.count(b"\r") != lines or b"\0" in block:
        guilty = next(n for n, v in headers if any(sign in n + v for sign in _FORBIDDEN))
        name = guilty.decode("latin-1").encode("unicode_escape").decode()
        raise ValueError(f"header `{name}` holds a line break, remove it")
    return block


def _listed(headers: Headers) -> frozenset[bytes]:
    values = [value for name, value in headers if name == b"connection"]
    if not values:
        return frozenset()
    tokens = b",".join(values).lower().split(b",")
    return frozenset(token.strip(b" \t") for token in tokens)
