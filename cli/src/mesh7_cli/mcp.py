"""The few words of MCP that `mesh7 call` speaks: one tool call in both eras, and its answer.

Pure: no clock, no network, no logging. The official client is not used: it weighs 35 MB and
hides what came over the wire, which is what somebody who tries a call wants to see.
"""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
CLIENT = {"name": "mesh7-call", "version": "1"}
META = "io.modelcontextprotocol/"
IDENTIFIER = "mesh7-call-1"

CLIENT_ERRORS = range(400, 500)
# Errors by which a server of the handshake era refuses a request that came without a handshake;
# none of them is given after the tool has run.
BEFORE_HANDSHAKE = frozenset({-32600, -32601, -32602, -32022, -32000})


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One POST: headers and body."""

    headers: Mapping[str, str]
    body: bytes


def modern_call(tool: str, arguments: Mapping[str, object]) -> Question:
    """A stateless `tools/call` of revision 2026-07-28."""
    meta = {
        f"{META}protocolVersion": MODERN,
        f"{META}clientInfo": CLIENT,
        f"{META}clientCapabilities": {},
    }
    headers = {
        "mcp-protocol-version": MODERN,
        "mcp-method": "tools/call",
        "mcp-name": _header_value(tool),
    }
    return _question("tools/call", {"name": tool, "arguments": arguments, "_meta": meta}, headers)


def handshake() -> Question:
    """The `initialize` request of the older revisions."""
    params = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": CLIENT}
    return _question("initialize", params, {})


def handshake_done(session: Mapping[str, str]) -> Question:
    """The notification that ends the handshake; `session` are the headers of the session."""
    body = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    return Question(headers=_common() | dict(session), body=json.dumps(body).encode())


def legacy_call(tool: str, arguments: Mapping[str, object], session: Mapping[str, str]) -> Question:
    """A `tools/call` within a session."""
    return _question("tools/call", {"name": tool, "arguments": arguments}, session)


def answer(content_type: str, lines: Iterable[str]) -> dict[str, object] | None:
    """The response to our request out of a JSON body or an event stream; None = there is none.

    Args:
        content_type: of the HTTP answer.
        lines: of its body, without line ends; read only as far as needed.
    """
    if content_type.partition(";")[0].strip().lower() == "text/event-stream":
        texts = _events(lines)
    else:
        texts = iter(["\n".join(lines)])
    for message in map(_object, texts):
        if message is not None and "method" not in message:
            return message
    return None


def wants_handshake(status: int, message: Mapping[str, object] | None) -> bool:
    """Whether the answer to a modern request says that the server is of the handshake era."""
    if message is not None and "result" in message:
        return False
    error = message.get("error") if message is not None else None
    code = error.get("code") if isinstance(error, dict) else None
    return status in CLIENT_ERRORS or code in BEFORE_HANDSHAKE


def _question(method: str, params: object, headers: Mapping[str, str]) -> Question:
    body = {"jsonrpc": "2.0", "id": IDENTIFIER, "method": method, "params": params}
    return Question(
        headers=_common() | dict(headers), body=json.dumps(body, ensure_ascii=False).encode()
    )


def _common() -> dict[str, str]:
    return {"content-type": "application/json", "accept": "application/json, text/event-stream"}


def _header_value(text: str) -> str:
    """A name as a header carries it: as it is, or wrapped when it would not survive."""
    if text.isascii() and text.isprintable() and text == text.strip():
        return text
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


def _events(lines: Iterable[str]) -> Iterator[str]:
    data: list[str] = []
    for line in lines:
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            yield "\n".join(data)
            data = []
    if data:
        yield "\n".join(data)


def _object(text: str) -> dict[str, object] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
