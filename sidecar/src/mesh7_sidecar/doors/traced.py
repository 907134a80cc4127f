"""What a call that is traced says of itself; calls that are not never come here."""

from urllib.parse import urlsplit

from mesh7_core.telemetry import record_spans
from mesh7_core.telemetry.context import Context
from mesh7_core.telemetry.passage import Sampled
from mesh7_sidecar.sources.registry import Served
from mesh7_sidecar.wire import mcp


def describe(sampled: Sampled, asked: mcp.Asked, served: Served | None, session: str = "") -> None:
    """Fill in what an MCP message says."""
    sampled.method = asked.message.method
    identifier = asked.message.id
    sampled.request_id = "" if identifier is None else str(identifier)
    sampled.protocol = asked.version
    sampled.session = session
    address(sampled, served)


def address(sampled: Sampled, served: Served | None) -> None:
    """Fill in where the source is; a child process is nowhere."""
    if served is None or not served.source.url:
        return
    parts = urlsplit(served.source.url)
    sampled.server_address = parts.hostname or ""
    sampled.server_port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)


def client(sampled: Sampled) -> Context:
    """The span of what goes upstream, made now."""
    span = sampled.client = record_spans.client_context(sampled)
    return span
