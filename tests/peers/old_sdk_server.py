"""A server on `mcp` 1.x, legacy era only, run by `.venv-mcp1`.

    python -m tests.peers.old_sdk_server stdio | FD

serves its tools on stdin and stdout, or at `/mcp` on the listening socket FD.
"""
# mypy: ignore-errors
# (mypy sees the other venv's SDK.)

import socket
import sys

import uvicorn
from mcp.server.fastmcp import FastMCP

server = FastMCP("old-sdk-server")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def fail() -> str:
    """Fail."""
    raise ValueError("this tool always fails")


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        serving = uvicorn.Server(uvicorn.Config(server.streamable_http_app(), log_level="warning"))
        serving.run(sockets=[socket.socket(fileno=int(sys.argv[1]))])
