"""The one call that everybody is asked: bytes for probes, Lua for wrk.

A modern `tools/call` of about 350 bytes whose amount differs from call to call, so that nothing
can be answered from a cache; made-up calls differ in the tool's name instead.
"""

import json
import socket
from enum import StrEnum

TOOL = "create_refund"
CALL_ID = 1
MARKER = "refund created"
"""In the upstream's answer, so that a probe knows who answered."""
_PLACE = "@@@"
_TIMEOUT_S = 5.0
_ACCEPT = "application/json, text/event-stream"


class Names(StrEnum):
    """What differs from call to call."""

    KNOWN = "known"
    MADE_UP = "made-up"


def _body(tool: str, amount: str) -> str:
    params = {
        "name": tool,
        "arguments": {
            "amount": 100,
            "currency": "EUR",
            "customer": "cus_8f3k2m",
            "reason": "damaged on arrival",
        },
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    }
    message = {"jsonrpc": "2.0", "id": CALL_ID, "method": "tools/call", "params": params}
    return json.dumps(message, separators=(",", ":")).replace('"amount":100', f'"amount":{amount}')


def _request(path: str, tool: str, body: str, length: int) -> str:
    head = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Accept: {_ACCEPT}",
        "Content-Type: application/json",
        "MCP-Protocol-Version: 2026-07-28",
        "Mcp-Method: tools/call",
        f"Mcp-Name: {tool}",
        f"Content-Length: {length}",
    ]
    return "\r\n".join([*head, "", body])


def template(path: str, names: Names) -> tuple[str, int]:
    """A request with a place `@@@` for a number of the answered width, zeros in front."""
    if names is Names.KNOWN:
        width, tool, amount = 3, TOOL, _PLACE
    else:
        width, tool, amount = 8, f"made_up_{_PLACE}", "100"
    body = _body(tool, amount)
    length = len(body) + body.count(_PLACE) * (width - len(_PLACE))
    return _request(path, tool, body, length), width


def request(path: str, names: Names, number: int) -> bytes:
    """One whole request; `number` is the amount, or part of the made-up name."""
    text, width = template(path, names)
    return text.replace(_PLACE, f"{number:0{width}d}").encode()


def lua(path: str, names: Names) -> str:
    """A script for wrk: the next request, and the figures as one JSON line at the end."""
    text, width = template(path, names)
    pieces = [json.dumps(piece) for piece in text.split(_PLACE)]
    joined = " .. number .. ".join(pieces)
    first, last = (100, 499) if names is Names.KNOWN else (0, 99_999_999)
    return f"""
local count = {first} - 1
function request()
  count = count + 1
  if count > {last} then count = {first} end
  local number = string.format("%0{width}d", count)
  return {joined}
end
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\\n{{"requests": %d, "duration_us": %d, "p50_us": %d, "p99_us": %d, ' ..
    '"refused": %d, "broken": %d}}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
"""


def ask(port: int, path: str, names: Names) -> str | None:
    """One call over a connection of its own: status line and body, None when nobody listens."""
    try:
        with socket.create_connection(("127.0.0.1", port), _TIMEOUT_S) as connection:
            connection.settimeout(_TIMEOUT_S)
            sent = request(path, names, 100).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
            connection.sendall(sent)
            received = b""
            while chunk := connection.recv(65_536):
                received += chunk
    except OSError:
        return None
    return received.decode(errors="replace")
