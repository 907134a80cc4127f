"""A server on `fastmcp` 4.x.

    python -m tests.peers.fastmcp_server stdio | FD

serves its tools on stdin and stdout, or at `/mcp` on the listening socket FD.
"""

import socket
import sys

import uvicorn
from fastmcp import FastMCP

server = FastMCP("fastmcp-server")


@server.tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool
def fail() -> str:
    """Fail."""
    raise ValueError("this tool always fails")


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run("stdio", show_banner=False)
    else:
        serving = uvicorn.Server(uvicorn.Config(server.http_app(), log_level="warning"))
        serving.run(sockets=[socket.socket(fileno=int(sys.argv[1]))])
