"""HTTP headers that may cross the gateway, and how MCP writes names into them.

Both directions are allow-lists: what is not named here stays behind. So the agent's
`Authorization`, `Proxy-Authorization`, `Cookie` and `X-Api-Key` never reach a tool, a tool's
`Set-Cookie`, CORS headers and session ids never reach the agent (the mapped `Mcp-Session-Id` is
added by the door), hop-by-hop headers end here, and `Accept-Encoding` does too: tools are asked for
identity, because bodies are bounded and read. `baggage` stays: it carries whatever an agent knows.
Pure: no clock, no network, no logging.
"""

import base64
import binascii
import re
from typing import Final

from mesh7_core.telemetry import context

HeaderList = list[tuple[bytes, bytes]]
"""Lower-case names, order and duplicates kept."""

CONTENT_TYPE: Final = b"content-type"
JSON: Final = (CONTENT_TYPE, b"application/json")
SESSION_ID: Final = b"mcp-session-id"
PROTOCOL_VERSION: Final = b"mcp-protocol-version"
METHOD: Final = b"mcp-method"
NAME: Final = b"mcp-name"
PARAM_PREFIX: Final = b"mcp-param-"

TRACEPARENT: Final = context.TRACEPARENT.encode()
TRACESTATE: Final = context.TRACESTATE.encode()
_TRACE = frozenset({TRACEPARENT, TRACESTATE, b"x-request-id"})

MCP_TO_TOOL: Final = _TRACE | {
    b"accept", b"accept-language", CONTENT_TYPE, b"last-event-id", METHOD, NAME,
    PROTOCOL_VERSION, b"user-agent",
}  # fmt: skip
"""What an MCP client's request takes along; `Mcp-Param-*` as well."""

MCP_TO_AGENT: Final = frozenset({
    b"allow", b"cache-control", CONTENT_TYPE, PROTOCOL_VERSION, b"retry-after", b"x-request-id",
})  # fmt: skip
"""What an MCP server's answer takes along."""

HTTP_TO_TOOL: Final = _TRACE | {
    # content and its negotiation
    b"accept", b"accept-charset", b"accept-language", b"content-disposition", b"content-language",
    b"content-md5", CONTENT_TYPE, b"digest", b"content-digest", b"prefer",
    # caching, ranges, preconditions
    b"cache-control", b"if-match", b"if-modified-since", b"if-none-match", b"if-range",
    b"if-unmodified-since", b"pragma", b"range",
    # retries that must not run twice, and what client libraries say about themselves
    b"idempotency-key", b"user-agent", b"x-idempotency-key", b"x-client-request-id",
    b"x-correlation-id",
    # model APIs: revisions, betas, organisation; keys are not among them
    b"anthropic-beta", b"anthropic-version", b"openai-beta", b"openai-organization",
    b"openai-project", b"x-goog-api-client", b"x-stainless-retry-count", b"x-stainless-timeout",
    # code hosts and other versioned APIs
    b"api-version", b"notion-version", b"stripe-version", b"x-api-version",
    b"x-github-api-version", b"x-github-next-global-id",
}  # fmt: skip
"""What a plain HTTP request takes along. Never `X-HTTP-Method-Override` and its like: they change
what was judged. Never `Forwarded`, `X-Forwarded-*`, `X-Real-IP`: tools trust them."""

_INCIDENTAL: Final = _TRACE | {
    b"idempotency-key", b"user-agent", b"x-idempotency-key", b"x-client-request-id",
    b"x-correlation-id", b"x-goog-api-client", b"x-stainless-retry-count", b"x-stainless-timeout",
}  # fmt: skip
"""Of these what differs between an attempt and its repeat, and changes nothing that is done."""

HTTP_TO_AGENT: Final = frozenset({
    b"accept-ranges", b"age", b"allow", b"cache-control", b"content-disposition",
    b"content-encoding", b"content-language", b"content-range", CONTENT_TYPE, b"date",
    b"deprecation", b"etag", b"expires", b"last-modified", b"link",
    b"location", b"preference-applied",
    b"ratelimit", b"ratelimit-policy", b"retry-after", b"sunset", b"vary", b"warning",
    b"request-id", b"traceresponse", b"x-request-id", b"openai-model", b"openai-processing-ms",
    b"openai-version",
})  # fmt: skip
"""What a plain HTTP answer takes along; also every `x-ratelimit-*` and `anthropic-ratelimit-*`."""

