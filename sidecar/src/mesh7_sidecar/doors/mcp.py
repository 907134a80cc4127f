"""The door `/mcp/<source>`: one MCP server, its own tool names, bytes passed through.

Both eras of Streamable HTTP. Everything is decided on the body; what may pass goes on as the bytes
it came as. `post` takes one message on its way in, `relay` its answer on the way out.
"""

from typing import Final

from mesh7_core.policy import calls
from mesh7_sidecar.doors import post, streams
from mesh7_sidecar.doors.inbound import Inbound
from mesh7_sidecar.doors.prepared import Prepared
from mesh7_sidecar.doors.sessions import unknown_session
from mesh7_sidecar.doors.state import McpState
from mesh7_sidecar.net.exchange import Exchange, RequestHead
from mesh7_sidecar.sources.registry import Served
from mesh7_sidecar.wire import answers, jsonrpc, paths

NO_POLICIES: Final = jsonrpc.Malformed(
    503, jsonrpc.INVALID_REQUEST, "the gateway has no policies yet – try again later"
)


class McpDoor:
    """Serves every `mcp` source under its own path."""

    def __init__(self, state: McpState) -> None:
        self._state = state

    def prepare(self, head: RequestHead, route: paths.McpRoute) -> Prepared:
        """What follows from the head alone."""
        return Prepared(head, route.source)

    def open(self, exchange: Exchange, prepared: Prepared) -> None:
        """Take one request."""
        if prepared.refusal is not None:
            answers.respond_malformed(exchange.respond, prepared.refusal)
            return
        served = self._state.registry.find(prepared.source, calls.SourceKind.MCP)
        if served is None:
            is_empty = self._state.gate.current.bundle is None
            refusal = NO_POLICIES if is_empty else _unknown_source(prepared.source)
            answers.respond_malformed(exchange.respond, refusal)
        elif exchange.method == "POST":
            inbound = Inbound(self._state, exchange, prepared, served)
            exchange.collect(jsonrpc.MAXIMUM_BYTES, lambda _, body: post.read(inbound, body))
        elif prepared.session and exchange.method in ("GET", "DELETE"):
            self._open_session(exchange, prepared, served)
        else:
            exchange.respond(405, [(b"allow", b"POST")], b"")

    def _open_session(self, exchange: Exchange, prepared: Prepared, served: Served) -> None:
        sessions = self._state.sessions
        session = sessions.find(
            exchange.identity, prepared.source, prepared.session, self._state.clock_s(), served
        )
        if session is None:
            answers.respond_malformed(exchange.respond, unknown_session(None))
        elif exchange.method == "GET":
            streams.open_stream(self._state, exchange, prepared, served, session)
        else:
            sessions.close(session)
            streams.pass_delete(exchange, prepared, served)


def _unknown_source(source: str) -> jsonrpc.Malformed:
    return jsonrpc.Malformed(
        404, jsonrpc.INVALID_REQUEST, f"there is no source `{source}` – see GET /v1/tools"
    )
