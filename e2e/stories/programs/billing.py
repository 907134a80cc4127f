"""A real MCP server: money that goes back to customers. It prints each payment that it made."""

import json
import logging
import os
import time

from mcp.server import MCPServer

server = MCPServer("billing")


def did(what: str, **about: object) -> None:
    """One line of JSON for each thing that really happened."""
    # In one piece, for tools run in threads.
    print(f"{json.dumps({'at': time.time(), 'did': what, **about})}\n", end="", flush=True)


@server.tool()
def create_refund(order: str, amount: int) -> str:
    """Give a customer their money back."""
    did("refund", order=order, amount=amount)
    return f"{amount} refunded for {order}"


@server.tool()
def create_voucher(order: str, amount: int) -> str:
    """Give a customer a voucher."""
    did("voucher", order=order, amount=amount)
    return f"a voucher of {amount} for {order}"


if __name__ == "__main__":
    # A line for each request would hide those for what was done.
    logging.getLogger("uvicorn.access").disabled = True
    server.run(
        "streamable-http", host="0.0.0.0", port=int(os.environ.get("PORT", "8000")),
        stateless_http=True, json_response=True,
    )  # fmt: skip