_RATE_PREFIXES = (b"x-ratelimit-", b"anthropic-ratelimit-")
_SENTINEL = re.compile(r"=\?base64\?(.*)\?=", re.DOTALL)
_SAFE_VALUE = re.compile(r"[\x20-\x7e]*")
_UNSAFE_BYTE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def mcp_request_headers(received: HeaderList) -> HeaderList:
    """Headers of an agent's MCP request that go to the tool; session and credentials excluded."""
    return [
        pair for pair in _end_to_end(received)
        if pair[0] in MCP_TO_TOOL or pair[0].startswith(PARAM_PREFIX)
    ]  # fmt: skip


def mcp_response_headers(received: HeaderList) -> HeaderList:
    """Headers of a tool's MCP answer that go to the agent."""
    return [pair for pair in _end_to_end(received) if pair[0] in MCP_TO_AGENT]


def http_request_headers(received: HeaderList) -> HeaderList:
    """Headers of an agent's plain HTTP request that go to the tool."""
    return [pair for pair in _end_to_end(received) if pair[0] in HTTP_TO_TOOL]


def bearing(received: HeaderList) -> tuple[tuple[str, str], ...]:
    """Those of `http_request_headers` that bear on what the request does, in one order."""
    return tuple(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in sorted(http_request_headers(received))
        if name not in _INCIDENTAL
    )


def http_response_headers(received: HeaderList) -> HeaderList:
    """Headers of a tool's plain HTTP answer that go to the agent."""
    return [
        pair for pair in _end_to_end(received)
        if pair[0] in HTTP_TO_AGENT or pair[0].startswith(_RATE_PREFIXES)
    ]  # fmt: skip


def trace_context(received: HeaderList) -> context.Context | None:
    """What a caller says of its trace; several lines of `tracestate` are one."""
    parents = [value for name, value in received if name == TRACEPARENT]
    if len(parents) != 1:
        return None
    states = b",".join(value for name, value in received if name == TRACESTATE)
    return context.read(parents[0].decode("latin-1"), states.decode("latin-1"))


def is_json(content_type: bytes | None) -> bool:
    """Whether a `Content-Type` says JSON; parameters do not matter, absence is no."""
    return content_type is not None and _media_type(content_type) == b"application/json"


def is_event_stream(content_type: bytes | None) -> bool:
    """Whether a `Content-Type` says server-sent events."""
    return content_type is not None and _media_type(content_type) == b"text/event-stream"


def encode_value(value: str) -> bytes:
    """`value` as an MCP header value: as it is, or base64 when a header would not carry it."""
    if (
        _SAFE_VALUE.fullmatch(value)
        and value == value.strip()
        and _SENTINEL.fullmatch(value) is None
    ):
        return value.encode("ascii")
    return b"=?base64?" + base64.b64encode(value.encode()) + b"?="


def decode_value(value: bytes) -> str | None:
    """What an MCP header value means; None when it is a base64 sentinel that is not canonical.

    Everything that is not exactly `=?base64?…?=` in lower case is literal (promise X3).
    """
    text = value.decode("latin-1")
    match = _SENTINEL.fullmatch(text)
    if match is None:
        return text
    try:
        decoded = base64.b64decode(match[1], validate=True)
        # `validate` lets stray trailing bits through; only what an encoder writes is accepted.
        is_canonical = base64.b64encode(decoded).decode() == match[1]
        return decoded.decode() if is_canonical else None
    except (binascii.Error, ValueError):
        return None


def _end_to_end(received: HeaderList) -> HeaderList:
    """Without headers that `Connection` declares hop-by-hop and values that could end a line."""
    hops: set[bytes] = set()
    for name, value in received:
        if name == b"connection":
            hops.update(token.strip().lower() for token in value.split(b","))
    return [
        pair for pair in received if pair[0] not in hops and _UNSAFE_BYTE.search(pair[1]) is None
    ]


def _media_type(content_type: bytes) -> bytes:
    return content_type.partition(b";")[0].strip().lower()
