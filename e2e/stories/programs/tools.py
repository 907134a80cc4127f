"""A real MCP server: files that can be read and deleted. It prints what it did."""

import asyncio
import json
import logging
import os
import time

from mcp.server import MCPServer

FILES = {"notes.txt": "water the plants", "ledger.txt": "42"}
server = MCPServer("files")


def did(what: str, **about: object) -> None:
    """One line of JSON for each thing that really happened."""
    # In one piece, for tools run in threads.
    print(f"{json.dumps({'at': time.time(), 'did': what, **about})}\n", end="", flush=True)


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


@server.tool()
async def slow(seconds: float) -> str:
    """Take some time; both ends of it are written down."""
    did("slow begins")
    await asyncio.sleep(seconds)
    did("slow ends")
    return "slow, but done"


if __name__ == "__main__":
    # A line for each request would hide those for what was done.
    logging.getLogger("uvicorn.access").disabled = True
    server.run(
        "streamable-http", host="0.0.0.0", port=int(os.environ.get("PORT", "8000")),
        stateless_http=True, json_response=True,
    )  # fmt: skip
