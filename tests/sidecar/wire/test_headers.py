"""Headers cross by allow-list only; `Mcp-Param-*` says what the arguments say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.shared import inbound

from mesh7_sidecar.wire import headers, mirrored

SECRETS = [
    b"authorization", b"proxy-authorization", b"cookie", b"x-api-key", b"api-key",
    b"x-goog-api-key", b"mcp-session-id", b"baggage", b"host", b"origin", b"x-forwarded-for",
    b"x-http-method-override", b"accept-encoding", b"transfer-encoding", b"connection",
    b"content-length", b"upgrade", b"x-made-up",
]  # fmt: skip
TOOL_SECRETS = [
    b"set-cookie", b"access-control-allow-origin", b"mcp-session-id", b"www-authenticate",
    b"server", b"x-powered-by", b"transfer-encoding", b"connection", b"alt-svc",
    b"strict-transport-security", b"authorization",
]  # fmt: skip


@pytest.mark.promise("X15")
@pytest.mark.parametrize("name", SECRETS)
def test_an_agents_own_credentials_and_session_never_reach_a_tool(name: bytes) -> None:
    """X15, design 10."""
    kept = (b"content-type", b"application/json")
    for choose in (headers.mcp_request_headers, headers.http_request_headers):
        assert choose([(name, b"x"), kept]) == [kept]


@pytest.mark.promise("X15")
@pytest.mark.parametrize("name", TOOL_SECRETS)
def test_a_tools_cookies_and_session_never_reach_an_agent(name: bytes) -> None:
    """Design 10: the mapped `Mcp-Session-Id` is the door's to add."""
    kept = (b"content-type", b"application/json")
    for choose in (headers.mcp_response_headers, headers.http_response_headers):
        assert choose([(name, b"x"), kept]) == [kept]


@pytest.mark.promise("X9")
def test_what_connection_lists_ends_here_and_no_value_ends_a_line() -> None:
    """X9: hop-by-hop by declaration, and values with CR, LF or NUL."""
    received = [
        (b"connection", b"close, X-Request-Id"), (b"x-request-id", b"1"),
        (b"accept", b"a\r\nx: y"), (b"user-agent", b"a\0"), (b"content-type", b"a\tb"),
    ]  # fmt: skip
    assert headers.http_request_headers(received) == [(b"content-type", b"a\tb")]


def test_mirrored_arguments_and_model_api_headers_pass() -> None:
    """Wide enough to be useful."""
    mcp = [(b"mcp-param-region", b"eu"), (b"mcp-name", b"a"), (b"last-event-id", b"3")]
    assert headers.mcp_request_headers(mcp) == mcp
    http = [(b"anthropic-version", b"2023-06-01"), (b"if-none-match", b'"a"'), (b"range", b"0-1")]
    assert headers.http_request_headers(http) == http
    back = [(b"x-ratelimit-remaining-tokens", b"9"), (b"etag", b'"a"'), (b"location", b"/x")]
    assert headers.http_response_headers(back) == back


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
         "0af7651916cd43dd8448eb211c80319c"),
        (b"00-00000000000000000000000000000000-b7ad6b7169203331-01", ""),
        (b"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", ""),
        (b"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", ""),
        (b"x", ""),
    ],
)  # fmt: skip
def test_a_trace_id_is_taken_from_a_valid_traceparent_only(value: bytes, expected: str) -> None:
    """W3C Trace Context."""
    found = headers.trace_context([(b"traceparent", value)])
    assert (found.trace_id if found is not None else "") == expected


SCHEMAS = st.sampled_from([
    {"properties": {"r": {"type": "string", "x-mcp-header": "Region"}}},
    {"properties": {"r": {"type": "integer", "x-mcp-header": "Region"}}},
    {"properties": {"r": {"type": "boolean", "x-mcp-header": "region"}}},
    {"properties": {"r": {"type": "number", "x-mcp-header": "Region"}}},
    {"properties": {"r": {"type": ["string"], "x-mcp-header": "Region"}}},
    {"properties": {"r": {"type": "string", "x-mcp-header": "a b"}}},
    {"properties": {"r": {"type": "string", "x-mcp-header": 7}}},
    {"type": "string", "x-mcp-header": "Region"},
    {"allOf": [{"properties": {"r": {"type": "string", "x-mcp-header": "Region"}}}]},
    {"properties": {"o": {"properties": {"r": {"type": "string", "x-mcp-header": "Region"}}}}},
    {"properties": {"r": {"type": "string", "x-mcp-header": "Region"},
                    "s": {"type": "string", "x-mcp-header": "REGION"}}},
    {"properties": {"r": {"default": {"x-mcp-header": "Region"}}}},
    {}, None,
])  # fmt: skip
VALUES = st.sampled_from([
    "eu", "\u00e9", "42", 42, 42.0, 4.5, True, False, None, [1], -7, 2**70, "=?base64?x?=",
])  # fmt: skip
SENT = st.lists(
    st.sampled_from(["eu", "=?base64?w6k=?=", "42", "42.0", "42.5", "4.2e1", "true", "-7", "",
                     "1180591620717411303424", "=?base64?x?=", "=?base64?PT9iYXNlNjQ/eD89?="]),
    max_size=1,
)  # fmt: skip


@given(SCHEMAS, st.dictionaries(st.sampled_from(["r", "s", "o"]), VALUES), SENT)
@pytest.mark.promise("X1")
def test_mirrored_headers_are_judged_as_the_reference_does(
    schema: object, arguments: dict[str, object], sent: list[str]
) -> None:
    """Differential: `mcp.shared.inbound.validate_mcp_param_headers`."""
    if "o" in arguments:
        arguments["o"] = {"r": arguments["o"]}
    oracle = inbound.validate_mcp_param_headers(
        schema, arguments, dict.fromkeys(("Mcp-Param-Region",), sent[0]) if sent else {}
    )
    received = [(b"mcp-param-region", value.encode()) for value in sent]
    assert (mirrored.mismatch(mirrored.declared(schema), arguments, received) is None) == (
        oracle is None
    )


@pytest.mark.promise("X2")
def test_a_mirrored_header_that_comes_twice_is_refused() -> None:
    """X2."""
    schema = {"properties": {"r": {"type": "string", "x-mcp-header": "Region"}}}
    twice = [(b"mcp-param-region", b"eu"), (b"mcp-param-region", b"eu")]
    assert mirrored.mismatch(mirrored.declared(schema), {"r": "eu"}, twice) == (
        "the header `mcp-param-region` must not come twice"
    )
