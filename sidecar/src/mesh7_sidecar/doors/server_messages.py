"""What a source sends besides answers: notifications, and requests to the agent.

Sampling spends the agent's model and is a way in for injected text, so it is refused unless the
ToolSource allows it; roots likewise; elicitation passes by default (design 4).
"""

from typing import Final

from mesh7_core.policy import bundle
from mesh7_sidecar.doors.prepared import Prepared
from mesh7_sidecar.doors.sessions import Session
from mesh7_sidecar.net import upstream
from mesh7_sidecar.net.exchange import Headers
from mesh7_sidecar.sources.registry import Served
from mesh7_sidecar.wire import headers, jsonrpc

TOOLS_CHANGED: Final = "notifications/tools/list_changed"
JSON_HEADERS: Final[Headers] = [
    headers.JSON,
    (b"accept", b"application/json, text/event-stream"),
]
REFUSED_CODE: Final = -32601


def may_pass(served: Served, session: Session | None, message: jsonrpc.Message) -> bool:
    """Whether the agent gets this; a request that passes is remembered, so its answer may."""
    if message.kind is jsonrpc.Kind.NOTIFICATION:
        if message.method == TOOLS_CHANGED:
            served.catalog.invalidate()
        return True
    if session is None or message.id is None or not is_allowed(served.source, message.method):
        return False
    session.ask(message.id)
    return True


def is_allowed(source: bundle.Source, method: str) -> bool:
    """Whether the ToolSource lets this kind of server request through; unknown kinds never."""
    wanted = source.server_requests
    allow = bundle.ServerRequest.ALLOW
    if method == "sampling/createMessage":
        return wanted.sampling is allow
    if method == "roots/list":
        return wanted.roots is allow
    if method == "elicitation/create":
        return wanted.elicitation is allow
    return method == "ping"


def refuse(served: Served, prepared: Prepared, message: jsonrpc.Message) -> None:
    """Tell the source that its request was refused, so that it does not wait.

    Args:
        prepared: of a request in the same session.
    """
    body = b'{"jsonrpc":"2.0","id":%b,"error":{"code":%d,"message":"refused by policy"}}' % (
        jsonrpc.encode_id(message.id), REFUSED_CODE,
    )  # fmt: skip
    fields = served.fixed + JSON_HEADERS
    if prepared.session:
        fields.append((headers.SESSION_ID, prepared.session.encode("latin-1")))
    if prepared.routing.version is not None:
        fields.append((headers.PROTOCOL_VERSION, prepared.routing.version.encode("latin-1")))
    request = upstream.Request("POST", served.base, fields, body)
    served.way.send(request, _NOBODY)


class _Nobody:
    """Wants no answer."""

    def head(self, status: int, fields: Headers) -> None: ...

    def data(self, chunk: bytes) -> None: ...

    def end(self) -> None: ...

    def fail(self, failure: upstream.Failure) -> None: ...


_NOBODY: Final = _Nobody()
