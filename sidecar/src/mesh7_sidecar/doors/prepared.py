"""What the head of an MCP request says, worked out once for all requests with the same head.

Pure: no clock, no network, no logging.
"""

from typing import Final

from mesh7_core.policy.reasons import Reason
from mesh7_core.telemetry.context import Context
from mesh7_sidecar.net import headers as header_lines
from mesh7_sidecar.net.exchange import RequestHead
from mesh7_sidecar.wire import headers, jsonrpc, mcp, mirrored

MAXIMUM_SESSION_CHARACTERS: Final = 256
SESSION: Final = b"mcp-session-id"


class Prepared:
    """A head, understood.

    Attributes:
        source: the source's name; empty for the aggregate.
        routing: the MCP headers that the body must agree with.
        session: the legacy session id; empty when there is none.
        counted_session: what per-session limits count by: `session`, else `X-Session-Id`.
        caller: the trace context of the headers; None when there is none.
        block: the header lines that go on to the source, rendered.
        takes_events: the client reads `text/event-stream`.
        refusal: what the head alone is refused for, else None.
    """

    __slots__ = (
        "_passed", "block", "caller", "counted_session", "refusal", "routing", "session", "source",
        "takes_events",
    )  # fmt: skip

    def __init__(self, head: RequestHead, source: str) -> None:
        fields = dict(head.headers)
        passed = headers.mcp_request_headers(head.headers)
        session = fields.get(SESSION, b"")
        if session:
            passed.append((SESSION, session))
        self.source = source
        self.routing = mcp.read_routing(head.headers)
        self.session = session.decode("latin-1")
        self.counted_session = self.session or fields.get(b"x-session-id", b"").decode("latin-1")
        self._passed = passed
        self.block = header_lines.render(passed)
        self.takes_events = b"text/event-stream" in fields.get(b"accept", b"").lower()
        self.caller: Context | None = headers.trace_context(head.headers)
        self.refusal = _refusal(head, fields)

    def exact_block(self, wanted: tuple[mirrored.Declared, ...]) -> bytes:
        """`block` of a call that people said yes to: without what they were not shown."""
        if not self.routing.params:
            return self.block
        return header_lines.render(mirrored.without_undeclared(self._passed, wanted))


def _refusal(head: RequestHead, fields: dict[bytes, bytes]) -> jsonrpc.Malformed | None:
    if len(fields.get(SESSION, b"")) > MAXIMUM_SESSION_CHARACTERS:
        return _malformed(400, f"`Mcp-Session-Id` is longer than {MAXIMUM_SESSION_CHARACTERS}")
    if head.method != "POST":
        return None
    if not headers.is_json(fields.get(b"content-type")):
        return _malformed(415, "the body must be `Content-Type: application/json`")
    if fields.get(b"content-encoding", b"identity") != b"identity":
        # Inflating would let a few bytes become many, and two readers read two bodies (X10).
        return _malformed(415, "compressed request bodies are refused – send it plain")
    return None


def _malformed(status: int, message: str) -> jsonrpc.Malformed:
    return jsonrpc.Malformed(status, jsonrpc.INVALID_REQUEST, message, reason=Reason.MALFORMED)
