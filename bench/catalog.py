"""The part of the upstream that is not a call: discovery and the list of tools, with right ids.

    python -m bench.catalog PORT

nginx answers `tools/call` itself and hands everything else to this server.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from typing_extensions import override

from bench import calls

TOOLS = [calls.TOOL, *(f"tool_{number:05d}" for number in range(1, 10))]
_REVISIONS = ["2026-07-28", "2025-11-25"]


def _result(method: str) -> dict[str, object]:
    common: dict[str, object] = {"resultType": "complete", "ttlMs": 3_600_000}
    common["cacheScope"] = "public"
    info = {"name": "billing", "version": "1"}
    if method == "tools/list":
        schema = {"type": "object", "properties": {"amount": {"type": "integer"}}}
        tools = [{"name": name, "description": name, "inputSchema": schema} for name in TOOLS]
        return {**common, "tools": tools}
    if method == "initialize":
        return {
            "protocolVersion": _REVISIONS[-1],
            "capabilities": {"tools": {}},
            "serverInfo": info,
        }
    return {**common, "supportedVersions": _REVISIONS, "capabilities": {"tools": {}},
            "_meta": {"io.modelcontextprotocol/serverInfo": info}}  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = {
            "jsonrpc": "2.0",
            "id": message.get("id"),
            "result": _result(message.get("method", "")),
        }
        body = json.dumps(answer).encode() if "id" in message else b""
        self.send_response(200 if body else 202)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, *_: object) -> None:
        """Nothing: the figures are what is looked at."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _Handler).serve_forever()
