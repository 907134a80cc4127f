"""A real MCP server: files that can be read and deleted. It prints what it did, and who paid."""

import json
import os
import time

from mcp.server import MCPServer

FILES = {"notes.txt": "water the plants", "ledger.txt": "42"}
server = MCPServer("files")


def did(what: str, **about: object) -> None:
    """One line of JSON for each thing that really happened."""
    print(json.dumps({"at": time.time(), "did": what, **about}), flush=True)


@server.tool()
def read(name: str) -> str:
    """Read a file."""
    did("read", name=name)
    return FILES.get(name, "there is no such file")


@server.tool()
def delete(name: str) -> str:
    """Delete a file for good."""
    did("delete", name=name)
    return f"{FILES.pop(name, name)} is gone"


@server.tool()
def count() -> str:
    """Say how often it was called; each call is written down."""
    did("count")
    return "counted"


if __name__ == "__main__":
    server.run(
        "streamable-http", host="0.0.0.0", port=int(os.environ.get("PORT", "8000")),
        stateless_http=True, json_response=True,
    )  # fmt: skip
